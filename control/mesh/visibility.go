package mesh

import "slices"

// Visibility says in which namespaces something is seen.
type Visibility struct {
	All        bool
	Namespaces []string // if not All
}

// visibility reads an exportTo. Nothing said is what the mesh says of the kind, and everywhere if that says nothing either.
func visibility(exportTo, usual []string, namespace string) Visibility {
	if len(exportTo) == 0 {
		if exportTo = usual; len(exportTo) == 0 {
			return Visibility{All: true}
		}
	}
	var v Visibility
	for _, one := range exportTo {
		switch one {
		case "*":
			return Visibility{All: true}
		case ".":
			v.Namespaces = append(v.Namespaces, namespace)
		case "~":
		default:
			v.Namespaces = append(v.Namespaces, one)
		}
	}
	slices.Sort(v.Namespaces)
	v.Namespaces = slices.Compact(v.Namespaces)
	return v
}

// In tells whether it is seen in a namespace.
func (v Visibility) In(namespace string) bool {
	return v.All || slices.Contains(v.Namespaces, namespace)
}
