package source

import "slices"

// RevisionLabel names, on an object of Istio's kinds, the one of several control planes that is to read it. Without it all do.
const RevisionLabel = "istio.io/rev"

// revisionOf is what the label says; of what is Kubernetes' own it says nothing.
func revisionOf(k Kind, labels map[string]string) string {
	if k > WasmPlugin {
		return ""
	}
	return labels[RevisionLabel]
}

// foreign tells whether what is for one revision is not for another one.
func foreign(of, revision string) bool { return of != "" && of != revision }

// For is a batch as the control plane of a revision reads it: an object that is for another one is not there, and what is wrong with it is not said. One
// without a revision reads all.
func (b Batch) For(revision string) Batch {
	if revision == "" {
		return b
	}
	b.Changes = slices.Clone(b.Changes)
	for i, c := range b.Changes {
		if c.Object != nil && foreign(revisionOf(c.Kind, c.Object.Labels), revision) {
			b.Changes[i].Object = nil
		}
	}
	b.Problems = slices.DeleteFunc(slices.Clone(b.Problems), func(p Problem) bool { return foreign(p.Revision, revision) })
	return b
}
