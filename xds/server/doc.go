// Package server speaks the discovery protocol to proxies: streams, subscriptions, nonces, ACKs and NACKs, in both of its variants. What a
// proxy is told is given to it as a View, and it finds out what of that is new to the proxy. It is not for what resources mean.
package server
