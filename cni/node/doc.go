// Package node keeps the CNI plugin of one Kubernetes node in place, as long as its DaemonSet is there, and captures the traffic of pods that were started without the
// plugin. It runs no proxy, and what a pod wants to be captured is for cni to read.
package node
