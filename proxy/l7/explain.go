package l7

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/wire/http"
)

// Asked is a request that nobody sends: explain asks what it would meet. Fields are as they would come.
type Asked struct {
	Method, Scheme, Authority, Path string
	Fields                          []config.Field
	TLS                             bool // the connection is secure
	Source                          netip.AddrPort
	Local                           netip.AddrPort // of the connection
	Destination                     netip.AddrPort // where it was going before it was redirected; not valid: it was not
	ServerName                      string
	Identity                        string // a URI of the certificate that the client shows; empty: it shows none
}

// Account is what becomes of such a request.
type Account struct {
	Request  Seen        `json:"request"`
	Notes    []string    `json:"notes,omitempty"`
	Status   uint16      `json:"status,omitempty"` // it is answered before any route is looked for
	Why      string      `json:"why,omitempty"`
	Routing  *route.Walk `json:"routing,omitempty"`
	Outcomes []Outcome   `json:"outcomes,omitempty"`
	upgrade  []byte      // that is asked for
}

// Seen is the request as rules see it.
type Seen struct {
	Method    string `json:"method"`
	Scheme    string `json:"scheme"`
	Authority string `json:"authority"`
	Path      string `json:"path,omitempty"`
	Inside    bool   `json:"internal"` // it comes from an address of ours
}

// Outcome is one way in which the request may go on: a route that it meets, Of of In times when it has come to it.
type Outcome struct {
	Route    int               `json:"route"` // its index in the virtual host; -1: none
	Name     string            `json:"name,omitempty"`
	Of       uint64            `json:"of"`
	In       uint64            `json:"in"`
	Action   string            `json:"action"` // forward, redirect, direct response or no route
	Status   uint16            `json:"status,omitempty"`
	Location string            `json:"location,omitempty"`
	Path     string            `json:"path_upstream,omitempty"` // if it is another
	Host     string            `json:"host_upstream,omitempty"`
	Timeout  string            `json:"timeout,omitempty"`
	Retries  uint32            `json:"retries,omitempty"`
	Clusters []upstream.Target `json:"clusters,omitempty"`
	Shared   string            `json:"shared_by,omitempty"` // how one of several clusters is chosen
	Mirrors  []upstream.Copy   `json:"mirrors,omitempty"`
	Filters  []FilterState     `json:"filters"`
}

// FilterState is a filter of the chain and whether the request meets it.
type FilterState struct {
	Name string `json:"name"`
	Type string `json:"type"`
	On   bool   `json:"on"`
	Why  string `json:"why,omitempty"`
	// Says is what its rules make of the request, of which Status is answered; 0: it passes.
	Says   string `json:"says,omitempty"`
	Status uint16 `json:"status,omitempty"`
}

// Explain says what a request meets: its head is judged and completed as those of exchanges are, and then the route table walks its rules. No
// filter runs.
func (s *Server) Explain(g *Generation, clusters upstream.Clusters, a *Asked) *Account {
	out := &Account{}
	r := &http.Request{Version: http.HTTP11}
	r.SetMethod([]byte(a.Method))
	r.SetScheme([]byte(a.Scheme))
	r.SetAuthority([]byte(a.Authority))
	r.SetPath([]byte(a.Path))
	for _, f := range a.Fields {
		r.AddNamed([]byte(f.Name), []byte(f.Value))
	}
	t := s.table(g)
	if s.config.Scoped != nil {
		t = s.explainScope(g, r, out)
	}
	client := s.completeAsked(out, r, t, a)
	out.Request.Method, out.Request.Scheme, out.Request.Authority, out.Request.Path = string(r.Method()), string(r.Scheme()), string(r.Authority()), string(r.Path())
	if out.Status != 0 {
		return out
	}
	if t == nil && s.config.Scoped != nil {
		out.Status, out.Why = 404, out.Notes[0]
		return out
	}
	if t == nil {
		out.Status, out.Why = 404, fmt.Sprintf("the routes %q have not come yet", s.config.RouteName)
		return out
	}
	who := &caller{asked: a, request: r, client: client, table: t}
	in := route.Input{Request: r}
	out.Routing = t.Explain(&in)
	found := out.Routing.Found
	if found.TLSRedirect {
		location := string(route.AppendTLSLocation(nil, r))
		out.Outcomes = []Outcome{{Route: -1, Of: 1, In: 1, Action: "redirect", Status: 301, Location: location, Filters: s.explainFilters(t, found, nil, who)}}
		return out
	}
	if kind := out.upgrade; kind != nil && !r.IsConnect() && len(out.Routing.Met) == 0 && allowedUpgrade(s.config, nil, kind) == nil {
		out.Status, out.Why = 403, fmt.Sprintf("the request asks for an upgrade to %q, which the connection manager does not allow (upgrade_configs)", kind)
		return out
	}
	certain := false
	for i := range out.Routing.Met {
		m := &out.Routing.Met[i]
		found.Route = m.Route
		o := Outcome{Route: m.Index, Name: m.Route.Name, Of: min(m.Of, m.In), In: m.In}
		if kind := out.upgrade; kind != nil && allowedUpgrade(s.config, m.Route.Forward, kind) == nil {
			o.Action, o.Status, o.Filters = "upgrade refused", 403, []FilterState{}
			out.Notes = append(out.Notes, fmt.Sprintf("the request asks for an upgrade to %q, which neither the route nor the connection manager allows (upgrade_configs)", kind))
		} else {
			s.explainRoute(&o, t, found, clusters, r, client, a, who)
		}
		out.Outcomes = append(out.Outcomes, o)
		certain = certain || m.Of >= m.In
	}
	if !certain {
		found.Route = nil
		out.Outcomes = append(out.Outcomes, Outcome{Route: -1, Of: 1, In: 1, Action: "no route", Status: 404, Filters: s.explainFilters(t, found, nil, who)})
	}
	return out
}

// completeAsked is what prepareHead does, as far as routes may see it. What needs a connection, or a filter, is only told of.
func (s *Server) completeAsked(out *Account, r *http.Request, t *Table, a *Asked) (client netip.AddrPort) {
	c := s.config
	refuse := func(status uint16, why string) { out.Status, out.Why = status, why }
	if path := r.Path(); !r.IsConnect() {
		if len(path) == 0 || path[0] != '/' {
			refuse(404, "the path does not begin with a slash")
			return a.Source
		}
		if c.NormalizePath || c.MergeSlashes || c.EscapedSlashes != config.EscapedKeep {
			normal, verdict := normalizePath(nil, path, c)
			r.SetPath(normal)
			switch verdict {
			case pathBad:
				refuse(400, "the path cannot be brought into normal form")
				return a.Source
			case pathRedirect:
				refuse(307, "the path has escaped slashes, and the client is sent to "+string(normal))
				return a.Source
			}
		}
	}
	if host, changed := strippedAuthority(nil, c, r, a.Local.Port()); changed {
		r.SetAuthority(host)
	}
	if len(c.Early) > 0 {
		out.Notes = append(out.Notes, "early_header_mutation_extensions change the request first; that is not played here")
	}
	client, trusted := a.Source, false
	if len(c.Detections) > 0 && !c.UseRemoteAddress {
		out.Notes = append(out.Notes, "the client's address is found by original_ip_detection_extensions; it is taken for one from outside here")
	} else {
		client, trusted = clientOf(c, r, a.Source)
	}
	by := schemeOfPort(c, a.Destination)
	if by == "" {
		if by = "http"; a.TLS {
			by = "https"
		}
	}
	if !r.Has(http.XForwardedProto) || c.UseRemoteAddress && c.TrustedHops == 0 {
		r.SetString(http.XForwardedProto, by)
	}
	if ip := a.Source.Addr(); c.UseRemoteAddress && !c.SkipXFFAppend && ip.IsValid() {
		value := append([]byte(nil), r.Get(http.XForwardedFor)...)
		if len(value) > 0 {
			value = append(value, ',')
		}
		r.Set(http.XForwardedFor, ip.AppendTo(value))
	}
	setScheme(c, r)
	out.Request.Inside = comesFromInside(c, a.Source, client, trusted)
	sanitize(c, r, t, out.Request.Inside, client)
	if c.GenerateRequestID && !r.Has(http.XRequestID) {
		r.SetString(http.XRequestID, "00000000-0000-4000-8000-000000000000")
	}
	// Who asks for an upgrade is routed before anything is taken out.
	if out.upgrade = upgradeOf(r); out.upgrade == nil {
		for _, id := range []http.ID{http.Connection, http.Upgrade, http.KeepAlive, http.ProxyConnection} {
			r.Remove(id)
		}
	}
	if c.ClientCert.Mode == config.ClientCertSanitize {
		r.Remove(http.XForwardedClientCert)
	}
	if len(s.links.Load().list) > 0 {
		out.Notes = append(out.Notes, "filters are not run: one that changes the request, or answers it, may have it go another way")
	}
	return client
}

// explainScope says which scope's table the request meets, in the first of the notes.
func (s *Server) explainScope(g *Generation, r *http.Request, out *Account) *Table {
	key, ok := route.AppendScopeKey(nil, s.config.Scoped.Key, r)
	one := g.scopes[s][string(key)]
	switch {
	case !ok:
		out.Notes = append(out.Notes, "the request has no key of a scope (scope_key_builder)")
		return nil
	case one.of == nil:
		out.Notes = append(out.Notes, "no scope has the request's key")
	case one.table == nil:
		out.Notes = append(out.Notes, fmt.Sprintf("the request is in scope %q, whose routes %q have not come yet", one.of.Name, one.of.RouteName))
	default:
		out.Notes = append(out.Notes, fmt.Sprintf("the request is in scope %q", one.of.Name))
	}
	return one.table
}

// upgradeOf is what a request asks its connection to become; nil: nothing that counts.
func upgradeOf(r *http.Request) []byte {
	if r.IsConnect() {
		return []byte("connect")
	}
	kind := r.Get(http.Upgrade)
	if len(kind) == 0 || !hasToken(r.Get(http.Connection), "upgrade") || strings.EqualFold(string(kind), "h2c") {
		return nil
	}
	return slices.Clone(kind)
}

// explainRoute says what a route does with the request.
func (s *Server) explainRoute(o *Outcome, t *Table, found route.Result, clusters upstream.Clusters, r *http.Request, client netip.AddrPort, a *Asked, who *caller) {
	rule := found.Route
	o.Filters = s.explainFilters(t, found, nil, who)
	switch {
	case rule.Direct != nil:
		o.Action, o.Status = "direct response", rule.Direct.Status
		return
	case rule.Redirect != nil:
		o.Action, o.Status = "redirect", rule.Redirect.Status
		if d := rule.Redirect; d.Rewrite != nil && d.Rewrite.Format != nil {
			o.Location = "made by a format"
		} else {
			o.Location = string(route.AppendLocation(nil, d, &rule.Match, r, nil))
		}
		return
	}
	f := rule.Forward
	o.Action = "forward"
	switch {
	case f.Path != nil && f.Path.Format != nil:
		o.Path = "made by a format"
	case f.Path != nil || f.PrefixRewrite != "":
		o.Path = string(route.AppendRewritten(nil, f, &rule.Match, r))
	}
	o.Host = hostWords(f, r)
	if f.Timeout > 0 {
		o.Timeout = f.Timeout.String()
	}
	if f.Retry != nil {
		o.Retries = f.Retry.Max
	}
	chosen := s.chosenShare(o, f, r, client)
	for i := range f.Clusters {
		share := &f.Clusters[i]
		name, why := share.Name, ""
		if share.Header != "" {
			name, why = string(r.Field(share.Header)), fmt.Sprintf("named by the request's header %s (cluster_header)", share.Header)
		}
		target := clusters.Target(name, share.Subset, destinationOf(clusters[name], r, a.Destination))
		target.Weight, target.Of, target.Chosen = share.Weight, f.TotalWeight, chosen == share
		if len(f.Clusters) == 1 {
			target.Weight, target.Of = 1, 1
		}
		switch {
		case target.Picture == nil && share.Header != "" && name == "":
			target.Why = fmt.Sprintf("the request has no header %s, which names the cluster (cluster_header): it is answered %d", share.Header, f.MissingCluster)
		case target.Picture == nil:
			target.Why = fmt.Sprintf("%s: the request is answered %d", target.Why, f.MissingCluster)
		default:
			target.Why = why
		}
		if share.Filters != nil {
			target.Why = strings.TrimPrefix(target.Why+"; "+onWords(s.explainFilters(t, found, share, who)), "; ")
		}
		o.Clusters = append(o.Clusters, target)
	}
	s.explainMirrors(o, f, clusters, r)
}

// chosenShare is the cluster that the request itself decides for; nil: chance does.
func (s *Server) chosenShare(o *Outcome, f *config.Forward, r *http.Request, client netip.AddrPort) *config.WeightedCluster {
	if len(f.Clusters) == 1 {
		return nil
	}
	o.Shared = "chance, by weight"
	if f.ShareHeader == "" && !f.ShareByHash {
		return nil
	}
	by := "a hash of the request"
	if f.ShareHeader != "" {
		by = "the number in the header " + f.ShareHeader
	}
	n, ok := ownNumber(f, r, client.Addr(), nil)
	if !ok {
		o.Shared += ": the request has nothing to decide it with (" + by + ")"
		return nil
	}
	o.Shared = by
	return route.Choose(f.Clusters, f.TotalWeight, n)
}

// destinationOf is where a request goes whose cluster leaves that to the client.
func destinationOf(c *upstream.Cluster, r *http.Request, to netip.AddrPort) netip.AddrPort {
	if c == nil || c.Config.Original == nil || c.Config.Original.Header == "" {
		return to
	}
	if a, err := netip.ParseAddrPort(string(r.Field(c.Config.Original.Header))); err == nil {
		return a
	}
	return to
}

func hostWords(f *config.Forward, r *http.Request) string {
	switch h := f.Host; {
	case f.HostRewrite != "":
		return f.HostRewrite
	case h == nil:
		return ""
	case h.Endpoint:
		return "the name of the endpoint that is picked"
	case h.Header != "":
		return string(r.Field(h.Header))
	case h.Path != nil:
		return string(route.AppendFromPath(nil, h.Path, r))
	}
	return "made by a format"
}

// explainMirrors says where copies go. What the cluster says holds in place of what the route says.
func (s *Server) explainMirrors(o *Outcome, f *config.Forward, clusters upstream.Clusters, r *http.Request) {
	mirrors := f.Mirrors
	for _, t := range o.Clusters {
		if c := clusters[t.Cluster]; c != nil && c.Config.Policies != nil && len(c.Config.Policies.Mirrors) > 0 {
			mirrors = c.Config.Policies.Mirrors
		}
	}
	for i := range mirrors {
		m := &mirrors[i]
		of, in := m.Share.Now()
		one := upstream.Copy{Cluster: m.Cluster, Of: min(of, in), In: in}
		if m.ClusterHeader != "" {
			one.Why = "named by the request's header " + m.ClusterHeader
			if at := r.Find(http.Lookup(m.ClusterHeader), m.ClusterHeader, 0); at >= 0 {
				one.Cluster = string(r.Value(at))
			}
		}
		if clusters[one.Cluster] == nil {
			one.Why = fmt.Sprintf("there is no cluster %q, so that no copy is sent", one.Cluster)
		}
		o.Mirrors = append(o.Mirrors, one)
	}
}

// explainFilters says which filters of the chain a request meets that is there in the table, as chooseFilters finds out.
func (s *Server) explainFilters(t *Table, found route.Result, share *config.WeightedCluster, who *caller) []FilterState {
	who.found = found
	said := t.Said(found, share)
	links := s.links.Load()
	at := links.place(t.Table)
	out := []FilterState{}
	for i := range links.list {
		l := &links.list[i]
		var own *config.FilterOverride
		if said != nil && at[i] >= 0 {
			own = said[at[i]]
		}
		f := FilterState{Name: l.name, On: l.on(own)}
		if k := slices.IndexFunc(s.config.Filters, func(c config.HTTPFilter) bool { return c.Name == l.name }); k >= 0 {
			f.Type = s.config.Filters[k].Type
		}
		switch {
		case own == nil && l.off:
			f.Why = "the chain has it off unless a route turns it on"
		case own == nil:
		case own.Disabled:
			f.Why = "turned off by typed_per_filter_config"
		case own.Config != nil:
			f.Why = "with a configuration of its own by typed_per_filter_config"
		default:
			f.Why = "turned on by typed_per_filter_config"
		}
		if f.On && l.judge != nil {
			rules := l.config
			if own != nil && own.Config != nil {
				rules = own.Config
			}
			j := l.judge(rules, who)
			f.Says, f.Status = j.Words, j.Status
		}
		out = append(out, f)
	}
	return append(out, FilterState{Name: "envoy.filters.http.router", Type: "envoy.filters.http.router", On: true})
}

// onWords are the filters that are on.
func onWords(list []FilterState) string {
	var on []string
	for _, f := range list {
		if f.On {
			on = append(on, f.Name)
		}
	}
	return "filters of this share: " + strings.Join(on, ", ")
}
