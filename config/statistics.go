package config

import "regexp"

// Statistics is how numbers are shown, and which of them.
type Statistics struct {
	// None shows none. Only, if it is not nil, shows what one of the conditions on the name fits, Except what none of its fits.
	None         bool
	Only, Except []StringMatch
	// OwnLabels says that Labels are all the labels there are; else they are those that Envoy has by default.
	OwnLabels bool
	Labels    []StatLabel
	Buckets   []StatBuckets // the first that fits a name is meant
}

// StatLabel makes a label of a part of a number's name.
type StatLabel struct {
	Name  string
	Value string // the same for every number; Pattern is nil then
	// Pattern's first group is cut out of the name; its second, or else the first, is the value. Guard must match, too, if it is not nil.
	Pattern, Guard *regexp.Regexp
}

// StatBuckets are the upper bounds of buckets of some histograms, in ascending order.
type StatBuckets struct {
	Name   StringMatch
	Limits []float64
}
