package http1

import (
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

// plainRequest is the request of docs: 157 bytes and five fields.
const plainRequest = "GET /api/b1k/items?id=1 HTTP/1.1\r\nHost: 127.0.0.1:18080\r\nUser-Agent: weft-load/1.0\r\n" +
	"Accept: */*\r\nAccept-Encoding: gzip, br\r\nX-Trace: 0123456789abc\r\n\r\n"

const plainResponse = "HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nContent-Type: application/octet-stream\r\n" +
	"Content-Length: 1024\r\nDate: Tue, 24 Nov 2026 02:00:00 GMT\r\nConnection: keep-alive\r\n\r\n"

func BenchmarkReadRequest(b *testing.B) {
	var d Decoder
	var r http.Request
	d.InitRequest(&Options{AllowAbsoluteURL: true})
	in := []byte(plainRequest)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if n, ev, _, err := d.NextRequest(in, &r); n != len(in) || ev != Head || err != nil {
			b.Fatal(n, ev, err)
		}
	}
}

func BenchmarkReadResponse(b *testing.B) {
	var d Decoder
	var r http.Response
	d.InitResponse(&Options{})
	in := append([]byte(plainResponse), make([]byte, 1024)...)
	get := []byte("GET")
	b.SetBytes(int64(len(plainResponse)))
	b.ReportAllocs()
	for b.Loop() {
		d.ExpectResponse(get, false)
		n, ev, _, err := d.NextResponse(in, &r)
		if ev != Head || err != nil {
			b.Fatal(n, ev, err)
		}
		if n, ev, _, err = d.NextResponse(in[n:], &r); n != 1024 || ev != Body || err != nil {
			b.Fatal(n, ev, err)
		}
		if _, ev, _, err = d.NextResponse(nil, &r); ev != End || err != nil {
			b.Fatal(ev, err)
		}
	}
}

func BenchmarkWriteRequest(b *testing.B) {
	var d Decoder
	var r http.Request
	d.InitRequest(&Options{})
	if _, ev, _, err := d.NextRequest([]byte(plainRequest), &r); ev != Head {
		b.Fatal(ev, err)
	}
	for _, spelling := range []struct {
		name string
		Spelling
	}{{"lower", LowerCase}, {"proper", ProperCase}} {
		b.Run(spelling.name, func(b *testing.B) {
			out := make([]byte, 0, 512)
			b.SetBytes(int64(len(plainRequest)))
			b.ReportAllocs()
			for b.Loop() {
				out = AppendRequest(out[:0], &r, NoBody, WriteOptions{Spelling: spelling.Spelling})
			}
			if len(out) != len(plainRequest) {
				b.Fatal(string(out))
			}
		})
	}
}

func BenchmarkWriteResponse(b *testing.B) {
	var d Decoder
	var r http.Response
	d.InitResponse(&Options{})
	d.ExpectResponse([]byte("GET"), false)
	if _, ev, _, err := d.NextResponse([]byte(plainResponse), &r); ev != Head {
		b.Fatal(ev, err)
	}
	out := make([]byte, 0, 512)
	b.SetBytes(int64(len(plainResponse)))
	b.ReportAllocs()
	for b.Loop() {
		out = AppendResponse(out[:0], &r, http.HTTP11, Sized(d.Length()), WriteOptions{})
	}
	if len(out) != len(plainResponse) {
		b.Fatal(string(out))
	}
}

// BenchmarkReadSmallChunks is the cost of one chunk of one byte.
func BenchmarkReadSmallChunks(b *testing.B) {
	var d Decoder
	var r http.Request
	d.InitRequest(&Options{})
	if _, ev, _, err := d.NextRequest([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), &r); ev != Head {
		b.Fatal(ev, err)
	}
	in := []byte("\r\n1\r\nx")
	d.NextRequest(in[2:], &r)
	b.ReportAllocs()
	for b.Loop() {
		if n, ev, _, err := d.NextRequest(in, &r); n != len(in) || ev != Body {
			b.Fatal(n, ev, err)
		}
	}
}
