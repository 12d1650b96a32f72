// Package kube is a Kubernetes API server as a source of objects, followed as it changes, and as who knows service accounts by their tokens. What an object
// means and whether it is good is for control/source to say.
package kube
