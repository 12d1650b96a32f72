package filters

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

func TestGRPCMethod(t *testing.T) {
	for path, want := range map[string]string{
		"/a.B/C": "a.B C", "/a.B/C?x=/y": "a.B C", "/a/b": "a b", "": "", "/": "", "/a": "", "/a/": "", "//b": "", "/a/b/c": "", "/a/b/": "", "a/b": "", "*": "", "/?/a/b": "",
	} {
		service, method, ok := GRPCMethod([]byte(path))
		got := ""
		if ok {
			got = string(service) + " " + string(method)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestIsGRPC(t *testing.T) {
	for kind, want := range map[string]bool{"application/grpc": true, "application/grpc+proto": true, "application/grpc-web": false, "application/grpc;a=b": false, "Application/grpc": false, "": false} {
		var r http.Request
		r.SetPath([]byte("/a/b"))
		r.AddString(http.ContentType, kind)
		if IsGRPC(&r) != want {
			t.Errorf("%q is of gRPC: %v", kind, !want)
		}
	}
	for _, c := range []struct {
		status uint16
		kind   string
		code   bool
		end    bool
		want   bool
	}{{200, "application/grpc", false, false, true}, {500, "application/grpc", true, false, false}, {200, "text/plain", true, false, false}, {500, "text/plain", true, true, true}, {200, "application/grpc", false, true, false}} {
		var r http.Response
		r.Status = c.status
		r.AddString(http.ContentType, c.kind)
		if c.code {
			r.AddString(http.GRPCStatus, "0")
		}
		if got := AnswersGRPC(&r, c.end); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Messages are found whatever the pieces are in which they come.
func TestFrames(t *testing.T) {
	stream := "\x00\x00\x00\x00\x03abc" + "\x01\x00\x00\x00\x00" + "\x00\x00\x00\x01\x00" + strings.Repeat("x", 256) + "\x07\x00\x00\x00\x01y"
	ends := []int{8, 13, 274, 280}
	for size := 1; size <= len(stream); size++ {
		var f Frames
		var begins, found []int
		for at := 0; at < len(stream); {
			piece := stream[at:min(at+size, len(stream))]
			for len(piece) > 0 {
				n, b, e := f.Next([]byte(piece))
				if b {
					begins = append(begins, at)
				}
				if at += n; e {
					found = append(found, at)
				}
				piece = piece[n:]
			}
		}
		if !slices.Equal(found, ends) || !slices.Equal(begins, []int{0, 8, 13, 274}) {
			t.Fatalf("in pieces of %d: from %v to %v", size, begins, found)
		}
	}
	var f Frames
	if n := f.Begun([]byte(stream + "\x00")); n != 5 {
		t.Errorf("%d messages begin", n)
	}
}

func TestGRPCMessage(t *testing.T) {
	if got := AppendGRPCMessage(nil, []byte("a b~%\n\xff\"")); string(got) != "a b%7E%25%0A%FF\"" {
		t.Errorf("%s", got)
	}
}

func TestCodes(t *testing.T) {
	store := telemetry.NewStore(1)
	v := store.Acquire(callsTable, "c.").Loop(0)
	for _, status := range []string{"0", "1", "16", "17", "00", "01", "100", "-1", "x", ""} {
		CountCall(v, []byte(status))
	}
	CountCall(v, nil)
	got := map[string]int64{}
	for _, s := range store.Read(telemetry.Filter{}) {
		got[s.Name] = s.Value
	}
	if want := "map[c.0:1 c.1:1 c.16:1 c.failure:9 c.success:1 c.total:10 c.unknown:7]"; fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestCallsAllocateNothing(t *testing.T) {
	c := CallsOf(Site{Stats: telemetry.NewStore(1), Kept: &Kept{}}, false)
	service, method := []byte("a.B"), []byte("C")
	if n := testing.AllocsPerRun(100, func() { CountCall(c.Of(0, "up", service, method), []byte("0")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
