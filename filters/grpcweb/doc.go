// Package grpcweb has clients of gRPC-Web call servers of gRPC, as Envoy's filter of that name does: it takes the text of their requests
// apart and puts trailers into bodies. It answers no preflights; that is for cors.
package grpcweb
