package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/wire/dubbo"
)

// DubboServiceRoute are the routes of some of Dubbo's interfaces; without services, of all.
type DubboServiceRoute struct {
	Services []TextMatch  `json:"services,omitempty"`
	Routes   []DubboRoute `json:"routes,omitempty"`
}

// TextMatch is one of three.
type TextMatch struct {
	Exact  string `json:"exact,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Regex  string `json:"regex,omitempty"`
}

// DubboRoute is taken if one of its matches fits, or if it has none.
type DubboRoute struct {
	Match []DubboMatch       `json:"match,omitempty"`
	Route []DubboDestination `json:"route,omitempty"`
}

// DubboMatch is of a call and its attachments.
type DubboMatch struct {
	Method  *DubboMethod           `json:"method,omitempty"`
	Headers map[string]TextMatches `json:"headers,omitempty"`
}

// DubboMethod is of what is called, and with what.
type DubboMethod struct {
	Name      string          `json:"name,omitempty"`
	Argc      uint32          `json:"argc,omitempty"` // 0: any
	Args      []DubboArgument `json:"args,omitempty"`
	NameMatch *TextMatch      `json:"nameMatch,omitempty"`
}

// DubboArgument is of one argument: one of the three values, or none.
type DubboArgument struct {
	// Index counts from 1: in ASM's own example (asm-labs) index 1 of the three arguments of $invoke is its first, the name of a method.
	Index     uint32          `json:"index,omitempty"`
	Type      string          `json:"type,omitempty"`
	StrValue  *TextMatches    `json:"strValue,omitempty"`
	NumValue  *NumberMatches  `json:"numValue,omitempty"`
	BoolValue *BooleanMatches `json:"boolValue,omitempty"`
}

// Matches are several, of which one has to fit or, if that is asked for, none.
type Matches[T any] struct {
	OneOf    []T    `json:"oneof,omitempty"`  // as long as ASM takes it
	Except   []T    `json:"except,omitempty"` // likewise
	Patterns []T    `json:"patterns,omitempty"`
	Action   string `json:"action,omitempty"` // In, NotIn
}

// The kinds of them.
type (
	TextMatches    = Matches[TextMatch]
	NumberMatches  = Matches[NumberMatch]
	BooleanMatches = Matches[BooleanMatch]
)

// NumberMatch is one of two.
type NumberMatch struct {
	Exact *float64     `json:"exact,omitempty"`
	Range *NumberRange `json:"range,omitempty"`
}

// NumberRange has its start in it, and not its end.
type NumberRange struct {
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

// BooleanMatch is what a truth value has to be.
type BooleanMatch struct {
	Exact *bool `json:"exact,omitempty"`
}

// What Matches.Action may be; unsaid, it is the first.
const (
	matchIn    = "In"
	matchNotIn = "NotIn"
)

// All are the patterns; none: not one of them may fit.
func (m *Matches[T]) All() (patterns []T, none bool) {
	switch {
	case len(m.OneOf) > 0:
		return m.OneOf, false
	case len(m.Except) > 0:
		return m.Except, true
	}
	return m.Patterns, m.Action == matchNotIn
}

// DubboDestination is where calls go. Without a host, to the one that they are for.
type DubboDestination struct {
	Destination *FallbackHost `json:"destination,omitempty"`
	Weight      int32         `json:"weight,omitempty"`
	Fallback    *Fallback     `json:"fallback,omitempty"`
}

// UnmarshalJSON takes names with underscores, too, as protobuf does.
func (m *DubboMethod) UnmarshalJSON(b []byte) error {
	type plain DubboMethod
	return eitherSpelling(b, (*plain)(m))
}

// UnmarshalJSON takes names with underscores, too, as protobuf does.
func (a *DubboArgument) UnmarshalJSON(b []byte) error {
	type plain DubboArgument
	return eitherSpelling(b, (*plain)(a))
}

func eitherSpelling(b []byte, into any) error {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	for name, v := range fields {
		word, rest, is := strings.Cut(name, "_")
		if !is || rest == "" {
			continue
		}
		camel := word + strings.ToUpper(rest[:1]) + rest[1:]
		if _, is := fields[camel]; is {
			return fmt.Errorf("%s and %s are the same field", name, camel)
		}
		delete(fields, name)
		fields[camel] = v
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func (c *checker) dubbo(list []DubboServiceRoute) {
	each(c, "dubbo", list, func(_ int, s DubboServiceRoute) {
		each(c, "services", s.Services, func(_ int, m TextMatch) { c.dubboText(m) })
		if len(s.Routes) == 0 {
			c.bad("routes", "Dubbo route must have at least one route")
		}
		each(c, "routes", s.Routes, func(_ int, r DubboRoute) {
			each(c, "match", r.Match, func(_ int, m DubboMatch) { c.dubboMatch(&m) })
			c.dubboDestinations(r.Route)
		})
		for i, r := range s.Routes {
			if i < len(s.Routes)-1 && (len(r.Match) == 0 || slices.ContainsFunc(r.Match, func(m DubboMatch) bool { return m.Method == nil && len(m.Headers) == 0 })) {
				c.warn("routes", "rule %d takes everything: those after it are not used", i)
				break
			}
		}
	})
}

// dubboText checks one of three.
func (c *checker) dubboText(m TextMatch) {
	switch oneOf(m.Exact != "", m.Prefix != "", m.Regex != "") {
	case 0:
		c.bad("", "says nothing: want exact, prefix or regex, and not empty")
	case 1:
		if m.Regex != "" {
			c.fault("regex", pattern(m.Regex))
		}
	default:
		c.bad("", "only one of exact, prefix and regex may be said")
	}
}

// matches checks a list of patterns.
func matches[T any](c *checker, m *Matches[T], one func(T)) {
	if n := oneOf(len(m.OneOf) > 0, len(m.Except) > 0, len(m.Patterns) > 0); n != 1 {
		c.bad("patterns", "want patterns, and neither oneof nor except beside them")
	}
	switch {
	case m.Action != "" && m.Action != matchIn && m.Action != matchNotIn:
		c.bad("action", "%q: want %s or %s", short(m.Action), matchIn, matchNotIn)
	case m.Action != "" && len(m.Patterns) == 0:
		c.bad("action", "is of patterns: oneof and except say theirs themselves")
	}
	for _, list := range []struct {
		name  string
		items []T
	}{{"oneof", m.OneOf}, {"except", m.Except}, {"patterns", m.Patterns}} {
		each(c, list.name, list.items, func(_ int, item T) { one(item) })
	}
}

func (c *checker) dubboMatch(m *DubboMatch) {
	eachKey(c, "headers", m.Headers, func(name string, v TextMatches) {
		if name == "" {
			c.bad("", "an attachment has a name")
		}
		matches(c, &v, c.dubboText)
	})
	method := m.Method
	if method == nil {
		return
	}
	c.at("method")
	defer c.up()
	if method.Name != "" && method.NameMatch != nil {
		c.bad("nameMatch", "name is there, too: want one of them")
	}
	if method.NameMatch != nil {
		c.at("nameMatch")
		c.dubboText(*method.NameMatch)
		c.up()
	}
	each(c, "args", method.Args, func(_ int, a DubboArgument) {
		switch {
		case a.Index == 0:
			c.bad("index", "arguments are counted from 1")
		case a.Index > dubbo.MaxParameters:
			c.bad("index", "%d: want %d at most", a.Index, dubbo.MaxParameters)
		case method.Argc != 0 && a.Index > method.Argc:
			c.bad("index", "%d is more than argc, %d: nothing meets that", a.Index, method.Argc)
		}
		if oneOf(a.StrValue != nil, a.NumValue != nil, a.BoolValue != nil) > 1 {
			c.bad("", "only one of strValue, numValue and boolValue may be said")
		}
		if a.StrValue != nil {
			c.at("strValue")
			matches(c, a.StrValue, c.dubboText)
			c.up()
		}
		if a.NumValue != nil {
			c.at("numValue")
			matches(c, a.NumValue, func(n NumberMatch) {
				switch {
				case oneOf(n.Exact != nil, n.Range != nil) != 1:
					c.bad("", "want one of exact and range")
				case n.Range != nil && n.Range.Start >= n.Range.End:
					c.bad("range", "nothing is in [%v, %v): want start below end", n.Range.Start, n.Range.End)
				}
			})
			c.up()
		}
		if a.BoolValue != nil {
			c.at("boolValue")
			matches(c, a.BoolValue, func(b BooleanMatch) {
				if b.Exact == nil {
					c.bad("", "says nothing: want exact")
				}
			})
			c.up()
		}
	})
}

func (c *checker) dubboDestinations(list []DubboDestination) {
	if len(list) == 0 {
		c.bad("route", "route is required")
	}
	total := int64(0)
	each(c, "route", list, func(_ int, d DubboDestination) {
		c.dubboHost("destination", d.Destination)
		if d.Weight < 0 {
			c.bad("weight", "weight %d < 0", d.Weight)
		}
		total += int64(d.Weight)
		if d.Fallback != nil {
			c.at("fallback")
			c.dubboFallback(d.Fallback)
			c.up()
		}
	})
	c.total("route", len(list), total)
}

// dubboHost checks a destination, which need not say a host.
func (c *checker) dubboHost(field string, h *FallbackHost) {
	if h == nil {
		c.bad(field, "%s is required", field)
		return
	}
	d := h.Destination()
	if d.Host == "" {
		d.Host = "a" // it is the one that the calls are for
	}
	c.at(field)
	c.destination(d)
	c.up()
}

// Destination is the same as Istio's.
func (h *FallbackHost) Destination() *networking.Destination {
	d := &networking.Destination{Host: h.Host, Subset: h.Subset}
	if h.Port != nil {
		d.Port = &networking.PortSelector{Number: h.Port.Number}
	}
	return d
}

func (c *checker) dubboFallback(f *Fallback) {
	switch f.Case {
	case "", "noavailableinstances", "noavailabled":
	case "noinstances":
		c.warn("case", "is run as noavailabled: calls go there, too, when there are instances and none is healthy")
	default:
		c.bad("case", "%q: want noinstances or noavailabled", short(f.Case))
	}
	if (f.Target == nil) == (len(f.Targets) == 0) {
		c.bad("target", "want target, or targets that are tried in turn")
	}
	if f.Target != nil {
		c.dubboHost("target", f.Target)
	}
	each(c, "targets", f.Targets, func(_ int, t FallbackEntry) {
		c.dubboHost("destination", t.Destination)
		if t.HostRewrite {
			c.bad("host_rewrite", "is about HTTP: calls of Dubbo name no host")
		}
	})
}
