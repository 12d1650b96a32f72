// Package chart shows that what Weft is installed by is what its code wants: the chart is fresh, a real API server takes it, and weftd gets along with what
// it is given there.
package chart
