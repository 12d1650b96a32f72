// Weftctl is the operator's command line: what a person or a script does to a mesh and its proxies. It is not for serving: the data
// plane is weft, the control plane weftd.
package main
