// Package control is the control plane put together: sources of objects, the mesh that they make, and the servers that proxies and people ask. What
// each part does is for the rooms below it.
package control
