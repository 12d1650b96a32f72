package http1

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fuzzOptions has a bit for each option, and limits that inputs can reach.
func fuzzOptions(bits uint16) *Options {
	o := &Options{
		KeepSpelling: bits&1 != 0, AllowHTTP10: bits&2 != 0, AllowAbsoluteURL: bits&4 != 0, EnableTrailers: bits&8 != 0,
		AllowChunkedLength: bits&16 != 0, KeepReason: bits&32 != 0, Underscores: Underscores(bits >> 6 % 3),
	}
	if bits&256 != 0 {
		o.DefaultHost = []byte("default")
	}
	if bits&512 != 0 {
		o.Limits = Limits{MaxHeadBytes: 100, MaxHeaders: 3, MaxTrailerBytes: 20, MaxChunkExtension: 5}
	}
	return o
}

// pieces cuts in where the bits of at say, each bit for as many bytes as there are bits left to say more.
func pieces(in []byte, at uint64) (cut [][]byte) {
	step := len(in)/64 + 1
	for len(in) > step {
		n := step
		for at&1 == 0 && n < len(in) && at != 0 {
			n, at = n+step, at>>1
		}
		if at == 0 {
			break
		}
		at >>= 1
		n = min(n, len(in))
		cut, in = append(cut, in[:n]), in[n:]
	}
	return append(cut, in)
}

func FuzzRequest(f *testing.F) {
	for i, c := range corpus() {
		f.Add([]byte(c.in), uint16(i*37), uint64(i)*0x9e3779b97f4a7c15)
	}
	f.Fuzz(func(t *testing.T, in []byte, bits uint16, at uint64) {
		o := fuzzOptions(bits)
		whole := readRequests(t, o, in)
		if d := cmp.Diff(whole.String(), readRequests(t, o, pieces(in, at)...).String()); d != "" {
			t.Fatalf("cut, it reads otherwise: %s", d)
		}
		// What is accepted means the same to another reader, unless that refuses it, and when written and read again.
		_, ok := complete(whole)
		if !ok || o.AllowChunkedLength || o.DefaultHost != nil || o.MaxHeaders != 0 {
			return
		}
		if o.Underscores == KeepUnderscores && o.AllowAbsoluteURL && o.AllowHTTP10 && o.EnableTrailers {
			if theirs, err := theirMeaning(in); err == nil {
				if ours, ok := ourMeaning(t, o, in); ok {
					if d := cmp.Diff(ours, theirs); d != "" {
						t.Errorf("ours - theirs +: %s", d)
					}
				}
			}
		}
		o.KeepSpelling = true
		first, _ := complete(readRequests(t, o, in))
		checkRoundTrip(t, "again", first, in, o)
	})
}

func FuzzResponse(f *testing.F) {
	for i, c := range responses {
		kind := uint8(0)
		if len(c.methods) > 0 {
			kind = map[string]uint8{"GET+": 1, "HEAD": 2, "CONNECT": 3}[c.methods[0]]
		}
		f.Add([]byte(c.in), uint16(i*37), uint64(i)*0x9e3779b97f4a7c15, kind)
	}
	f.Fuzz(func(t *testing.T, in []byte, bits uint16, at uint64, kind uint8) {
		o := fuzzOptions(bits)
		methods := []string{[]string{"GET", "GET+", "HEAD", "CONNECT"}[kind%4], "GET"}
		whole := readResponses(t, o, methods, in)
		if d := cmp.Diff(whole.String(), readResponses(t, o, methods, pieces(in, at)...).String()); d != "" {
			t.Fatalf("cut, it reads otherwise: %s", d)
		}
	})
}

// FuzzWrite checks that no part of a message can end a line that is written of it.
func FuzzWrite(f *testing.F) {
	f.Add("GET", "http", "a", "/", "b: c\r\n\r\n", "OK", false)
	f.Fuzz(func(t *testing.T, method, scheme, authority, path, value, reason string, absolute bool) {
		r := request(method, scheme, authority, path, "x", value, "grpc-status", value)
		lines := func(b []byte) int {
			if i := control(bytes.ReplaceAll(b, []byte("\r\n"), nil), 0); i != len(b)-2*bytes.Count(b, []byte("\r\n")) {
				t.Errorf("control character in %q", b)
			}
			if !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
				t.Errorf("no end of the head in %q", b)
			}
			return bytes.Count(b, []byte("\r\n"))
		}
		head := AppendRequest(nil, r, Sized(7), WriteOptions{AbsoluteForm: absolute})
		if n := lines(head); n != 6 {
			t.Errorf("%d lines in %q", n, head)
		}
		if line, _, _ := bytes.Cut(head, []byte("\r\n")); bytes.Count(line, []byte(" ")) != 2 {
			t.Errorf("request line %q", line)
		}
		if n := lines(AppendResponse(nil, response(200, reason, "x", value, "grpc-status", value), 1, Chunked, WriteOptions{})); n != 5 {
			t.Errorf("%d lines in a response", n)
		}
	})
}
