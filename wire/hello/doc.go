// Package hello reads what the first bytes of a connection say about it: a TLS ClientHello's server name and protocols, a version of
// HTTP, or that it is Dubbo. It takes nothing away and answers nothing: handshakes are for tls, requests for wire/http1, wire/http2 and wire/dubbo.
package hello
