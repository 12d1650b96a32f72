// Package inject puts a sidecar into a pod: whether, what, and by which patch, as a pure function of the pod and of what the mesh says. It serves no requests
// and asks no API server, which control does, and it captures no traffic itself.
package inject
