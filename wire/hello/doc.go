// Package hello reads what the first bytes of a connection say about it: a TLS ClientHello's server name and protocols, or a version of
// HTTP. It takes nothing away and answers nothing: handshakes are for tls, requests for wire/http1 and wire/http2.
package hello
