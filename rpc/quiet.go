package rpc

import (
	"io"

	"google.golang.org/grpc/grpclog"
)

// Quiet has gRPC not write to the process's standard error, in a format of its own, what it thinks of connections: who uses them tells in the
// log why they failed. It is for the beginning of a program.
func Quiet() { grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) }
