// Package sidecar is the agent's part in the proxy's process: its settings out of an environment, the bootstrap that they make, who it is, and the order in which all this begins and ends. It is not for
// what the proxy does, which it is handed as functions.
package sidecar
