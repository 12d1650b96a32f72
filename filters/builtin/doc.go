// Package builtin lists the filters that the program has. It is a list and nothing else.
package builtin
