// Package match has the conditions on strings, and walks matchers and policies: from what is known of a connection or a request to an action. It knows neither, asks for one value at a
// time, and has no I/O.
package match
