// Package e2e tests the data plane whole: real sockets, the real proxy in this process, configurations as a user writes them. Its
// language is small, so that a test is five lines: an Upstream that answers, a Proxy before it, a Conn that sends and expects.
package e2e
