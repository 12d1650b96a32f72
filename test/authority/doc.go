// Package authority issues certificates for tests: chains, lists of revoked ones, keys of session tickets, as files in a folder. What is done
// with them is not its matter, nor is the authority of a mesh.
package authority
