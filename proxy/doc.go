// Package proxy is the running data plane: the loops, and on them the listeners, routes and clusters of the current configuration. It
// is the one place where they are wired together and where a new configuration takes an old one's place; it reads no configuration
// (xds does) and no command line (cmd/weft does).
package proxy
