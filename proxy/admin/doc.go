// Package admin answers the process's operator over HTTP, in Envoy's words: views of what runs, and a few things to do to it. It holds
// no state of its own: all that it shows and does is handed to it.
package admin
