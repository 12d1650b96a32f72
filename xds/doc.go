// Package xds brings configuration in: the bootstrap from files and the command line, and resources from watched files. It decides
// when something new is there and keeps the last that was good; what a resource means is for xds/decode, and what becomes of it for
// proxy.
package xds
