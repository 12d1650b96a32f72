package http2

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weftmesh/weft/wire/http"
)

func want(t testing.TB, s *side, lines ...string) {
	t.Helper()
	if d := cmp.Diff(lines, s.lines); d != "" {
		t.Errorf("want - heard +: %s", d)
	}
}

func TestGetAndPost(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.server.onHead = func(r *reader, end bool) {
		if end {
			r.s.ResponseHead(response(200, "content-length", "5"), false)
			r.s.Data([]byte("hello"), true)
		}
	}
	big := bytes.Repeat([]byte("x"), 300000)
	p.server.onEnd = func(r *reader) {
		r.s.ResponseHead(response(103, "link", "y"), false)
		r.s.ResponseHead(response(200), false)
		r.s.Data(r.body, false)
		var h http.Header
		h.AddString(http.GRPCStatus, "0")
		r.s.Trailers(&h)
	}
	get := p.client.open()
	get.s.RequestHead(request("GET", "https", "a.b", "/c?d", "user-agent", "me", "cookie", "a=b", "cookie", "c=d"), true)
	p.run(nil)
	post := p.client.open()
	post.s.RequestHead(request("POST", "https", "a.b", "/c?d", "user-agent", "me"), false)
	post.s.Data(big, false)
	post.s.Data([]byte("y"), true)
	p.run(nil)
	want(t, p.server, "1: GET https a.b /c?d user-agent=me cookie=a=b; c=d end", "3: POST https a.b /c?d user-agent=me",
		`3: body of 300001 "xxxxxxxxxxxxxxxxxxxx"`, "3: end")
	want(t, p.client, `1: 200 content-length=5`, `1: body of 5 "hello"`, "1: end", "3: 103 link=y", "3: 200",
		`3: body of 300001 "xxxxxxxxxxxxxxxxxxxx"`, "3: trailers grpc-status=0", "3: end")
	p.settled(t)
}
