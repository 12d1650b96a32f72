package line

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/weftmesh/weft/wire/http"
)

// Content is the type of all that gRPC says; who speaks may name a format behind it.
const Content = "application/grpc"

// IsContent tells whether a content-type is gRPC's.
func IsContent(value []byte) bool {
	kind, _, _ := strings.Cut(string(value), ";")
	return kind == Content || strings.HasPrefix(kind, Content+"+")
}

// Add writes what is said beside a call. Values whose name ends in -bin are bytes (gRPC over HTTP/2, Custom-Metadata).
func Add(h *http.Header, md metadata.MD) {
	for name, values := range md {
		for _, v := range values {
			if strings.HasSuffix(name, "-bin") {
				v = base64.RawStdEncoding.EncodeToString([]byte(v))
			}
			h.AddNamed([]byte(name), []byte(v))
		}
	}
}

// Read reads what is said beside a call.
func Read(h *http.Header) (metadata.MD, error) {
	md := metadata.MD{}
	for i := range h.Len() {
		name, value := string(h.Name(i)), string(h.Value(i))
		if strings.HasSuffix(name, "-bin") {
			plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
			if err != nil {
				return nil, fmt.Errorf("rpc: %s is not base64", name)
			}
			value = string(plain)
		}
		md[name] = append(md[name], value)
	}
	return md, nil
}

// maxText bounds, in bytes, what is said of an error: peers bound heads.
const maxText = 4 << 10

// Percent writes a text as grpc-message has it: what is not printable ASCII, and %, as its bytes.
func Percent(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Plain reads a grpc-message. What is not written as one stays as it is.
func Plain(text []byte) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if v, err := strconv.ParseUint(string(text[i+1:i+3]), 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}
