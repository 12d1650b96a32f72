// Package sidecars plays many proxies under one control plane, which is what is measured: each asks for what a sidecar asks for, by the data plane's own
// client, and keeps nothing of what comes but its names. It is not for what the answers mean.
package sidecars
