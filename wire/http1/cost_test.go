package http1

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"github.com/weftmesh/weft/wire/http"
)

// An idle connection keeps its decoder.
func TestDecoderSize(t *testing.T) {
	if n := unsafe.Sizeof(Decoder{}); n > 64 {
		t.Errorf("%d bytes", n)
	}
}

func TestAllocations(t *testing.T) {
	o := Options{EnableTrailers: true, AllowAbsoluteURL: true, KeepSpelling: true, KeepReason: true}
	var d, u Decoder
	var r http.Request
	var p http.Response
	get, plain := []byte("GET"), []byte(plainRequest)
	chunked := []byte("POST http://a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5;x\r\nhello\r\n0\r\nX-A: b\r\n\r\n")
	answer := []byte(plainResponse + strings.Repeat("x", 1024))
	bad := []byte("GET / HTTP/1.1\r\nHost : a\r\n\r\n")
	out := make([]byte, 0, 4096)
	all := func(in []byte, next func([]byte) (int, Event, []byte, error), done func() bool) {
		for {
			n, ev, _, err := next(in)
			in = in[n:]
			if err != nil || ev == NeedMore {
				t.Fatal(ev, err)
			}
			if ev == End || ev == Head && done() {
				return
			}
		}
	}
	nextRequest := func(in []byte) (int, Event, []byte, error) { return d.NextRequest(in, &r) }
	nextResponse := func(in []byte) (int, Event, []byte, error) { return u.NextResponse(in, &p) }
	d.InitRequest(&o)
	u.InitResponse(&o)
	for name, f := range map[string]func(){
		"a request": func() {
			all(plain, nextRequest, d.NoBody)
			out = AppendRequest(out[:0], &r, NoBody, WriteOptions{Spelling: ProperCase})
		},
		"chunks and trailers": func() {
			all(chunked, nextRequest, d.NoBody)
			out = AppendLastChunk(AppendRequest(out[:0], &r, Chunked, WriteOptions{}), d.Trailers, WriteOptions{})
		},
		"a response": func() {
			u.ExpectResponse(get, false)
			all(answer, nextResponse, u.NoBody)
			out = AppendResponse(out[:0], &p, http.HTTP11, Sized(u.Length()), WriteOptions{})
		},
		"an error": func() {
			d.InitRequest(&o)
			if _, _, _, err := d.NextRequest(bad, &r); err == nil || err.Error() == "" {
				t.Fatal("no error")
			}
			d.InitRequest(&o)
		},
	} {
		f() // the first fills the blocks
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A head in single bytes must cost a bounded number of looks at each byte. Whatever the decoder knows already is made unreadable between
// the calls: were it looked at once more, that would be an error.
func TestDribbledHead(t *testing.T) {
	heads := map[string]string{
		"one long value":   "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("v", 60000) + "\r\n\r\n",
		"one long name":    "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("n", 60000) + ": x\r\n\r\n",
		"one long target":  "GET /" + strings.Repeat("t", 60000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"many short lines": "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", 10000) + "\r\n",
	}
	for name, head := range heads {
		o := Options{Limits: Limits{MaxHeadBytes: 61000, MaxHeaders: 20000}}
		var d Decoder
		var r http.Request
		d.InitRequest(&o)
		in := []byte(head)
		at, dark, looks := 0, 0, 0
		for end := 1; end <= len(in); end++ {
			known := at + int(d.scanned)
			looks += end - known
			if strings.HasSuffix(head[:end], "\r\n") {
				copy(in[at:end], head[at:end]) // the line is whole and will be read
				looks += end - at
			} else {
				for dark = max(dark, at); dark < known; dark++ {
					in[dark] = 0
				}
			}
			n, ev, _, err := d.NextRequest(in[at:end], &r)
			if at += n; err != nil || (ev == Head) != (end == len(in)) {
				t.Fatalf("%s: at %d: %v %v", name, end, ev, err)
			}
		}
		if looks > 3*len(in) {
			t.Errorf("%s: %d looks at %d bytes", name, looks, len(in))
		}
		if r.Len() == 0 && name != "one long target" {
			t.Errorf("%s: no fields", name)
		}
	}
}

// Row 31: chunks of one byte cost no memory.
func TestSmallChunks(t *testing.T) {
	var d Decoder
	var r http.Request
	d.InitRequest(&Options{})
	if _, ev, _, err := d.NextRequest([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), &r); ev != Head {
		t.Fatal(ev, err)
	}
	in := bytes.Repeat([]byte("1\r\nx\r\n"), 1000)
	size := d
	if n := testing.AllocsPerRun(100, func() {
		for rest := in; ; {
			n, ev, data, err := d.NextRequest(rest, &r)
			if rest = rest[n:]; err != nil || ev == Body && len(data) != 1 {
				t.Fatal(err)
			}
			if ev == NeedMore {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if d.left, d.state = 0, atChunk; d != size {
		t.Error("something grew")
	}
}

// Row 23: extensions may be long where they come with as much data, not where they are all there is.
func TestExtensionsOfABody(t *testing.T) {
	read := func(chunk string, times int) error {
		s := readRequests(t, &Options{}, []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, times)))
		return s.d.fault.err()
	}
	if err := read("C8;"+strings.Repeat("x", 199)+"\r\n"+strings.Repeat("d", 200)+"\r\n", 1000); err != CutBody.err() {
		t.Error(err)
	}
	if err := read("1;"+strings.Repeat("x", 199)+"\r\nd\r\n", 1000); err != ChunkExtension.err() {
		t.Error(err)
	}
}
