package source

// Check is.
func Check(o *Object) []Problem { return nil }
