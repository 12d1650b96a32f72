// Package handover gives a process's place to its successor (hot restart): its listening sockets, connections that can go on, what it has
// counted, and the word to go. There is one place for each base id, which is a Unix socket that goes from process to process with everything
// else. What is done with the sockets and connections, and how clients are asked to go, is for proxy and its owner.
package handover
