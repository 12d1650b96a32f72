// Package report holds what weft reports over gRPC (access logs, load) against what the real Envoy reports of the same traffic, and asks
// it for its configuration as gRPC's tools do. It is not for the traffic itself: that is compared in oracle.
package report
