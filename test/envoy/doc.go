// Package envoy finds and runs the real Envoy for tests that hold weft against it. What they ask of it is theirs.
package envoy
