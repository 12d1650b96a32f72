// Package remote sends access logs to servers over gRPC, as Envoy's access log service has them. Entries are written on their loop into a
// bounded buffer, in protobuf's wire format; a goroutine for each server and name of a log sends what waits. It is not for what is logged,
// nor for whom a server is: a snapshot says that.
package remote
