// Package ground is where workloads stand without a cluster: network namespaces joined by a bridge, or addresses of loopback where those cannot be had, for
// the tutorial and for benchmarks. It is not for what runs in them.
package ground
