package config

// Fraction is a share of what happens: Of of In, never if Of is 0.
type Fraction struct{ Of, In uint32 }

// Always is all of it.
var Always = Fraction{1, 1}
