// Package vacant finds ports for tests and benchmarks, where a program has to be told one before it binds it.
package vacant
