// Package mixed is traffic of five kinds at once, with its own upstream: what a proxy carries while its configuration changes or while
// another process takes its place. It counts what is lost and says why. It is not for the cost of a request: that is package load.
package mixed
