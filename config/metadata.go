package config

// Metadata is what a control plane says of an endpoint or a route, or a filter of an exchange, beside what is configured: JSON objects
// by namespace, such as "envoy.lb". Values are nil, bool, float64, string, []any and map[string]any. What came with a configuration is
// never written to.
type Metadata map[string]map[string]any

// State is a named value that a filter set for later filters, routes and logs.
type State struct {
	Name, Value string
	Hashable    bool // balancers may hash it
	// Object is what logs write of it as a value of JSON, Text as JSON within a text; empty: Value, as a string of JSON's.
	Object, Text string
	// Fields is what expressions see of it, of JSON's values, which nobody writes to; nil: Value.
	Fields map[string]any
}

// MetadataMatch is a condition on a value of metadata. A value that is not there fits nothing.
type MetadataMatch struct {
	Namespace string
	Path      []string // at least one key
	Value     ValueMatch
	Invert    bool
}

// ValueMatch is a condition on a value of JSON's. Of its fields Kind says which are meant.
type ValueMatch struct {
	Kind   ValueKind
	Bool   bool        // ValueBool; ValuePresent: false fits nothing, with Envoy
	From   float64     // ValueNumber
	To     float64     // ValueNumber: From <= v < To, or v == From if they are equal
	String StringMatch // ValueString
	Parts  []ValueMatch
}

// ValueKind is what a value must be.
type ValueKind uint8

// The kinds.
const (
	ValuePresent ValueKind = iota
	ValueNull
	ValueBool
	ValueNumber
	ValueString
	ValueList // one of its elements fits the one part
	ValueAny  // it fits one of the parts
)

// StateMatch is a condition on a named value, which must be there.
type StateMatch struct {
	Name   string
	String StringMatch
}
