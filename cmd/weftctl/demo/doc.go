// Package demo is weftctl demo, the tutorial: a whole mesh on this machine, walked through step by step under traffic that is counted. It is not for what
// a mesh does, which weftd and weft do here as everywhere: it runs them, and tells them what a user would.
package demo
