// Package control tests the control plane by what becomes of what it says: in the real Envoy and in the data plane, as processes under it, and in the
// data plane's own reader and matcher. It is not for what it says to the letter, which goldens beside the translation hold.
package control
