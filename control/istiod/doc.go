// Package istiod answers what Istio's own tools and dashboards ask of a control plane, in istiod's words: istioctl's questions over xDS, debug pages, and
// numbers. It reads what other rooms know and changes nothing; who may ask is not for it to say.
package istiod
