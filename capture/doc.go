// Package capture brings a workload's traffic to the proxy: from settings, which are those of Istio's sidecars, it makes a plan, which is data and
// pure, and has the kernel carry it out by iptables or by nftables. It says what is there, what is missing and what escapes. It is not for
// taking the traffic that comes: that is proxy/listener, which asks the kernel where a connection was going.
package capture
