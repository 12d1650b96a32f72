// Package telemetry keeps the numbers of a running proxy: counters, gauges and histograms, named as Envoy names them. It does not
// decide what is counted (each room declares the table of its own numbers) and never puts a name together on the path of a request.
package telemetry
