// Package fields holds the table of fields to its word: each one that is run is flipped in a running proxy, and something outside must
// be different. It is not for what a field does in detail: that is tested beside its code.
package fields
