package route

import (
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// request makes a request out of a method, authority and path, and fields given as "name: value".
func request(method, authority, path string, fields ...string) *http.Request {
	r := &http.Request{Version: http.HTTP11}
	r.SetMethod([]byte(method))
	r.SetScheme([]byte("http"))
	r.SetAuthority([]byte(authority))
	r.SetPath([]byte(path))
	proto := "http"
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "x-forwarded-proto" {
			proto = value
			continue
		}
		if name == ":scheme" {
			r.SetScheme([]byte(value))
			continue
		}
		r.AddNamed([]byte(name), []byte(value))
	}
	if proto != "" {
		r.AddString(http.XForwardedProto, proto)
	}
	return r
}

// in is a request as rules see it; what Match finds out is found out.
func in(r *http.Request) *Input { return &Input{Request: r, path: bare(r.Path())} }

func ins(list []*http.Request) []*Input {
	var out []*Input
	for _, r := range list {
		out = append(out, in(r))
	}
	return out
}

func matchesPath(m *config.Match, path string) bool {
	return matchPath(m, in(request("GET", "h", path)))
}
