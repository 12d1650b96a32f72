// Package store keeps what must outlive a process: named values, each with the revision by which writers notice one another. It is not for what
// the values mean.
package store
