// Package ondemand has requests wait for the virtual host, the routes or the cluster that they lack, if a control plane may have it. It does
// not ask for them: the exchange does, which knows what is lacking.
package ondemand
