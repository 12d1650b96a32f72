package filters

import (
	"bytes"

	"github.com/weftmesh/weft/wire/http"
)

// grpcType begins the content types of gRPC.
const grpcType = "application/grpc"

func isGRPCType(kind []byte) bool {
	return bytes.HasPrefix(kind, []byte(grpcType)) && (len(kind) == len(grpcType) || kind[len(grpcType)] == '+')
}

// IsGRPC tells whether a request is of gRPC, with whatever encoding, as Envoy does: by its type, with its case.
func IsGRPC(r *http.Request) bool { return len(r.Path()) > 0 && isGRPCType(r.Get(http.ContentType)) }

// AnswersGRPC tells whether a response is of gRPC. end says that it is a head alone: its status is enough then.
func AnswersGRPC(r *http.Response, end bool) bool {
	if end {
		return r.Has(http.GRPCStatus)
	}
	return r.Status == 200 && isGRPCType(r.Get(http.ContentType))
}

// GRPCMethod cuts a path, /service/method with or without a query; false: it is none.
func GRPCMethod(path []byte) (service, method []byte, ok bool) {
	path, _, _ = bytes.Cut(path, []byte("?"))
	if len(path) == 0 || path[0] != '/' {
		return nil, nil, false
	}
	service, method, ok = bytes.Cut(path[1:], []byte("/"))
	return service, method, ok && len(service) > 0 && len(method) > 0 && bytes.IndexByte(method, '/') < 0
}

// GRPCStatusOf is what an HTTP status means in gRPC (doc/http-grpc-status-mapping.md of gRPC).
func GRPCStatusOf(status uint16) uint8 {
	switch status {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}

// AppendGRPCMessage writes a text as grpc-message wants it, with what is not printable ASCII as %XX. Envoy takes ~ for one of those.
func AppendGRPCMessage(dst, text []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range text {
		if c >= ' ' && c < '~' && c != '%' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// FrameHead is how many bytes stand before a message of gRPC: flags, and its length in four.
const FrameHead = 5

// Frames finds the messages in a stream of gRPC that comes in pieces. The zero value stands before the first.
type Frames struct {
	head [FrameHead]byte
	have uint8  // of head
	left uint32 // of the message, once its head is there
}

// Next is how much of b, which is not empty, is of one message, whether that begins in b, and whether it ends there.
func (f *Frames) Next(b []byte) (n int, begins, ends bool) {
	begins = f.have == 0
	if f.have < FrameHead {
		n = copy(f.head[f.have:], b)
		if f.have += uint8(n); f.have < FrameHead {
			return n, begins, false
		}
		f.left = uint32(f.head[1])<<24 | uint32(f.head[2])<<16 | uint32(f.head[3])<<8 | uint32(f.head[4])
	}
	rest := uint32(min(uint64(len(b)-n), uint64(f.left)))
	n, f.left = n+int(rest), f.left-rest
	if ends = f.left == 0; ends {
		f.have = 0
	}
	return n, begins, ends
}

// Begun is how many messages begin in b.
func (f *Frames) Begun(b []byte) (messages uint64) {
	for len(b) > 0 {
		n, begins, _ := f.Next(b)
		if b = b[n:]; begins {
			messages++
		}
	}
	return messages
}
