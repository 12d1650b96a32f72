package accesslog

import (
	"slices"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Filter decides what is logged. Each of its parts is compiled to a kind and what that compares.
type Filter struct {
	config *config.LogFilter
	flags  Flags
	parts  []Filter
}

// NewFilter compiles a filter; nil makes nil, which lets everything be logged.
func NewFilter(c *config.LogFilter) *Filter {
	if c == nil {
		return nil
	}
	f := compileFilter(c)
	return &f
}

func compileFilter(c *config.LogFilter) Filter {
	f := Filter{config: c}
	for _, name := range c.Flags {
		for i := range flagNames {
			if flagNames[i][0] == name {
				f.flags |= 1 << i
			}
		}
	}
	if c.Flags == nil {
		f.flags = ^Flags(0)
	}
	for i := range c.Parts {
		f.parts = append(f.parts, compileFilter(&c.Parts[i]))
	}
	return f
}

// Rules judge by the rules of routes, which are in a room that this one may not see.
type Rules interface {
	// MatchHeaders tells whether all conditions hold for a request.
	MatchHeaders(list []config.HeaderMatch, r *http.Request) bool
	// MatchMetadata tells whether a value is there, and whether it is what is asked for.
	MatchMetadata(m *config.MetadataMatch, all config.Metadata) (fits, found bool)
}

// Wants tells whether an entry is to be logged. random decides about shares; rules may be nil where there are no requests.
func (f *Filter) Wants(e *Entry, random uint64, rules Rules) bool {
	if f == nil {
		return true
	}
	switch c := f.config; c.Kind {
	case config.LogStatus:
		return compare(c, uint64(e.Status))
	case config.LogDuration:
		return e.End >= 0 && compare(c, uint64(e.End/time.Millisecond))
	case config.LogNoHealthCheck:
		return !e.HealthCheck
	case config.LogShare:
		return random%uint64(c.Share.In) < c.Key.Uint(uint64(c.Share.Of))
	case config.LogAll:
		for i := range f.parts {
			if !f.parts[i].Wants(e, random, rules) {
				return false
			}
		}
		return true
	case config.LogAny:
		for i := range f.parts {
			if f.parts[i].Wants(e, random, rules) {
				return true
			}
		}
		return false
	case config.LogHeaders:
		if rules == nil || e.Request == nil {
			return c.Headers[0].Invert // there is no field that could fit
		}
		return rules.MatchHeaders(c.Headers, e.Request)
	case config.LogFlags:
		return e.Flags&f.flags != 0
	case config.LogGRPC:
		code, ok := e.GRPCStatus()
		if !ok {
			code = 2
		}
		return slices.Contains(c.Codes, code) != c.Exclude
	case config.LogTypes:
		of := c.OfTCP
		switch {
		case e.Whole:
			of = 0
		case e.HasProtocol:
			of = c.OfHTTP
		}
		return (of&(1<<e.Moment) != 0) != c.Exclude
	case config.LogExpression:
		return c.Expression.(Expression).Holds(e)
	case config.LogMetadata:
		if rules == nil || e.Metadata == nil || c.Metadata == nil {
			return c.Missing
		}
		fits, found := rules.MatchMetadata(c.Metadata, e.Metadata)
		if !found {
			return c.Missing
		}
		return fits
	}
	return true
}

func compare(c *config.LogFilter, v uint64) bool {
	to := c.Key.Uint(uint64(c.Value))
	switch c.Compare {
	case config.CompareAtLeast:
		return v >= to
	case config.CompareAtMost:
		return v <= to
	case config.CompareOther:
		return v != to
	}
	return v == to
}

// IsFlag tells whether there is a flag of that short name.
func IsFlag(name string) bool {
	return slices.ContainsFunc(flagNames[:], func(n [2]string) bool { return n[0] == name })
}
