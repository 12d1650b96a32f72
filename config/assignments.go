package config

import (
	"iter"
	"maps"
)

// Assignments are the endpoints of many clusters, by service name. Like all of a snapshot they are never written to; the next ones share
// with them what did not change, so that one cluster's other endpoints cost the same however many clusters there are.
type Assignments struct {
	all   *map[string]*Assignment // nil: none. A pointer, so that it can be told whether two share it
	since map[string]*Assignment  // what took the place of something in all, or came later
}

// maxSince bounds what is looked up beside all the others. To copy that many takes less than a microsecond.
const maxSince = 32

// NewAssignments are those of a map, which must not be written to any more.
func NewAssignments(all map[string]*Assignment) Assignments { return Assignments{all: &all} }

// Get is one cluster's; nil: they have not come.
func (a Assignments) Get(name string) *Assignment {
	if v, ok := a.since[name]; ok {
		return v
	}
	if a.all == nil {
		return nil
	}
	return (*a.all)[name]
}

// With is a with other endpoints of one cluster.
func (a Assignments) With(name string, v *Assignment) Assignments {
	if a.all == nil || len(a.since) >= maxSince {
		all := maps.Collect(a.All())
		all[name] = v
		return NewAssignments(all)
	}
	since := make(map[string]*Assignment, len(a.since)+1)
	maps.Copy(since, a.since)
	since[name] = v
	return Assignments{all: a.all, since: since}
}

// All are all of them, in no order.
func (a Assignments) All() iter.Seq2[string, *Assignment] {
	return func(yield func(string, *Assignment) bool) {
		if a.all != nil {
			for name, v := range *a.all {
				if _, other := a.since[name]; !other && !yield(name, v) {
					return
				}
			}
		}
		for name, v := range a.since {
			if !yield(name, v) {
				return
			}
		}
	}
}

// Len is how many there are.
func (a Assignments) Len() int {
	n := 0
	for range a.All() {
		n++
	}
	return n
}

// Equal says that two have the very same values.
func (a Assignments) Equal(b Assignments) bool {
	names, ok := a.Changed(b)
	if ok {
		return len(names) == 0
	}
	if a.Len() != b.Len() {
		return false
	}
	for name, v := range a.All() {
		if b.Get(name) != v {
			return false
		}
	}
	return true
}

// Changed are the names under which a has other values than before, if that can be told without looking at all.
func (a Assignments) Changed(before Assignments) (names []string, ok bool) {
	if a.all != before.all {
		return nil, false
	}
	for name, v := range a.since {
		if before.Get(name) != v {
			names = append(names, name)
		}
	}
	for name, v := range before.since {
		if _, both := a.since[name]; !both && a.Get(name) != v {
			names = append(names, name)
		}
	}
	return names, true
}
