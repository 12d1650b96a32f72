// Package buffer lets a request go on when it is whole, as Envoy's buffer filter does. It does not look at what it holds.
package buffer
