// Package setfilterstate sets named values of the exchange, as Envoy's set filter state filter does. Who reads them decides what they
// mean.
package setfilterstate
