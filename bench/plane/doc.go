// Package plane is the control plane of the mesh scenarios: it speaks delta ADS as istiod does, describes a mesh of the shape that istiod
// describes, and says what a scenario has it say, when it has it say it. It watches no mesh.
package plane
