package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	nethttp "net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/wire/http"
)

// differences are the requests that we accept and the standard library does not, and why.
var differences = map[string]string{
	"7.1.1 extensions": "white space before the semicolon is to be taken (RFC 9112 §7.1.1)",
}

// Another reader of HTTP, the standard library's, is the oracle: what we accept it accepts, with the same meaning.
func TestOracle(t *testing.T) {
	seen := 0
	for _, c := range corpus() {
		// What these options do, the standard library does not.
		if c.o.AllowChunkedLength || c.o.DefaultHost != nil || c.o.Underscores == DropUnderscores {
			continue
		}
		o := c.o
		o.AllowAbsoluteURL, o.AllowHTTP10, o.EnableTrailers = true, true, true
		if ours, ok := ourMeaning(t, &o, []byte(c.in)); ok {
			seen++
			theirs, err := theirMeaning([]byte(c.in))
			if why := differences[c.name]; why != "" {
				if err == nil {
					t.Errorf("%s: no difference any more: %s", c.name, why)
				}
			} else if err != nil {
				t.Errorf("%s: accepted here, but %v", c.name, err)
			} else if d := cmp.Diff(ours, theirs); d != "" {
				t.Errorf("%s: ours - theirs +: %s", c.name, d)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d comparisons", seen)
	}
}

// meaning is what matters of a request, whoever read it.
type meaning struct {
	Method, Host, Path, Body string
	Fields, Trailers         []string
	Close                    bool
}

// ourMeaning reads the first message of in. It tells whether that is complete and good.
func ourMeaning(t testing.TB, o *Options, in []byte) (m meaning, ok bool) {
	var d Decoder
	var r http.Request
	d.InitRequest(o)
	for {
		n, ev, data, err := d.NextRequest(in, &r)
		in = in[n:]
		switch {
		case err != nil || ev == NeedMore:
			return m, false
		case ev == Head:
			m.Method, m.Host, m.Path = string(r.Method()), string(r.Authority()), string(r.Path())
			m.Fields = fieldList(&r.Header)
			if d.NoBody() {
				m.Close = !d.KeepAlive() && !r.IsConnect()
				return m, true
			}
		case ev == Body:
			m.Body += string(data)
		case ev == Trailers:
			m.Trailers = fieldList(d.Trailers)
		case ev == End:
			m.Close = !d.KeepAlive()
			return m, true
		}
	}
}

func fieldList(h *http.Header) (list []string) {
	for i := range h.Len() {
		// The standard library takes these from the fields.
		if id := h.ID(i); id != http.ContentLength && id != http.Trailer {
			list = append(list, fmt.Sprintf("%s: %s", h.Name(i), h.Value(i)))
		}
	}
	slices.Sort(list)
	return list
}

func theirMeaning(in []byte) (m meaning, err error) {
	in, _ = bytes.CutPrefix(in, []byte("\r\n")) // ours takes one blank line
	r, err := nethttp.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
	if err != nil {
		return m, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, err
	}
	m = meaning{Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Body: string(body), Close: r.Close}
	switch {
	case r.Method == "CONNECT":
		m.Path = ""
	case r.URL.Host != "":
		// It keeps an absolute form as it came; the path begins behind the authority.
		_, rest, _ := strings.Cut(r.RequestURI, "://")
		m.Path = rest[len(r.URL.Host):]
		switch {
		case m.Path == "" && r.Method == "OPTIONS":
			m.Path = "*"
		case m.Path == "" || m.Path[0] == '?':
			m.Path = "/" + m.Path
		}
	default:
		m.Path = r.RequestURI
	}
	list := func(h nethttp.Header, trailers bool) (list []string) {
		for name, values := range h {
			for _, v := range values {
				id := http.LookupFold([]byte(name))
				if id == http.ContentLength || id == http.Trailer || trailers && (roles[id] != ordinary || http.NotInTrailers(id, []byte(name))) {
					continue
				}
				list = append(list, strings.ToLower(name)+": "+v)
			}
		}
		slices.Sort(list)
		return list
	}
	m.Fields, m.Trailers = list(r.Header, false), list(r.Trailer, true)
	for _, v := range r.Header.Values("Proxy-Connection") { // of which it takes no note
		for option, rest := element([]byte(v)); option != nil || rest != nil; option, rest = element(rest) {
			m.Close = m.Close || same(option, "close")
		}
	}
	return m, nil
}
