// Package scenarios is what is measured: a literal list of scenarios with the numbers asked of weft,
// and the few ways of measuring that they are made of. It neither summarizes nor prints.
package scenarios
