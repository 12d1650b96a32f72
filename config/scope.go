package config

import "time"

// ScopedRoutes has a connection manager serve by one of several tables: a request's fields make a key, and the scope of that key says which.
type ScopedRoutes struct {
	Name string
	Key  []ScopeFragment // one or more
	// Inline are the scopes, if they are the listener's own; else they come from Source, together.
	Inline []*Scope
	Source ScopeSource
	Wait   time.Duration // how long they are waited for, if they come over a stream; 0: for ever
	// RouteFile or RouteStream is where the tables come from that scopes name.
	RouteFile   *WatchedFile
	RouteStream *Subscription
}

// ScopeSource is where scopes come from: all that there are, of a file or over a stream. The zero value is nowhere.
type ScopeSource struct {
	File   WatchedFile
	Stream Stream
}

// From are the scopes of a connection manager, of those that have come.
func (r *ScopedRoutes) From(come map[ScopeSource][]*Scope) []*Scope {
	if r.Source == (ScopeSource{}) {
		return r.Inline
	}
	return come[r.Source]
}

// ScopeFragment is a part of a key: what the first field of that name has, or a piece of it. Without it there is no key.
type ScopeFragment struct {
	Header    string // in lower case
	Separator string // between elements; empty: the whole is the one element
	// Index is the element's place, unless ByKey: then it is what follows Between in the first element that is Key before that.
	Index   uint32
	ByKey   bool
	Key     string
	Between string
}

// Scope is a key and its table. One of RouteName and Routes is set.
type Scope struct {
	Name      string
	Hash      Hash
	Key       []string // by fragment
	RouteName string
	Routes    *RouteConfiguration
	OnDemand  bool // the table is asked for when a request wants it
	Raw       []byte
}
