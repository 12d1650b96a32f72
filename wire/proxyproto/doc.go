// Package proxyproto reads and writes the PROXY protocol, versions 1 and 2: what a proxy says before the first byte of a connection about
// whom it is from. Whether to believe that is for proxy/listener.
package proxyproto
