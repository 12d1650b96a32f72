// Package oracle sends the same requests, under the same configurations, through the real Envoy and through weft, and compares all that
// can be seen from outside: answers, what upstreams got, access logs and counters. It judges traffic; that both accept the same
// configurations is asked in xds, and which endpoints balancers choose in proxy/upstream.
package oracle
