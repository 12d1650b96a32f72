// Package expression compiles expressions in CEL and asks them about what is logged, by the attributes that Envoy gives exchanges and
// connections. It decides nothing: what is done with a value is for who asks. It is the only room that knows the library.
package expression
