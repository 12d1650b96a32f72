// Package issuer is where a workload's certificate comes from: a key that is made here, a request to who signs (Istio's certificate service), renewal before the end, or files that others write. It is
// not for who is told the result, nor for judging peers.
package issuer
