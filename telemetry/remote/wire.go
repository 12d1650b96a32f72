package remote

import (
	"net/netip"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// What follows writes fields of protobuf's wire format. As proto3 wants it, what is zero is left out, but for messages.

// open begins a message in a field; end closes it. A length of one byte is left room for, which does for most.
func open(dst []byte, field protowire.Number) ([]byte, int) {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return append(dst, 0), len(dst) + 1
}

// end closes the message that begins at from.
func end(dst []byte, from int) []byte {
	n := len(dst) - from
	if n < 0x80 {
		dst[from-1] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	dst = append(dst, "\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:more]...)
	copy(dst[from+more:], dst[from:from+n])
	protowire.AppendVarint(dst[:from-1], uint64(n))
	return dst
}

func number(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

func truth(dst []byte, field protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return number(dst, field, 1)
}

// wrapped is a UInt32Value.
func wrapped(dst []byte, field protowire.Number, v uint64) []byte {
	dst, at := open(dst, field)
	return end(number(dst, 1, v), at)
}

// text is a string, of which there may be bytes that are not UTF-8: a single one would have the server refuse the whole message. In their
// place is what Envoy puts there.
func text[T string | []byte](dst []byte, field protowire.Number, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	return always(dst, field, v)
}

// always is text that is written when it is empty, too.
func always[T string | []byte](dst []byte, field protowire.Number, v T) []byte {
	dst, at := open(dst, field)
	return end(clean(append(dst, v...), at), at)
}

// clean makes what begins at from UTF-8.
func clean(dst []byte, from int) []byte {
	if utf8.Valid(dst[from:]) {
		return dst
	}
	for i := from; i < len(dst); {
		r, n := utf8.DecodeRune(dst[i:])
		if r == utf8.RuneError && n == 1 {
			dst[i] = '!'
		}
		i += n
	}
	return dst
}

// pair is an entry of a map from text to text.
func pair[T string | []byte](dst []byte, field protowire.Number, key string, v T) []byte {
	dst, at := open(dst, field)
	return end(text(text(dst, 1, key), 2, v), at)
}

// span is a Duration; one that is negative has not happened.
func span(dst []byte, field protowire.Number, d time.Duration) []byte {
	if d < 0 {
		return dst
	}
	dst, at := open(dst, field)
	dst = number(dst, 1, uint64(d/time.Second))
	return end(number(dst, 2, uint64(d%time.Second)), at)
}

// moment is a Timestamp.
func moment(dst []byte, field protowire.Number, t time.Time) []byte {
	dst, at := open(dst, field)
	dst = number(dst, 1, uint64(t.Unix()))
	return end(number(dst, 2, uint64(t.Nanosecond())), at)
}

// address is an Address: that of a socket, or of a pipe if there is a path.
func address(dst []byte, field protowire.Number, a netip.AddrPort, path string) []byte {
	if path == "" && !a.IsValid() {
		return dst
	}
	dst, outer := open(dst, field)
	if path != "" {
		var at int
		dst, at = open(dst, 2)
		return end(end(text(dst, 1, path), at), outer)
	}
	dst, at := open(dst, 1)
	var host int
	dst, host = open(dst, 2)
	dst = end(a.Addr().AppendTo(dst), host)
	// The port is one of a choice, so that 0 is written, too.
	dst = protowire.AppendVarint(protowire.AppendTag(dst, 3, protowire.VarintType), uint64(a.Port()))
	return end(end(dst, at), outer)
}
