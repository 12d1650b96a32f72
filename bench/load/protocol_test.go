package load

import (
	"strings"
	"testing"
)

// The engine's measurements were made with a request of about 157 bytes and five header fields.
func TestRequestShape(t *testing.T) {
	text := string(httpRequest("/api/b1k/items?id=1"))
	if len(text) < 150 || len(text) > 164 {
		t.Errorf("the request has %d bytes, want about 157", len(text))
	}
	if fields := strings.Count(text, "\r\n") - 2; fields != 5 {
		t.Errorf("the request has %d header fields, want 5", fields)
	}
}

var responses = []struct {
	name string
	text string
	want verdict
	used int // of the text; 0: all
}{
	{"exact", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwwww", done, 0},
	{"other 2xx, other case, no reason", "HTTP/1.1 202 \r\ncontent-LENGTH:\t 4 \r\nX: y\r\n\r\nwwww", done, 0},
	{"rest is not used", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwwwwHTTP", done, 42},
	{"closes", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 4\r\n\r\nwwww", doneClose, 0},
	{"keeps", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nwwww", done, 0},
	{"head not complete", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", more, 0},
	{"body not complete", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwww", more, 0},
	{"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n", badStatus, 0},
	{"503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\n", badStatus, 0},
	{"100 is no answer", "HTTP/1.1 100 Continue\r\n\r\n", badStatus, 0},
	{"body too short", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", badLength, 0},
	{"body too long", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", badLength, 0},
	{"no length", "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", badLength, 0},
	{"length twice", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", malformed, 0},
	{"length no number", "HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n\r\n", malformed, 0},
	{"length empty", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", malformed, 0},
	{"length beyond int", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", malformed, 0},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", malformed, 0},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n", malformed, 0},
	{"no HTTP", "hello\r\n\r\n", malformed, 0},
	{"no colon", "HTTP/1.1 200 OK\r\nserver\r\nContent-Length: 4\r\n\r\n", malformed, 0},
	{"empty line only", "\r\n\r\n", malformed, 0},
	{"head too long", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", mostHead), malformed, mostHead},
}

func TestHTTP1Responses(t *testing.T) {
	for _, c := range responses {
		t.Run(c.name, func(t *testing.T) {
			if c.used == 0 {
				c.used = len(c.text)
			}
			for _, piece := range []int{len(c.text), 1, 7} {
				h := &http1{want: 4}
				used, v := feedBy(h, c.text, piece)
				if v != c.want || used != c.used {
					t.Errorf("in pieces of %d: verdict %d after %d bytes, want %d after %d", piece, v, used, c.want, c.used)
				}
				if begun := h.begun(); v == more && !begun || v == done && begun {
					t.Errorf("in pieces of %d: begun is %v", piece, begun)
				}
				// The same connection, or a new one after a fault, must serve the next answer.
				if v != done {
					h.reset()
				}
				if _, v := feedBy(h, responses[0].text, piece); v != done {
					t.Errorf("in pieces of %d: the next answer gets verdict %d", piece, v)
				}
			}
		})
	}
}

// feedBy feeds the text piece by piece until there is a verdict.
func feedBy(p protocol, text string, piece int) (used int, v verdict) {
	for used < len(text) {
		n, v := p.feed([]byte(text[used:min(used+piece, len(text))]))
		used += n
		if v != more {
			return used, v
		}
	}
	return used, more
}

func TestTCPAnswers(t *testing.T) {
	p := Spec{Protocol: TCP, Body: 10}.protocol()
	if n := len(p.request()); n != RequestSize {
		t.Fatalf("request of %d bytes", n)
	}
	for _, c := range []struct {
		n, used int
		v       verdict
		begun   bool
	}{{4, 4, more, true}, {6, 6, done, false}, {10, 10, done, false}, {12, 10, done, false}, {9, 9, more, true}} {
		used, v := p.feed(make([]byte, c.n))
		if used != c.used || v != c.v || p.begun() != c.begun {
			t.Errorf("%d bytes: used %d, verdict %d, begun %v; want %d, %d, %v", c.n, used, v, p.begun(), c.used, c.v, c.begun)
		}
	}
	p.reset()
	if p.begun() {
		t.Error("begun after reset")
	}
}

// However a response is cut, the verdict and the bytes used are those of the whole.
func FuzzHTTP1(f *testing.F) {
	for _, c := range responses {
		f.Add(c.text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, piece int) {
		if piece < 1 || text == "" {
			return
		}
		whole, pieces := &http1{want: 4}, &http1{want: 4}
		used, v := whole.feed([]byte(text))
		if used < 0 || used > len(text) {
			t.Fatalf("used %d of %d bytes", used, len(text))
		}
		if len(text) > mostHead {
			return // the bound counts what is kept, and a head that comes whole is not
		}
		usedBy, vBy := feedBy(pieces, text, piece)
		if used != usedBy || v != vBy {
			t.Fatalf("whole: verdict %d after %d bytes; in pieces of %d: %d after %d", v, used, piece, vBy, usedBy)
		}
	})
}
