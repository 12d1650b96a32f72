// Package istioalpn has upstream connections say by ALPN which version of HTTP they carry and that it comes from a mesh, as Istio's filter of
// that name does: sidecars tell HTTP from other traffic by it. It is not for what TLS offers otherwise: clusters say that.
package istioalpn
