// Package cors answers the preflight requests of browsers and tells them what they may show, as Envoy's CORS filter does. It keeps no
// request from an upstream: that is the browser's part.
package cors
