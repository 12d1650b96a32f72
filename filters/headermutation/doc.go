// Package headermutation changes the header fields of requests and responses, their trailers and the query, as configured, as Envoy's
// header mutation filter does. It decides nothing.
package headermutation
