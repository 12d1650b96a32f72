// Package accesslog is what is said of each exchange and connection once it is over: formats in Envoy's language of %operators%, and
// the files that lines go to, written off the loops. The same formats make the values of header fields. It does not decide what is
// logged; whoever owns the exchange fills an Entry.
package accesslog
