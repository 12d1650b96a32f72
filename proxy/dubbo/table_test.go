package dubbo

import (
	"strconv"
	"testing"

	"github.com/weftmesh/weft/config"
)

// A number is what strconv takes for one, but for signs that nobody writes.
func TestNumber(t *testing.T) {
	for _, text := range []string{"", "-", "0", "-0", "7", "-7", "007", "9223372036854775807", "9223372036854775808", "-9223372036854775807", "-9223372036854775809", "99999999999999999999", "1.5", "1e3", " 1", "x", "--1"} {
		n, whole := number([]byte(text))
		want, err := strconv.ParseInt(text, 10, 64)
		if whole != (err == nil) || whole && n != want {
			t.Errorf("%q is %d, %v: want %d, %v", text, n, whole, want, err)
		}
	}
}

// What a star stands for is never empty.
func TestInterfaces(t *testing.T) {
	for _, one := range []struct {
		pattern, path string
		is            bool
	}{
		{"*", "a", true}, {"*", "", false}, {"a.b", "a.b", true}, {"a.b", "a.bc", false}, {"a.*", "a.b", true}, {"a.*", "a.", false}, {"a.*", "b.a.c", false}, {"*.b", "a.b", true}, {"*.b", ".b", false}, {"*.b", "a.b.c", false},
	} {
		if got := names(one.pattern, []byte(one.path)); got != one.is {
			t.Errorf("%q for %q: %v", one.pattern, one.path, got)
		}
	}
}

// What cannot be read goes by a route that asks for nothing, and by no other.
func TestUnread(t *testing.T) {
	any := config.DubboRoute{TotalWeight: 1}
	asks := config.DubboRoute{Attachments: []config.HeaderMatch{{Name: "a", Present: true}}}
	for _, one := range []struct {
		services []config.DubboService
		is       bool
	}{
		{nil, false},
		{[]config.DubboService{{Interface: "*", Routes: []config.DubboRoute{any}}}, true},
		{[]config.DubboService{{Interface: "*", Routes: []config.DubboRoute{asks}}}, false},
		{[]config.DubboService{{Interface: "*", Group: "g", Routes: []config.DubboRoute{any}}}, false},
		{[]config.DubboService{{Interface: "a.*", Routes: []config.DubboRoute{any}}, {Interface: "*", Routes: []config.DubboRoute{asks, any}}}, true},
	} {
		if got := Unread(one.services); (got != nil) != one.is || got != nil && len(got.Attachments) > 0 {
			t.Errorf("%+v: %+v", one.services, got)
		}
	}
}
