// Package batch does private-key operations of RSA several at a time, in the lanes of vector registers, behind crypto.Signer. It knows keys
// and nothing of connections.
package batch
