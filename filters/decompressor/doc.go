// Package decompressor takes the compression off bodies, as Envoy's decompressor filter does, for those behind it that cannot. A body that
// is broken, or swells as no honest one does, ends with its exchange here and is not passed on as if it were whole, which is Envoy's way.
package decompressor
