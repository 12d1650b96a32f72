// Package csrf refuses requests that change something and that a page of another origin has sent, as Envoy's CSRF filter does. Safe
// methods are not its matter.
package csrf
