// Package status answers what kubelets, Prometheus and tools ask of a pod's sidecar: whether it is ready, how the application does, and the metrics of both. All that it shows it is
// given as functions: it is not for what serves, and nothing of it is on the path of a request.
package status
