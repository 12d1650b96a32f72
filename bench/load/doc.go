// Package load makes traffic and times it: one goroutine, one epoll set, no allocation per request.
// A loop moves bytes, a protocol says what they mean, a pace says when the next request goes out.
// It is not a test client: it knows one request per protocol and accepts exactly one answer to it.
package load
