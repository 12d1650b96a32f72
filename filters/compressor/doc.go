// Package compressor compresses bodies, as Envoy's compressor filter does: of requests if it is told to, of responses as clients accept
// it. How bytes become fewer is not its matter but that of libraries, and what is compressed already it leaves alone.
package compressor
