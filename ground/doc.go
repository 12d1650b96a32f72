// Package ground is where workloads stand without a cluster: network namespaces joined by a bridge, for the tutorial and for benchmarks. It is not for what
// runs in them.
package ground
