// Package translate says what a proxy is to be told of a mesh. It is pure: the same mesh and the same proxy give the same view, and what did not
// change between two meshes is the same pointer in both of their views. It is not for whom to tell and when.
package translate
