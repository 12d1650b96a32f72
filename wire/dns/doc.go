// Package dns turns questions of the Domain Name System (RFC 1035) into messages and messages into answers. It asks nobody: sockets,
// servers and when to ask again are for whoever uses it.
package dns
