// Package headertometadata notes what header fields and cookies say as metadata of the exchange, as Envoy's header to metadata filter
// does. What becomes of the metadata is for others.
package headertometadata
