package decompressor

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/filters"
)

func pack(c filters.Coding, text string) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch c {
	case filters.Gzip:
		w = gzip.NewWriter(&b)
	case filters.Brotli:
		w = brotli.NewWriter(&b)
	case filters.Zstd:
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	io.WriteString(w, text)
	w.Close()
	return b.Bytes()
}

// decodeAll gives a coder a body in pieces of that size, of which it takes no more than limit bytes.
func decodeAll(c *coder, body []byte, size, limit int) (out []byte, err error) {
	c.begin()
	defer c.end()
	for {
		n := min(size, len(body))
		piece := bytes.Clone(body[:n])
		body = body[n:]
		c.give(piece, len(body) == 0)
		for {
			_, running := c.next()
			if !running {
				if err := c.err; err != nil {
					return out, err
				}
				if len(c.in)+len(body) > 0 {
					return out, errHeader
				}
				return out, nil
			}
			if c.made == 0 {
				break
			}
			if out = append(out, c.out[:c.made]...); len(out) > limit {
				return out, nil
			}
			c.keep()
			clear(piece) // which was valid until keep
		}
	}
}

// A body is the same however it comes, and coders are as good as new afterwards.
func FuzzCoder(f *testing.F) {
	texts := []string{"", "a", strings.Repeat("hello, world", 50), strings.Repeat("0123456789", 20_000)}
	for c := filters.Gzip; c <= filters.Zstd; c++ {
		for _, text := range texts {
			b := pack(c, text)
			f.Add(uint8(c), b, 7)
			f.Add(uint8(c), b[:len(b)-1], 1000)
			f.Add(uint8(c), append(bytes.Clone(b), b...), 1)
			broken := bytes.Clone(b)
			broken[len(b)/2] ^= 0x55
			f.Add(uint8(c), broken, 100)
		}
	}
	coders := map[kind]*coder{}
	f.Fuzz(func(t *testing.T, number uint8, body []byte, size int) {
		c, size := filters.Coding(number%3), max(size, 1)
		k, ok, err := kindOf(c, body)
		if !ok || err != nil || len(body) == 0 {
			return
		}
		if coders[k] == nil {
			coders[k] = newCoder(k)
		}
		const limit = 1 << 20
		out, err := decodeAll(coders[k], body, size, limit)
		if len(out) > limit {
			return
		}
		var r io.Reader
		var plainErr error
		switch c {
		case filters.Gzip:
			r, plainErr = gzip.NewReader(bytes.NewReader(body))
		case filters.Brotli:
			r = brotli.NewReader(bytes.NewReader(body))
		case filters.Zstd:
			r, plainErr = zstd.NewReader(struct{ io.Reader }{bytes.NewReader(body)}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<k.window))
		}
		var want []byte
		if plainErr == nil {
			want, plainErr = io.ReadAll(io.LimitReader(r, limit+1))
		}
		if (err == nil) != (plainErr == nil) || err == nil && !bytes.Equal(out, want) {
			t.Errorf("coding %d in pieces of %d: %d bytes, %v; at once %d bytes, %v", c, size, len(out), err, len(want), plainErr)
		}
		if whole, err := decodeAll(coders[k], pack(c, texts[2]), size, limit); err != nil || string(whole) != texts[2] {
			t.Errorf("afterwards: %d bytes, %v", len(whole), err)
		}
	})
}

// What a body's first bytes say of the memory that it takes.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		coding filters.Coding
		head   string
		window uint8
		ok     bool
		err    error
	}{
		{filters.Gzip, "", 0, true, nil},
		{filters.Brotli, "", 0, false, nil},
		{filters.Brotli, "\x00", 17, true, nil},
		{filters.Brotli, "\x0f", 24, true, nil},
		{filters.Brotli, "\x03", 18, true, nil},
		{filters.Brotli, "\x11", 0, true, errWindow},
		{filters.Brotli, "\x21", 17, true, nil},
		{filters.Zstd, "\x28\xb5", 0, false, nil},
		{filters.Zstd, "\x28\xb5\x2f\xfd\x00\x68", 23, true, nil},
		{filters.Zstd, "\x28\xb5\x2f\xfd\x00\x69", 0, true, errWindow},
		{filters.Zstd, "\x28\xb5\x2f\xfd\x00\x50", 20, true, nil},
		{filters.Zstd, "\x28\xb5\x2f\xfd\x20\x05", 17, true, nil},
		{filters.Zstd, "abcd", 0, true, errHeader},
		{filters.Zstd, "\x28\xb5\x2f\xfd\x00\x51", 21, true, nil},
	} {
		k, ok, err := kindOf(c.coding, []byte(c.head))
		if ok != c.ok || err != c.err || k.window != c.window {
			t.Errorf("%d %q: %+v %v %v", c.coding, c.head, k, ok, err)
		}
	}
}
