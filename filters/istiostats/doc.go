// Package istiostats takes the configuration of Istio's metrics and holds it against what it may say. It counts nothing yet: nothing about a
// request depends on it.
package istiostats
