package compressor

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/filters"
)

// library is how bodies are compressed.
type library struct {
	coding   filters.Coding
	level    int
	window   int  // of brotli: the logarithm of its bytes
	checksum bool // of zstd
}

// encoder is what libraries have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(to io.Writer)
}

// coder is an encoder with what has come out of it and was not passed on.
type coder struct {
	encoder
	out output
}

type output []byte

// Write takes what the encoder has made.
func (o *output) Write(b []byte) (int, error) {
	*o = append(*o, b...)
	return len(b), nil
}

// zstdWindow bounds what an encoder of zstd remembers. The library's own choice is up to 8 MiB, which few bodies have and each would pay for.
const zstdWindow = 512 << 10

// newCoder makes one; what it is made for has been checked.
func newCoder(l library) *coder {
	c := &coder{}
	switch l.coding {
	case filters.Gzip:
		c.encoder, _ = gzip.NewWriterLevel(&c.out, l.level)
	case filters.Brotli:
		c.encoder = brotli.NewWriterOptions(&c.out, brotli.WriterOptions{Quality: l.level, LGWin: l.window})
	case filters.Zstd:
		c.encoder, _ = zstd.NewWriter(&c.out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(l.level)), zstd.WithEncoderCRC(l.checksum), zstd.WithZeroFrames(true))
	}
	return c
}

// maxOut bounds, in bytes, the buffer that a coder keeps when it is given back.
const maxOut = 64 << 10

// reset makes the coder ready for another body.
func (c *coder) reset() {
	if c.out = c.out[:0]; cap(c.out) > maxOut {
		c.out = nil
	}
	c.encoder.Reset(&c.out)
}

// bytes is about what a coder holds, as measured with the versions that go.mod names.
func (l library) bytes() int64 {
	const mega = 1 << 20
	switch l.coding {
	case filters.Brotli:
		window := int64(2) << l.window
		switch {
		case l.level < 5:
			return mega + window
		case l.level < 9:
			return 2*mega + window
		case l.level == 9:
			return 34*mega + window
		}
		return 4*mega + 5*window
	case filters.Zstd:
		return [...]int64{zstd.SpeedFastest: mega, zstd.SpeedDefault: 2 * mega, zstd.SpeedBetterCompression: 5 * mega, zstd.SpeedBestCompression: 36 * mega}[zstd.EncoderLevelFromZstd(l.level)]
	}
	return 3 * mega / 2
}
