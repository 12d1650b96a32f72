// Package fault delays, aborts and slows down requests on purpose, as Envoy's fault filter does. It fails nothing by itself: which
// requests are meant is said by its configuration or, where that allows it, by the requests.
package fault
