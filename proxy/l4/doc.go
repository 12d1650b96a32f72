// Package l4 carries TCP connections to clusters, byte by byte as they come. It does not look into them: protocols are for proxy/l7.
package l4
