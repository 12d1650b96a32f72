// Package cni is the plugin that a container runtime calls for a pod's network (CNI 0.3.0 to 1.1.0): it has the kernel bring the pod's traffic to its sidecar, so that the
// pod needs no right to do so. It gives no pod a network, and what is captured is for the pod to say and for capture to carry out.
package cni
