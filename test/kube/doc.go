// Package kube runs a real Kubernetes API server with its store for tests. There is nothing else of a cluster: no controllers, no nodes, and so nobody who
// runs a Pod or fills a slice. What tests ask of it is theirs.
package kube
