// Package peers holds weft between Dubbo's own ends: dubbo-go and Dubbo for Java, each as client and as server, with Dubbo 2 and with Triple. They are built by the test from dubbogo, a Go module of its own, and dubbojava, by Maven. What frames are made of is
// wire/dubbo's to test.
package peers
