// Command bench measures weft beside nginx, HAProxy and Envoy: the same work, in the same run, on
// the same machine. It is not a test and decides nothing: it prints what was measured beside what
// was asked.
package main
