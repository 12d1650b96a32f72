// Package localratelimit lets requests through as fast as token buckets of this process fill, as Envoy's local rate limit filter does.
// It asks nobody else: limits over many processes are not its matter.
package localratelimit
