// Package rpc dials configured clusters for gRPC, for who is not on a loop: control planes, load reports, access logs. It is not for what is
// said on the connections, nor for when to dial again: each user has pauses of its own.
package rpc
