// Package calls is a gRPC service of bytes, and what a client says to it: by which a client and a server of ours are each tried against one that
// others wrote.
package calls
