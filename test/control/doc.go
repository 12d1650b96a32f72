// Package control runs the control plane as a process over a directory, with proxies as processes under it, and looks at what traffic makes of what is
// written. It is not for what is told in detail, which the goldens of control/translate hold.
package control
