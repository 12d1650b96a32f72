// Package peermetadata tells mesh peers in headers which workload they talk to, and learns the same from theirs, for logs and expressions, as
// Istio's filter of that name does. It is not for who a peer is: it says what it likes here, and certificates prove it.
package peermetadata
