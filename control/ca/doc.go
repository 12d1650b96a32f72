// Package ca is the mesh's certificate authority: who is who, the keys that say so, what has been issued, and what is revoked. It is not for how
// proxies are told of it.
package ca
