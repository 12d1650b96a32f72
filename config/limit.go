package config

import (
	"net/netip"
	"time"
)

// Rate is how a token bucket fills.
type Rate struct {
	Tokens   uint32 // room
	Fill     uint32 // tokens that come at once, at least 1
	Interval time.Duration
}

// RateLimit makes one descriptor of a request, to be held against limits: the entries that its actions give, in order. If one of them
// has none to give there is no descriptor.
type RateLimit struct {
	Stage    uint32
	Disabled bool // it has a key by which Envoy could turn it off, or is for the end of the stream
	Actions  []LimitAction
	Hits     *Hits // how many tokens the request takes; nil: one
}

// Hits is how many tokens a request takes, or gives back.
type Hits struct {
	Number int64
	Format any  // *accesslog.Format: what it writes is the number; nil: Number is
	Give   bool // they are given back
}

// LimitAction gives one entry of a descriptor.
type LimitAction struct {
	Kind     LimitKind
	Key      string
	Value    string        // what the entry says if the condition holds
	Name     string        // of the header field, in lower case, or query parameter
	Optional bool          // without a value there is no entry, yet a descriptor
	Expect   bool          // the condition must hold, or must not
	Headers  []HeaderMatch // LimitHeaderMatch
	Query    []QueryMatch  // LimitQueryMatch
	Path     []string      // LimitMetadata: namespace and keys
	Bits4    uint8         // LimitMaskedAddress: of an IPv4 address
	Bits6    uint8
	Networks []netip.Prefix // LimitAddressMatch: the address is in one of them, or, without Expect, in none
	Format   any            // LimitAddressMatch: *accesslog.Format that writes the value; nil: Value is
	Missing  string         // LimitMetadata and LimitAddressMatch: the value in place of a missing one
}

// LimitKind is where an entry comes from.
type LimitKind uint8

// The kinds.
const (
	LimitGenericKey LimitKind = iota
	LimitDestinationCluster
	LimitHeader
	LimitQuery
	LimitAddress
	LimitMaskedAddress
	LimitHeaderMatch
	LimitQueryMatch
	LimitMetadata
	LimitSourceCluster
	LimitAddressMatch
)
