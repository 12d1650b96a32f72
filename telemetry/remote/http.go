package remote

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// field is a field of a head by its name.
type field struct {
	name string
	id   http.ID
}

func fields(names []string) (list []field) {
	for _, n := range names {
		list = append(list, field{n, http.Lookup(n)})
	}
	return list
}

// exchange writes an HTTPAccessLogEntry.
func (s *sink) exchange(dst []byte, b *buffer, e *accesslog.Entry) []byte {
	dst = s.common(dst, b, e)
	if e.HasProtocol {
		dst = number(dst, 2, uint64(e.Protocol-http.HTTP10)+1)
	}
	dst, at := open(dst, 3)
	dst = end(s.asked(dst, e), at)
	dst, at = open(dst, 4)
	return end(s.answered(dst, e), at)
}

// asked is the content of an HTTPRequestProperties.
func (s *sink) asked(dst []byte, e *accesslog.Entry) []byte {
	r := e.Request
	if r != nil {
		dst = number(dst, 1, method(r.Method()))
		dst = text(dst, 2, r.Scheme())
		dst = text(dst, 3, r.Authority())
		dst = text(dst, 5, r.Path())
		dst = text(dst, 6, r.Get(http.UserAgent))
		dst = text(dst, 7, r.Get(http.Referer))
		dst = text(dst, 8, r.Get(http.XForwardedFor))
		dst = text(dst, 9, r.Get(http.XRequestID))
		dst = text(dst, 10, r.Get(http.XEnvoyOriginalPath))
		dst = number(dst, 11, uint64(r.HeadSize()))
	}
	dst = number(dst, 12, e.BytesReceived)
	if r != nil {
		for _, f := range s.requestHeaders {
			switch f.name {
			case ":method":
				dst = found(dst, 13, f.name, r.Method())
			case ":scheme":
				dst = found(dst, 13, f.name, r.Scheme())
			case ":authority", "host":
				dst = found(dst, 13, f.name, r.Authority())
			case ":path":
				dst = found(dst, 13, f.name, r.Path())
			default:
				dst = head(dst, 13, f, &r.Header)
			}
		}
	}
	if m := e.More; m != nil {
		dst = number(dst, 14, m.To.Fields)
		dst = number(dst, 15, m.Received.Fields)
	}
	return dst
}

// answered is the content of an HTTPResponseProperties.
func (s *sink) answered(dst []byte, e *accesslog.Entry) []byte {
	if e.Status != 0 {
		dst = wrapped(dst, 1, uint64(e.Status))
	}
	r := e.Response
	if r != nil {
		dst = number(dst, 2, uint64(r.HeadSize()))
	}
	dst = number(dst, 3, e.BytesSent)
	if r != nil {
		for _, f := range s.responseHeaders {
			if f.name == ":status" {
				if e.Status != 0 {
					var digits [3]byte
					dst = found(dst, 4, f.name, append(digits[:0], byte('0'+r.Status/100%10), byte('0'+r.Status/10%10), byte('0'+r.Status%10)))
				}
				continue
			}
			dst = head(dst, 4, f, &r.Header)
		}
	}
	if t := e.ResponseTrailers; t != nil {
		for _, f := range s.responseTrailers {
			dst = head(dst, 5, f, t)
		}
	}
	dst = text(dst, 6, e.Details)
	if m := e.More; m != nil {
		dst = number(dst, 7, m.From.Fields)
		dst = number(dst, 8, m.Sent.Fields)
	}
	return dst
}

// found is a field that is not among the others.
func found(dst []byte, number protowire.Number, name string, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return pair(dst, number, name, v)
}

// head is a field of a head, of which there may be several: their values are one, with commas in between.
func head(dst []byte, number protowire.Number, f field, h *http.Header) []byte {
	i := h.Find(f.id, f.name, 0)
	if i < 0 {
		return dst
	}
	dst, at := open(dst, number)
	dst = text(dst, 1, f.name)
	dst, held := open(dst, 2)
	from := len(dst)
	dst = append(dst, h.Value(i)...)
	for i = h.Find(f.id, f.name, i+1); i >= 0; i = h.Find(f.id, f.name, i+1) {
		dst = append(append(dst, ','), h.Value(i)...)
	}
	return end(end(clean(dst, from), held), at)
}

// method is the number of a RequestMethod; 0: it has none.
func method(name []byte) uint64 {
	switch string(name) {
	case "GET":
		return 1
	case "HEAD":
		return 2
	case "POST":
		return 3
	case "PUT":
		return 4
	case "DELETE":
		return 5
	case "CONNECT":
		return 6
	case "OPTIONS":
		return 7
	case "TRACE":
		return 8
	case "PATCH":
		return 9
	}
	return 0
}
