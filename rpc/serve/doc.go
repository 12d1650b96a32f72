// Package serve answers gRPC's calls over the mesh's own HTTP/2, a goroutine for each call: what a control plane says to ten thousand proxies. Services are
// registered as with google.golang.org/grpc, whose types handlers see. It is not for messages that are compressed, nor for what is called.
package serve
