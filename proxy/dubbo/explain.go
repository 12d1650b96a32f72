package dubbo

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/upstream"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// Asked is a call that nobody makes: explain asks what it would meet.
type Asked struct {
	Interface, Version, Group, Method string
	Arguments                         []Argument
	Attachments                       []config.Field
	Source                            netip.AddrPort
	To                                netip.AddrPort // of the connection
	Destination                       netip.AddrPort // where it was going before it was redirected; not valid: it was not
	Name                              string         // that a TLS client asks for
	TLS                               bool
	Identity                          string // a URI of the certificate that the client shows; empty: it shows none
}

// Argument is one of such a call, and its type as Java's sources have it. Value is a text, or JSON of what is no single value; Null says that there is none.
type Argument struct {
	Type, Value string
	Null        bool
}

// Local, Direct, Remote, ServerName and Peer are of the connection that nobody makes, as a conn has them.
func (a *Asked) Local() netip.AddrPort  { return a.To }
func (a *Asked) Direct() netip.AddrPort { return a.Source }
func (a *Asked) Remote() netip.AddrPort { return a.Source }
func (a *Asked) ServerName() string     { return a.Name }
func (a *Asked) Peer() *match.Peer {
	if !a.TLS {
		return nil
	}
	p := &match.Peer{}
	if a.Identity != "" {
		p.URIs = []string{a.Identity}
	}
	return p
}

// body is the call as its client would write it.
func (a *Asked) body() ([]byte, error) {
	i := wire.Invocation{Interface: a.Interface, Version: a.Version, Group: a.Group, Method: a.Method}
	for k := range a.Arguments {
		t, err := wire.TypeOf(a.Arguments[k].Type)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", k, err)
		}
		i.Types = append(i.Types, t)
	}
	b := i.AppendPlainBegin(nil)
	for k, t := range i.Types {
		var err error
		switch one := &a.Arguments[k]; {
		case !one.Null:
			b, err = wire.AppendTextArgument(b, t, []byte(one.Value))
		case t.Primitive():
			err = fmt.Errorf("%s is never null: want TYPE=VALUE", t.Name())
		default:
			b = wire.AppendNull(b)
		}
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", k, err)
		}
	}
	var pairs [][2][]byte
	for k := range a.Attachments {
		pairs = append(pairs, [2][]byte{[]byte(a.Attachments[k].Name), []byte(a.Attachments[k].Value)})
	}
	return i.AppendPlainEnd(b, pairs), nil
}

// Account is what becomes of such a call.
type Account struct {
	Call     Seen            `json:"call"`
	Filters  []FilterState   `json:"filters"`
	Answered *Reply          `json:"answered,omitempty"` // by the proxy itself: the call goes nowhere
	Routing  *Walk           `json:"routing,omitempty"`
	Timeout  string          `json:"timeout,omitempty"`
	Retries  uint32          `json:"retries,omitempty"`
	PerTry   string          `json:"per_try_timeout,omitempty"`
	Repeats  string          `json:"retried,omitempty"`   // what is
	Shared   string          `json:"shared_by,omitempty"` // how one of several clusters is chosen
	Clusters []Share         `json:"clusters,omitempty"`
	Mirrors  []upstream.Copy `json:"mirrors,omitempty"`
}

// Seen is the call as rules see it.
type Seen struct {
	Interface   string   `json:"interface"`
	Version     string   `json:"version"`
	Group       string   `json:"group,omitempty"`
	Method      string   `json:"method"`
	Types       []string `json:"types,omitempty"`
	Target      string   `json:"stands_for,omitempty"` // the method that a generic call calls in the end
	TargetTypes []string `json:"stands_for_types,omitempty"`
}

// Reply is what the proxy says itself.
type Reply struct {
	Status uint8  `json:"status"`
	Words  string `json:"words"`
}

func replyOf(r *refusal) *Reply { return &Reply{uint8(r.status), r.why} }

// FilterState is a filter of the chain and what it says of the call; Answered: and it answers it.
type FilterState struct {
	Name     string   `json:"name"`
	Says     []string `json:"says,omitempty"`
	Answered *Reply   `json:"answered,omitempty"`
}

// Share is one of the clusters that the route may choose, and who takes its calls while nobody of it can.
type Share struct {
	upstream.Target
	Fallbacks []upstream.Target `json:"fallbacks,omitempty"`
	Taken     string            `json:"taken_by,omitempty"` // the fallback that gets its calls now
	Answered  *Reply            `json:"answered,omitempty"` // nobody does
}

// Waiting says in words by which routes a connection's calls go, of none of which anything is known.
func (s *Server) Waiting(g *Generation) string {
	switch {
	case s.config.Routes != nil:
		return "the chain carries calls of Dubbo, each by its own route"
	case s.table(g) == nil:
		return fmt.Sprintf("the chain carries calls of Dubbo, whose routes %q have not come yet: none goes anywhere", s.config.RouteName)
	}
	return fmt.Sprintf("the chain carries calls of Dubbo, each by its own route of %q", s.config.RouteName)
}

// Explain says what a call meets: it is written and read as one that comes, its filters' rules judge it, without counting it or taking anything for it, and then the routes are walked. An error is about the question.
func (s *Server) Explain(g *Generation, a *Asked) (*Account, error) {
	body, err := a.body()
	if err != nil {
		return nil, err
	}
	call := &wire.Call{}
	if err := call.Read(wire.Hessian2, body); err != nil {
		return nil, err
	}
	if last := s.last.Load(); last != nil {
		g = last
	}
	out := &Account{Call: seen(call), Filters: []FilterState{}}
	for i := range s.filters {
		f := s.filters[i].explain(call, a)
		out.Filters = append(out.Filters, f)
		if f.Answered != nil {
			out.Answered = f.Answered
			return out, nil
		}
	}
	t := s.table(g)
	if t == nil {
		out.Routing = &Walk{Table: s.config.RouteName, Why: "the routes have not come yet"}
		out.Answered = replyOf(nowhere(call, wire.Hessian2, true, nil))
		return out, nil
	}
	var found *config.DubboRoute
	var wrong error
	if out.Routing, found, wrong = walk(t, call); found == nil {
		out.Answered = replyOf(nowhere(call, wire.Hessian2, true, wrong))
		return out, nil
	}
	out.explainRoute(found, g.Clusters, a)
	return out, nil
}

func seen(c *wire.Call) Seen {
	s := Seen{Interface: string(c.Path), Version: string(c.Version), Method: string(c.Method)}
	q := question{call: c}
	group, _ := q.attachment("group")
	s.Group = string(group)
	for i := range c.Parameters() {
		s.Types = append(s.Types, c.TypeName(i))
	}
	if c.Generic() {
		if method, n, err := c.Target(); err == nil {
			s.Target = string(method)
			for i := range n {
				name, _ := c.TargetTypeName(i)
				s.TargetTypes = append(s.TargetTypes, name)
			}
		}
	}
	return s
}

// explain is what a filter says, in the order in which pass asks.
func (f *filter) explain(call *wire.Call, a *Asked) FilterState {
	if f.limit != nil {
		return f.limit.explain(call)
	}
	out := FilterState{Name: "weft.filters.dubbo.rbac"}
	who := &caller{}
	who.begin(a, call, true)
	if r := f.access.Shadow; r != nil {
		by, _, wrong := weigh(r, who)
		words, _ := match.Decision(r, by)
		switch {
		case wrong != "":
			words = "denied: " + wrong
		case words == "":
			words = "no policy has a say"
		}
		out.Says = append(out.Says, "shadow rules: "+words)
	}
	r := f.access.Rules
	if r == nil {
		return out
	}
	by, passes, wrong := weigh(r, who)
	words, _ := match.Decision(r, by)
	switch {
	case r.Action == config.AccessNote && by >= 0:
		words = "to be logged by policy " + r.Policies[by].Name
	case r.Action == config.AccessNote:
		words = "not to be logged: no policy is for it"
	case wrong != "":
		words = "denied: " + wrong
	case words == "":
		words = "passes: no policy that denies is for it"
	}
	out.Says = append(out.Says, words)
	if why, _ := denial(r, by, passes, wrong); why != "" {
		out.Answered = &Reply{uint8(wire.ServiceError), why}
	}
	return out
}

// explain says which buckets are asked for a token, and takes none. Where a limit holds for all calls, an empty one answers.
func (f *limit) explain(call *wire.Call) FilterState {
	out := FilterState{Name: "weft.filters.dubbo.local_rate_limit"}
	say := func(format string, args ...any) { out.Says = append(out.Says, fmt.Sprintf(format, args...)) }
	of, in := f.Enabled.Now()
	if of == 0 {
		say("is off (filter_enabled is 0)")
		return out
	}
	if of < in {
		say("looks at %d of %d calls (filter_enabled)", of, in)
	}
	empty := false
	ask := func(b *filters.Bucket, what string) {
		left, wait := b.Left(time.Now())
		rate := b.Rate()
		words := fmt.Sprintf("asks the bucket %s, which has %d of %d tokens and gets %d each %v", what, left, rate.Tokens, rate.Fill, rate.Interval)
		if left == 0 {
			words += fmt.Sprintf(", the next in %v", wait.Round(time.Millisecond))
			empty = true
		}
		say("%s", words)
	}
	if i := f.find(call, true); i >= 0 {
		ask(f.special[i], ofWords(&f.Of[i]))
	}
	if f.standard != nil && !empty {
		ask(f.standard, "of all calls")
	}
	refused, all := f.Imposed.Now()
	switch {
	case len(out.Says) == 0 || len(out.Says) == 1 && of < in:
		say("no bucket is for it")
	case refused == 0:
		say("nothing is refused (filter_enforced is 0)")
	case refused < all:
		say("%d of %d calls that find no token are refused (filter_enforced)", refused, all)
	}
	if empty && of >= in && refused >= all {
		out.Answered = replyOf(limited())
	}
	return out
}

func ofWords(o *config.DubboRate) string {
	switch {
	case o.Method == "":
		return "of interface " + o.Interface
	case o.Interface == "":
		return "of method " + o.Method
	}
	return "of " + o.Interface + "." + o.Method
}

// explainRoute says what a route does with the call.
func (out *Account) explainRoute(r *config.DubboRoute, clusters upstream.Clusters, a *Asked) {
	if r.Timeout > 0 {
		out.Timeout = r.Timeout.String()
	}
	if p := r.Retry; p != nil {
		if out.Retries = p.Attempts; p.PerTry > 0 {
			out.PerTry = p.PerTry.String()
		}
		if out.Repeats = "what no endpoint can have begun"; p.Idempotent {
			out.Repeats = "what an endpoint may have begun, too (idempotent)"
		}
	}
	if len(r.Clusters) > 1 {
		out.Shared = "chance, by weight"
	}
	to := a.To
	if a.Destination.IsValid() {
		to = a.Destination
	}
	for i := range r.Clusters {
		w := &r.Clusters[i]
		one := Share{Target: clusters.Target(w.Name, w.Subset, to)}
		if len(r.Clusters) > 1 {
			one.Weight, one.Of = w.Weight, r.TotalWeight
		}
		one.explainFallbacks(r.Fallbacks[w.Name], w, clusters, to)
		out.Clusters = append(out.Clusters, one)
	}
	for i := range r.Mirrors {
		m := &r.Mirrors[i]
		of, in := m.Share.Now()
		one := upstream.Copy{Cluster: m.Cluster, Of: min(of, in), In: in}
		if clusters[m.Cluster] == nil {
			one.Why = fmt.Sprintf("there is no cluster %q, so that no copy is sent", m.Cluster)
		}
		out.Mirrors = append(out.Mirrors, one)
	}
}

// explainFallbacks does what choose does, without choosing.
func (one *Share) explainFallbacks(names []string, w *config.WeightedCluster, clusters upstream.Clusters, to netip.AddrPort) {
	c, serves := clusters[w.Name], picks(&one.Target)
	for _, name := range names {
		t := clusters.Target(name, w.Subset, to)
		one.Fallbacks = append(one.Fallbacks, t)
		if (!serves || !c.Well()) && one.Taken == "" && picks(&t) && clusters[name].Well() {
			one.Taken = name
		}
	}
	switch {
	case one.Taken != "" || serves:
	case c == nil:
		one.Answered = replyOf(unknown(w.Name))
	default:
		one.Answered = replyOf(nobody(w.Name))
	}
}

// picks tells whether any endpoint could be picked now.
func picks(t *upstream.Target) bool {
	if t.Picture == nil {
		return false
	}
	for i := range t.Picture.Endpoints {
		if t.Picture.Endpoints[i].Pick {
			return true
		}
	}
	return false
}
