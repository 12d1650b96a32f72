// Package upstream is the server behind every contestant: one thread, one epoll set, prepared
// answers. It is as cheap as we can make it and checks as little as that allows; it is no HTTP server.
package upstream
