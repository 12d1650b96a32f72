// Package mesh is the mesh as all of its objects together say it is: services and who sees them, where they run, and which rules hold for
// whom. A Mesh never changes. It is not for what proxies are told of it, nor for whether an object is right by itself.
package mesh
