// Package rbac lets those pass whom policies allow to, as Envoy's RBAC filter does. It is not for where policies come from, nor for how a caller has shown who he is.
package rbac
