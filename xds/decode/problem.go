package decode

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a resource, and where.
type Problem struct {
	Path string // such as static_resources.listeners[0].filter_chains[0].filters[0].typed_config(HttpConnectionManager).rds
	Text string // what is wrong and what would be right
}

// Problems is everything that was found wrong with a resource, in its order, up to a bound.
type Problems []Problem

// maxProblems bounds what is listed: whoever repairs fifty tries again.
const maxProblems = 50

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, q := range p {
		lines[i] = q.String()
	}
	return strings.Join(lines, "\n")
}

// String is path: text.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// at is a place in a resource: a chain of steps from the root, spelled out only if something is wrong there.
type at struct {
	up    *at
	name  string // of a field, or of a message if it is what an Any holds, or a map's key
	index int
	step  step
}

type step uint8

const (
	stepField step = iota
	stepIndex
	stepKey
	stepMessage
)

func (a *at) field(name string) *at { return &at{up: a, name: name} }
func (a *at) item(i int) *at        { return &at{up: a, index: i, step: stepIndex} }
func (a *at) key(key string) *at    { return &at{up: a, name: key, step: stepKey} }
func (a *at) as(message string) *at { return &at{up: a, name: short(message), step: stepMessage} }

// String spells the path.
func (a *at) String() string {
	var steps []*at
	for ; a != nil; a = a.up {
		steps = append(steps, a)
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		switch s := steps[i]; s.step {
		case stepField:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		case stepIndex:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case stepKey:
			b.WriteString("[" + strconv.Quote(s.name) + "]")
		case stepMessage:
			b.WriteString("(" + s.name + ")")
		}
	}
	return b.String()
}

// problem notes something wrong at a place. What was said of a place first is the one thing that is said of it: the walk, Envoy's own
// rules and the conversion come by one after the other.
func (s *session) problem(a *at, format string, args ...any) {
	if s.full() {
		return
	}
	path := a.String()
	for _, q := range s.problems {
		if q.Path == path {
			return
		}
	}
	s.problems = append(s.problems, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}

// harmless tells whoever wants to know of something that is set and changes nothing.
func (s *session) harmless(a *at, value, why string) {
	if tell := s.options.Harmless; tell != nil {
		tell(Problem{Path: a.String(), Text: value + why})
	}
}

// full says that looking further is of no use.
func (s *session) full() bool { return len(s.problems) >= maxProblems }

// err is what was found.
func (s *session) err() error {
	if len(s.problems) == 0 {
		return nil
	}
	return s.problems
}
