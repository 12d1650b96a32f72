// Package istio runs the program as Istio's agent does, with a bootstrap and resources of the shapes that agent and istiod write, and has the
// real Envoy judge what is said to be harmless. It is not for what single fields do: that is in fields and oracle.
package istio
