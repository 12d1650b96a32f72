// Package healthcheck answers the health checks of others in the upstream's place, or remembers what the upstream answered, as Envoy's
// health check filter does. It checks nothing by itself.
package healthcheck
