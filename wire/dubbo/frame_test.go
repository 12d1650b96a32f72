package dubbo

import (
	"bytes"
	"strings"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

// A head is read as it was written, and only when all of it is there.
func TestHeads(t *testing.T) {
	for _, h := range []Head{
		{Request: true, TwoWay: true, Serialization: Hessian2, ID: 1, Body: 7},
		{Request: true, Serialization: Fastjson2, ID: 1<<64 - 1},
		{Request: true, TwoWay: true, Event: true, Serialization: Hessian2, ID: 5, Body: 1},
		{Serialization: Hessian2, Status: OK, ID: 1 << 63, Body: 1000},
		{Event: true, Serialization: Kryo, Status: ServerExhausted},
	} {
		b := AppendHead([]byte("x"), &h)[1:]
		for n := range b {
			if _, more, err := ParseHead(b[:n], 1000); !more || err != nil {
				t.Errorf("%+v: of %d bytes: %v, %v", h, n, more, err)
			}
		}
		if got, more, err := ParseHead(append(b, 1, 2, 3), 1000); got != h || more || err != nil {
			t.Errorf("%+v, %v, %v: want %+v", got, more, err, h)
		}
		Renumber(b, 77)
		want := h
		want.ID = 77
		if got, _, _ := ParseHead(b, 1000); got != want {
			t.Errorf("%+v: want %+v", got, want)
		}
	}
	for _, b := range []string{"GET / HTTP/1.1\r\n", "\xda\xbc", "\xbb"} {
		if _, more, err := ParseHead([]byte(b), 1000); more || err != fail(BadMagic) {
			t.Errorf("%q: %v, %v", b, more, err)
		}
	}
	large := AppendHead(nil, &Head{Body: 1001})
	if _, _, err := ParseHead(large, 1000); err != fail(FrameTooLarge) {
		t.Error(err)
	}
}

// Errors and heartbeats are read by Dubbo's own: the texts are hessian's, or JSONB's, and the numbers those of the request.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, s := range []Serialization{Hessian2, Fastjson2, Kryo} {
		for _, text := range []string{"", "no provider", "naïve\n", long} {
			b := AppendError([]byte("before"), &Head{Request: true, TwoWay: true, Serialization: s, ID: 99, Body: 5}, ServiceNotFound, text)
			h, more, err := ParseHead(b[6:], 1<<20)
			if more || err != nil || h.Request || h.Status != ServiceNotFound || h.ID != 99 || len(b) != 6+HeadSize+h.Body {
				t.Fatalf("%v: %+v, %v, %v, %d bytes", s, h, more, err, len(b))
			}
			want := ascii(text)
			if len(want) > maxErrorText || text == "naïve\n" && want != "na?ve?" {
				t.Errorf("%q became %q", text, want)
			}
			got := ""
			if rest := b[6+HeadSize:]; h.Serialization == Hessian2 {
				v, err := hessian2.NewDecoder(rest).Decode()
				if err != nil {
					t.Fatal(err)
				}
				got = v.(string)
			} else {
				j := jsonb{}
				j.read(rest)
				b, err := j.text()
				if err != nil || j.at != len(rest) {
					t.Fatal(err, j.at)
				}
				got = string(b)
			}
			if got != want {
				t.Errorf("%v: %q: want %q", s, got, want)
			}
		}
		b := AppendHeartbeat(nil, &Head{Request: true, TwoWay: true, Event: true, Serialization: s, ID: 3})
		h, _, err := ParseHead(b, 100)
		if err != nil || !h.Event || h.Request || h.Status != OK || h.ID != 3 || h.Body != len(b)-HeadSize {
			t.Errorf("%v: %+v, %v, %x", s, h, err, b)
		}
	}
	if got := AppendHeartbeat(nil, &Head{Serialization: Hessian2}); !bytes.Equal(got[HeadSize:], []byte("N")) {
		t.Errorf("%x", got)
	}
}
