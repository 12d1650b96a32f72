// Package grpcstats counts calls of gRPC and their messages, as Envoy's filter of that name does. It changes nothing of them.
package grpcstats
