// Package grpchttp1bridge has clients of HTTP/1, which see no trailers, call servers of gRPC, as Envoy's filter of that name does: the status
// is told in the head. It translates no text; that is for grpcweb.
package grpchttp1bridge
