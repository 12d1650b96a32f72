package config

import "net/netip"

// Matcher leads from what is known to an action. Of Rules and Tree one is set at most.
type Matcher struct {
	Rules     []MatchRule // the first that holds and leads somewhere counts
	Tree      *MatchTree
	Otherwise *OnMatch // if neither leads anywhere; nil: nowhere
}

// MatchRule is one condition and where it leads.
type MatchRule struct {
	If   MatchPredicate
	Then OnMatch
}

// MatchPredicate is a condition. Of Or, And and Not one is set, or Input and Value.
type MatchPredicate struct {
	Or, And []MatchPredicate
	Not     *MatchPredicate
	Input   MatchInput
	Value   StringMatch
}

// MatchTree finds where to go by one value, the longest that fits first. Of Exact, Prefixes and Ranges one is set.
type MatchTree struct {
	Input    MatchInput
	Exact    map[string]*OnMatch
	Prefixes map[string]*OnMatch
	Lengths  []int // that Prefixes have, the longest first
	Ranges   map[netip.Prefix][]MatchRange
	Bits     [2][]int // that Ranges of IPv4 and of IPv6 have, the longest first
}

// MatchRange is where a range of addresses leads.
type MatchRange struct {
	Then      *OnMatch
	Exclusive bool // only if no longer one fits
}

// OnMatch is an action, by its number, or, if Matcher is set, a further question. With Skip it leads nowhere after all.
type OnMatch struct {
	Matcher *Matcher
	Action  int
	Skip    bool
}

// MatchInput is what is looked at.
type MatchInput struct {
	Of   MatchKind
	Name string // of a header, in lower case, or of what a filter set
}

// MatchKind is what is looked at, but for its name.
type MatchKind uint8

// The inputs. Of requests there are the last two.
const (
	MatchDestinationIP MatchKind = iota
	MatchDestinationPort
	MatchSourceIP
	MatchSourcePort
	MatchDirectSourceIP
	MatchSourceType
	MatchServerName
	MatchTransport
	MatchApplications
	MatchHeader // all of its values, with commas between them
	MatchState
)
