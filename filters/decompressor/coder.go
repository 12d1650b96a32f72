package decompressor

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/filters"
)

// kind is what a coder was made for: a coding, and how far back bodies may reach.
type kind struct {
	coding filters.Coding
	window uint8 // the logarithm of its bytes
}

// How far back bodies of zstd may reach: RFC 9659 asks of nobody to remember more. Smaller windows than minWindow are not told apart.
const (
	minWindow = 17
	maxWindow = 23
)

var (
	errWindow  = errors.New("decompressor: the body asks for more memory than there may be")
	errHeader  = errors.New("decompressor: not the beginning of a body in that coding")
	errStopped = errors.New("decompressor: nobody wants it any more")
)

// kindOf reads in a body's first bytes what it takes to decode it; false: they are too few. Nobody need tell in how much memory gzip is read.
func kindOf(c filters.Coding, b []byte) (kind, bool, error) {
	switch c {
	case filters.Brotli: // RFC 7932 §9.1
		if len(b) == 0 {
			return kind{}, false, nil
		}
		window := uint8(16)
		if first := b[0]; first&1 != 0 {
			if n := first >> 1 & 7; n != 0 {
				window = 17 + n
			} else if n := first >> 4 & 7; n == 1 {
				return kind{}, true, errWindow // the large window of RFC 9841
			}
		}
		return kind{c, max(window, minWindow)}, true, nil
	case filters.Zstd:
		var h zstd.Header
		if err := h.Decode(b); errors.Is(err, io.ErrUnexpectedEOF) && len(b) < zstd.HeaderMaxSize {
			return kind{}, false, nil
		} else if err != nil {
			return kind{}, true, errHeader
		}
		size := h.WindowSize
		if h.SingleSegment {
			size = h.FrameContentSize
		}
		if size > 1<<maxWindow {
			return kind{}, true, errWindow
		}
		return kind{c, uint8(max(bits.Len64(max(size, 1)-1), minWindow))}, true, nil
	}
	return kind{coding: c}, true, nil
}

// bytes is about what a coder holds, as measured with the versions that go.mod names.
func (k kind) bytes() int64 {
	switch k.coding {
	case filters.Brotli:
		return 400<<10 + 1<<k.window
	case filters.Zstd:
		return 800<<10 + 1<<k.window
	}
	return 96 << 10
}

// reader is what libraries have in common.
type reader interface {
	io.Reader
	Reset(from io.Reader) error
}

// coder decodes bodies, one after the other. Libraries ask for bytes when they want them, and the loop has some when they come: so the
// library runs on a coroutine, which is left while there is nothing for it and when it has made something.
type coder struct {
	reader reader
	in     []byte // given, and not read yet
	whole  bool   // nothing comes behind it
	kept   []byte // memory for in
	out    []byte
	made   int   // bytes of out
	err    error // why it has ended; nil: the body has
	yield  func(struct{}) bool
	next   func() (struct{}, bool)
	stop   func()
}

// outSize is how much is made at once, in bytes.
const outSize = 32 << 10

func newCoder(k kind) *coder {
	c := &coder{out: make([]byte, outSize)}
	switch k.coding {
	case filters.Gzip:
		c.reader = &gzip.Reader{}
	case filters.Brotli:
		c.reader = brotli.NewReader(nil)
	case filters.Zstd:
		// Frames behind the first may not ask for more.
		c.reader, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(1<<k.window))
	}
	return c
}

// begin starts with a body.
func (c *coder) begin() {
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		c.err = c.decode()
	})
}

// decode is what runs on the coroutine. A library that panics over a body has found it broken.
func (c *coder) decode() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("decompressor: panic: %v", v)
		}
	}()
	if err := c.reader.Reset(c); err != nil {
		return c.ending(err)
	}
	for {
		n, err := c.reader.Read(c.out)
		if n > 0 {
			if c.made = n; !c.yield(struct{}{}) {
				return errStopped
			}
			c.made = 0
		}
		if err != nil {
			return c.ending(err)
		}
	}
}

func (c *coder) ending(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Read gives the library what there is. It returns to the loop when that is nothing.
func (c *coder) Read(p []byte) (int, error) {
	for len(c.in) == 0 {
		if c.whole {
			return 0, io.EOF
		}
		if !c.yield(struct{}{}) {
			return 0, errStopped
		}
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

// ReadByte implements io.ByteReader, without which gzip would read ahead.
func (c *coder) ReadByte() (byte, error) {
	if len(c.in) == 0 {
		var b [1]byte
		_, err := c.Read(b[:])
		return b[0], err
	}
	b := c.in[0]
	c.in = c.in[1:]
	return b, nil
}

// give hands the coder the next piece of the body, valid until keep.
func (c *coder) give(b []byte, whole bool) { c.in, c.whole = b, whole }

// keep keeps what was given and not read for later.
func (c *coder) keep() {
	c.kept = append(c.kept[:0], c.in...)
	c.in = c.kept
}

// maxKept bounds, in bytes, the memory for input that a coder keeps when it is given back.
const maxKept = 64 << 10

// end is called when the body is of no interest any more.
func (c *coder) end() {
	c.stop()
	if cap(c.kept) > maxKept {
		c.kept = nil
	}
	c.in, c.whole, c.made, c.err, c.yield, c.next, c.stop = nil, false, 0, nil, nil, nil, nil
}
