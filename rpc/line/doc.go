// Package line carries gRPC's calls over the mesh's own HTTP/2, from either side: a connection that goroutines share, and the messages of its calls each way. It is
// not for who calls whom, nor for how a call is answered.
package line
