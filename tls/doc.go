// Package tls is transport identity: contexts, secrets by name, the checks of certificates, and TLS connections as state without I/O.
// Sockets, loops and where secrets come from are not its matter.
package tls
