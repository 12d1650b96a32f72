package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Walk is what Match does with a request, told step by step: it asks the same conditions, and no index. It is for people, and may take its
// time.
type Walk struct {
	Table       string     `json:"table"`
	Name        string     `json:"host,omitempty"` // that virtual hosts are looked for by
	Hosts       []HostStep `json:"virtual_hosts,omitempty"`
	HostsMore   int        `json:"virtual_hosts_left_out,omitempty"` // that are not listed
	Host        string     `json:"virtual_host,omitempty"`           // that was found
	TLSRedirect bool       `json:"redirected_to_https,omitempty"`
	Why         string     `json:"why,omitempty"` // there is no virtual host, or none of its routes is looked at
	List        string     `json:"matcher,omitempty"`
	Routes      []Step     `json:"routes,omitempty"`
	RoutesMore  int        `json:"routes_left_out,omitempty"`    // that were looked at and are not listed
	RoutesAfter int        `json:"routes_not_reached,omitempty"` // behind the last that any such request can meet

	Found Result `json:"-"` // without its route
	Met   []Met  `json:"-"`
}

// HostStep is a virtual host that was looked at.
type HostStep struct {
	Name    string   `json:"name"`
	Domains []string `json:"domains"`
	Met     bool     `json:"met"`
	Near    bool     `json:"near,omitempty"` // one of its domains is for the host, but not the closest one
	Why     string   `json:"why"`
}

// Step is a route that was looked at.
type Step struct {
	Index int    `json:"index"` // among the routes of its virtual host
	Name  string `json:"name,omitempty"`
	Rule  string `json:"rule"`
	Met   bool   `json:"met"`
	Near  bool   `json:"near,omitempty"` // its path is right, and something else is not
	Why   string `json:"why,omitempty"`  // the first condition that fails, or how often the rule is met
}

// Met is a route that the request meets, Of of In times when it comes to it; chance decides, and otherwise it goes on to the next one.
type Met struct {
	Index  int
	Route  *config.Route
	Of, In uint64
}

// mostListed bounds the steps that are listed. The ones nearest to a match stay.
const mostListed = 64

// Explain walks the rules. What Match would find is among what the walk has met: the first one that in.Random is within the share of.
func (t *Table) Explain(in *Input) *Walk {
	w := &Walk{Table: t.Config.Name}
	v := t.explainHosts(in.Request, w)
	if v == nil {
		return w
	}
	w.Host, w.Found.VirtualHost = v.config.Name, v.config
	if t.redirects(v, in.Request) {
		w.TLSRedirect, w.Found.TLSRedirect = true, true
		w.Why = "the virtual host is for https only (require_tls), and the request came by http"
		return w
	}
	t.look(in)
	routes := v.config.Routes
	if v.config.Matcher != nil {
		x := v.lead(in)
		if x == nil {
			w.Why = "the virtual host's matcher leads nowhere for this request"
			return w
		}
		routes = x.routes
		w.List = fmt.Sprintf("the virtual host's matcher leads to %d of its %d routes", len(routes), len(v.config.Routes))
	}
	w.walk(v.config.Routes, routes, in)
	return w
}

// walk judges routes one by one, up to the one that nobody gets past. all has them as they are numbered.
func (w *Walk) walk(all, routes []*config.Route, in *Input) {
	for i, r := range routes {
		one := *in
		one.Random = 0 // within every share that is not nothing
		m := judge(&r.Match, &one)
		s := Step{Index: slices.Index(all, r), Name: r.Name, Rule: InWords(&r.Match), Met: m == missNothing, Near: m != missNothing && m != missPath}
		met := Met{Index: s.Index, Route: r, Of: 1, In: 1}
		if s.Met {
			if also := r.Match.Also; also != nil && also.Share != nil {
				met.Of, met.In = also.Share.Now()
				s.Why = fmt.Sprintf("in %d of %d requests", min(met.Of, met.In), met.In)
			}
			w.Met = append(w.Met, met)
		} else {
			s.Why = m.words(&r.Match, &one)
		}
		w.Routes = append(w.Routes, s)
		if s.Met && met.Of >= met.In {
			w.RoutesAfter = len(routes) - i - 1
			break
		}
	}
	w.Routes, w.RoutesMore = Nearest(w.Routes, func(s *Step) int {
		switch {
		case s.Met:
			return 2
		case s.Near:
			return 1
		}
		return 0
	})
	if len(w.Met) == 0 && w.Why == "" {
		w.Why = "no route of the virtual host matches"
	}
}

// Nearest leaves out what is farthest from a match, where there is more than anybody reads, and the last of those first.
func Nearest[T any](list []T, rank func(*T) int) (kept []T, left int) {
	if len(list) <= mostListed {
		return list, 0
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(&list[b]), rank(&list[a])) })
	order = order[:mostListed]
	slices.Sort(order)
	for _, i := range order {
		kept = append(kept, list[i])
	}
	return kept, len(list) - mostListed
}

// explainHosts walks the virtual hosts.
func (t *Table) explainHosts(r *http.Request, w *Walk) *virtualHost {
	by := t.Config.VirtualHostHeader
	value, named := t.hostName(r)
	if !named {
		if v := t.at(t.hosts.unnamed()); v != nil {
			w.Hosts = []HostStep{{Name: v.config.Name, Domains: v.config.Domains, Met: true, Why: "it is for every host"}}
			return v
		}
		w.Why = fmt.Sprintf("the table finds virtual hosts by the header %s (vhost_header), which the request has not got", by)
		return nil
	}
	if t.Config.IgnorePortInHost {
		value = withoutPort(value)
	}
	name := lowered(string(value))
	w.Name = name
	best, found := -1, -1
	ranks := make([]int, len(t.Config.VirtualHosts))
	domains := make([]string, len(ranks))
	for i, v := range t.Config.VirtualHosts {
		ranks[i] = -1
		for _, d := range v.Domains {
			if rank := covers(d, name); rank > ranks[i] {
				ranks[i], domains[i] = rank, d
			}
		}
		if ranks[i] > best {
			best, found = ranks[i], i
		}
	}
	for i, v := range t.Config.VirtualHosts {
		s := HostStep{Name: v.Name, Domains: v.Domains, Met: i == found}
		switch {
		case s.Met:
			s.Why = fmt.Sprintf("%q is for %q", domains[i], name)
		case ranks[i] >= 0:
			s.Near = true
			s.Why = fmt.Sprintf("%q is for %q, too, but %q of virtual host %q is the closer one", domains[i], name, domains[found], t.Config.VirtualHosts[found].Name)
		default:
			s.Why = fmt.Sprintf("none of its domains is for %q", name)
		}
		w.Hosts = append(w.Hosts, s)
	}
	w.Hosts, w.HostsMore = Nearest(w.Hosts, func(s *HostStep) int {
		switch {
		case s.Met:
			return 2
		case s.Near:
			return 1
		}
		return 0
	})
	if found < 0 {
		w.Why = fmt.Sprintf("no virtual host is for %q", name)
		return nil
	}
	return t.made[found]
}

// covers tells how closely a domain is for a host, in lower case: an exact one before *.suffix, that before prefix.*, longer ones first,
// and * last; -1: it is not.
func covers(domain, name string) int {
	const exact, suffix, prefix = 3 << 24, 2 << 24, 1 << 24
	switch {
	case domain == "*":
		return 0
	case strings.HasPrefix(domain, "*"):
		// The star stands for at least one character.
		if len(name) > len(domain)-1 && strings.HasSuffix(name, domain[1:]) {
			return suffix + len(domain)
		}
	case strings.HasSuffix(domain, "*"):
		if len(name) > len(domain)-1 && strings.HasPrefix(name, domain[:len(domain)-1]) {
			return prefix + len(domain)
		}
	case domain == name:
		return exact
	}
	return -1
}

// words are why a request is not what a rule asks for.
func (m miss) words(c *config.Match, in *Input) string {
	r := in.Request
	what, i := m.parts()
	switch what {
	case missPath:
		if c.Kind == config.PathConnect {
			return fmt.Sprintf("method: want CONNECT, is %s", Quoted(r.Method()))
		}
		if len(in.path) == 0 {
			return "path: want one that " + pathWords(c) + ", the request has none"
		}
		return fmt.Sprintf("path: want one that %s, is %s", pathWords(c), Quoted(in.path))
	case missHeader:
		h := &c.Headers[i]
		given := "is not there"
		if values := valuesOf(h.Name, r); len(values) > 0 {
			given = "is " + strings.Join(values, " and ")
		}
		return fmt.Sprintf("header %s: want it to %s, %s", h.Name, HeaderWords(h), given)
	}
	a := c.Also
	switch what {
	case missShare:
		return "it is met by no request (runtime_fraction is 0)"
	case missGRPC:
		return "content-type: want one of gRPC, " + givenOr(r.Get(http.ContentType), r.Has(http.ContentType))
	case missPresented:
		return fmt.Sprintf("client certificate: want %s, %s", shown(*a.CertificatePresented), shown(in.Presented))
	case missValidated:
		return fmt.Sprintf("client certificate: want it validated to be %t, is %t", *a.CertificateValidated, in.Validated)
	case missQuery:
		q := &a.Query[i]
		value, found := Parameter(r.Path(), q.Name)
		want := "be there"
		switch {
		case q.Present == nil:
			want = StringWords(&q.String)
		case !*q.Present:
			want = "be absent"
		}
		return fmt.Sprintf("query parameter %s: want it to %s, %s", q.Name, want, givenOr(value, found))
	case missCookie:
		k := &a.Cookies[i]
		value, found := Cookie(r, k.Name)
		return fmt.Sprintf("cookie %s: want it to %s%s, %s", k.Name, not(k.Invert), StringWords(&k.String), givenOr(value, found))
	case missMetadata:
		d := &a.Metadata[i]
		return fmt.Sprintf("dynamic metadata %s %s: is %swhat is asked for; explain runs no filters, and they write it", d.Namespace, strings.Join(d.Path, "."), not(!d.Invert))
	case missState:
		s := &a.State[i]
		return fmt.Sprintf("filter state %s: want it to %s; explain runs no filters, and they set it", s.Name, StringWords(&s.String))
	}
	return ""
}

// InWords is a rule as a person would say it, in one line.
func InWords(c *config.Match) string {
	list := []string{"path " + pathWords(c)}
	if c.Kind == config.PathConnect {
		list[0] = "method is CONNECT"
	}
	for i := range c.Headers {
		list = append(list, fmt.Sprintf("header %s must %s", c.Headers[i].Name, HeaderWords(&c.Headers[i])))
	}
	if a := c.Also; a != nil {
		if a.GRPC {
			list = append(list, "gRPC")
		}
		for i := range a.Query {
			q := &a.Query[i]
			switch {
			case q.Present == nil:
				list = append(list, fmt.Sprintf("query parameter %s must %s", q.Name, StringWords(&q.String)))
			case *q.Present:
				list = append(list, fmt.Sprintf("query parameter %s must be there", q.Name))
			default:
				list = append(list, fmt.Sprintf("query parameter %s must be absent", q.Name))
			}
		}
		for i := range a.Cookies {
			list = append(list, fmt.Sprintf("cookie %s must %s%s", a.Cookies[i].Name, not(a.Cookies[i].Invert), StringWords(&a.Cookies[i].String)))
		}
		for i := range a.Metadata {
			list = append(list, fmt.Sprintf("dynamic metadata %s %s", a.Metadata[i].Namespace, strings.Join(a.Metadata[i].Path, ".")))
		}
		for i := range a.State {
			list = append(list, fmt.Sprintf("filter state %s must %s", a.State[i].Name, StringWords(&a.State[i].String)))
		}
		if a.CertificatePresented != nil {
			list = append(list, "client certificate: "+shown(*a.CertificatePresented))
		}
		if a.CertificateValidated != nil {
			list = append(list, fmt.Sprintf("client certificate validated: %t", *a.CertificateValidated))
		}
		if a.Share != nil {
			of, in := a.Share.Now()
			list = append(list, fmt.Sprintf("%d of %d requests", min(of, in), in))
		}
	}
	return strings.Join(list, ", ")
}

func pathWords(c *config.Match) string {
	words := ""
	switch c.Kind {
	case config.PathPrefix:
		words = "begins with " + Quoted(c.Path)
	case config.PathExact:
		words = "is " + Quoted(c.Path)
	case config.PathSeparatedPrefix:
		words = fmt.Sprintf("is %s or below it", Quoted(c.Path))
	case config.PathRegex:
		words = fmt.Sprintf("matches %s", expressionWords(c.Path, c.Regex.String()))
		return words
	}
	if !c.CaseSensitive && c.Kind != config.PathConnect {
		words += " in any case"
	}
	return words
}

// expressionWords is an expression with the literal beginning that was taken off it.
func expressionWords(head, expression string) string {
	return shortened(head + bareExpression(expression))
}

// bareExpression takes off what was put around an expression so that it matches the whole text.
func bareExpression(e string) string {
	for _, ends := range [...][2]string{{"^(?:", ")$"}, {`\A(?:`, `)\z`}} {
		if inner, ok := strings.CutPrefix(e, ends[0]); ok {
			if inner, ok = strings.CutSuffix(inner, ends[1]); ok {
				return inner
			}
		}
	}
	return e
}

// HeaderWords are a condition on a header behind "must", or on what is attached like one.
func HeaderWords(m *config.HeaderMatch) string {
	switch {
	case m.Present && m.Invert:
		return "be absent"
	case m.Present:
		return "be there"
	case m.Range != nil:
		return fmt.Sprintf("%sbe a number from %d up to and without %d", not(m.Invert), m.Range.Start, m.Range.End)
	}
	return not(m.Invert) + StringWords(&m.String)
}

// StringWords are a condition on a text likewise.
func StringWords(m *config.StringMatch) string {
	words := ""
	switch m.Kind {
	case config.StringExact:
		words = "be " + Quoted(m.Value)
	case config.StringPrefix:
		words = "begin with " + Quoted(m.Value)
	case config.StringSuffix:
		words = "end with " + Quoted(m.Value)
	case config.StringContains:
		words = "contain " + Quoted(m.Value)
	default:
		return "match " + shortened(bareExpression(m.Regex.String()))
	}
	if m.IgnoreCase {
		words += " in any case"
	}
	return words
}

func not(invert bool) string {
	if invert {
		return "not "
	}
	return ""
}

func shown(presented bool) string {
	if presented {
		return "one is shown"
	}
	return "none is shown"
}

func givenOr(value []byte, found bool) string {
	if !found {
		return "is not there"
	}
	return "is " + Quoted(value)
}

// valuesOf are a header's values, or a pseudo-header's one.
func valuesOf(name string, r *http.Request) (values []string) {
	if http.IsPseudo(name) {
		if v := r.Pseudo(name); len(v) > 0 {
			values = append(values, Quoted(v))
		}
		return values
	}
	id := http.Lookup(name)
	for i := r.Find(id, name, 0); i >= 0 && len(values) < 4; i = r.Find(id, name, i+1) {
		values = append(values, Quoted(r.Value(i)))
	}
	return values
}

// longestQuoted bounds, in bytes, what is said of a value.
const longestQuoted = 200

// Quoted is a value as explain shows it, whose end is left out if it is long.
func Quoted[T string | []byte](s T) string { return fmt.Sprintf("%q", shortened(string(s))) }

func shortened(s string) string {
	if len(s) > longestQuoted {
		return s[:longestQuoted] + "…"
	}
	return s
}
