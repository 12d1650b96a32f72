// Package console is what people and scripts do to a mesh without Kubernetes, over HTTP: look at objects, apply, delete, go back; and who may. It is
// not for proxies, nor for the pages of weftd's own state.
package console
