// Package source is the objects that a mesh is made of, as their authors wrote them, and the reading and checking of each by itself. Where
// they come from is the matter of the rooms below it, and what they mean together of control/mesh.
package source
