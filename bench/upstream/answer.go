package upstream

import (
	"bytes"
	"fmt"
	"strings"
)

// kind is what a port speaks.
type kind uint8

const (
	httpKind kind = iota
	tcp1K
	tcp64K
	http2Kind
	dubboKind
)

// Paths and sizes the HTTP port knows.
const (
	Path1K  = "/api/b1k/items?id=1"
	Path64K = "/api/b64k/items?id=1"
	// PathFails is answered with 503.
	PathFails = "/api/bfails/items?id=1"
	Size1K    = 1 << 10
	Size64K   = 64 << 10
)

// HeadSize is the length of every response head.
const HeadSize = 161

// requestSize is the length of every TCP request.
const requestSize = 1 << 10

// mostAsked bounds what is kept of unanswered requests.
const mostAsked = 16 << 10

var (
	answer1K   = httpAnswer("200 OK", Size1K)
	answer64K  = httpAnswer("200 OK", Size64K)
	notFound   = httpAnswer("404 Not Found", 0)
	failure    = httpAnswer("503 Service Unavailable", 0)
	message1K  = bytes.Repeat([]byte("w"), Size1K)
	message64K = bytes.Repeat([]byte("w"), Size64K)

	endOfHead = []byte("\r\n\r\n")
	get1K     = []byte("GET /api/b1k/")
	get64K    = []byte("GET /api/b64k/")
	getFails  = []byte("GET /api/bfails/")
	get       = []byte("GET ")
)

// answer returns the prepared answer to the first request in p and how many bytes that request has;
// 0 says that it is not complete, -1 that it is none.
func (k kind) answer(p []byte) (answer []byte, used int) {
	if k != httpKind {
		if len(p) < requestSize {
			return nil, 0
		}
		if k == tcp1K {
			return message1K, requestSize
		}
		return message64K, requestSize
	}
	end := bytes.Index(p, endOfHead)
	if end < 0 {
		return nil, 0
	}
	used = end + len(endOfHead)
	switch {
	case bytes.HasPrefix(p, get1K):
		return answer1K, used
	case bytes.HasPrefix(p, get64K):
		return answer64K, used
	case bytes.HasPrefix(p, getFails):
		return failure, used
	case bytes.HasPrefix(p, get):
		return notFound, used
	}
	return nil, -1
}

// httpAnswer builds a response whose head is HeadSize long, whatever its numbers are.
func httpAnswer(status string, size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"Cache-Control: no-store\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nX-Fill: ", status, size)
	fill := strings.Repeat("f", HeadSize-len(head)-len(endOfHead))
	return append([]byte(head+fill+"\r\n\r\n"), bytes.Repeat([]byte("w"), size)...)
}
