// Package etcd runs a real etcd for tests, which takes nobody without a certificate. What tests keep there is theirs.
package etcd
