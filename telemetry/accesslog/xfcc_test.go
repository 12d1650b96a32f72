package accesslog

import (
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

func TestForwardedCertificates(t *testing.T) {
	for _, c := range []struct{ says, uri, by string }{
		{"By=b;URI=spiffe://a", "spiffe://a", "b"},
		{"By=1,URI=2;by=3", "2", "1"},
		{" uri = x ;by=", "x", ""},
		{"uri", "", "-"},
		{`by="a,b;uri=c"`, "-", "a,b;uri=c"},
		{`by="a\"b\\\\",uri=\`, `\`, `a"b\\`},
		{`uri=a,by="b`, "a", "-"},
		{`uri=a;by="b`, "-", "-"},
		{`uri=a=b`, "a=b", "-"},
		{"", "-", "-"},
	} {
		var r http.Request
		r.Reset()
		r.Add(http.XForwardedClientCert, []byte(c.says))
		f, err := Parse("%XFCC_VALUE(uri)%|%XFCC_VALUE(BY):1%", Options{})
		if err != nil {
			t.Fatal(err)
		}
		e := &Entry{Request: &r}
		if got, want := string(f.Append(nil, e)), c.uri+"|"+c.by; got != want {
			t.Errorf("%s: %s, want %s", c.says, got, want)
		}
		room := make([]byte, 0, 64)
		if n := testing.AllocsPerRun(100, func() { f.Append(room, e) }); n != 0 {
			t.Errorf("%s costs %v allocations", c.says, n)
		}
	}
	f, _ := Parse("%XFCC_VALUE(uri)%", Options{})
	if got := string(f.Append(nil, &Entry{})); got != "-" {
		t.Errorf("of no request: %s", got)
	}
	var r http.Request
	r.Reset()
	r.Add(http.XForwardedClientCert, []byte("by=1"))
	r.Add(http.XForwardedClientCert, []byte("uri=2"))
	if got := string(f.Append(nil, &Entry{Request: &r})); got != "2" {
		t.Errorf("of two fields: %s", got)
	}
}
