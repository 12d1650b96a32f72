// Package xds tests the data plane under a control plane: Envoy's own server library on one side, the real proxy on the other, and
// traffic through what was configured. It is not for how resources are read.
package xds
