package config

// Fraction is a share of what happens: Of of In, never if Of is 0; or what Key says, if it has a value.
type Fraction struct {
	Of, In uint32
	Key    *Key // nil: none
}

// Always is all of it.
var Always = Fraction{Of: 1, In: 1}
