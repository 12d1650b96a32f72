package dubbo

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// filter is what a call has to pass before it is routed: one of the two.
type filter struct {
	access *access
	limit  *limit
}

// access asks policies, as HTTP's filter does of requests.
type access struct {
	*config.DubboAccess
	kept, shadow *telemetry.Owner
	notes        [2]string // how the names begin of what is noted of Rules and of Shadow
}

// limit has tokens for calls, which all loops share.
type limit struct {
	*config.DubboLimit
	standard *filters.Bucket   // nil: only calls that are named are limited
	special  []*filters.Bucket // of config.DubboLimit.Of
	stats    *telemetry.Owner
}

// bucketKey names a bucket among what is kept.
type bucketKey struct {
	rate      config.Rate
	place     string
	filter    int
	of, other string
}

// newFilters compiles the filters of a chain, which place names, the same in every configuration that has it.
func newFilters(c *config.Dubbo, place string, kept *filters.Kept, store *telemetry.Store) (list []filter) {
	for i := range c.Filters {
		f := &c.Filters[i]
		if a := f.Access; a != nil {
			prefix := "dubbo." + c.StatPrefix + "."
			list = append(list, filter{access: &access{DubboAccess: a, kept: store.Acquire(accessStats, prefix+join(a.Prefix)+"rbac."), shadow: store.Acquire(shadowStats, prefix+join(a.ShadowPrefix)+"rbac."),
				notes: [2]string{a.Prefix + "enforced_", a.ShadowPrefix + "shadow_"}}})
			continue
		}
		l := &limit{DubboLimit: f.Limit, stats: store.Acquire(limitStats, f.Limit.StatPrefix+".dubbo_local_rate_limit.")}
		now := time.Now()
		bucket := func(r config.Rate, of, other string) *filters.Bucket {
			return kept.Of(bucketKey{r, place, i, of, other}, now, func() filters.Keeps { return filters.NewBucket(r, now) }).(*filters.Bucket)
		}
		if l.Standard != nil {
			l.standard = bucket(*l.Standard, "", "")
		}
		for k := range l.Of {
			l.special = append(l.special, bucket(l.Of[k].Rate, l.Of[k].Interface, l.Of[k].Method))
		}
		list = append(list, filter{limit: l})
	}
	return list
}

// join is the beginning of a name, which ends in one point.
func join(prefix string) string {
	if prefix == "" {
		return ""
	}
	return strings.TrimSuffix(prefix, ".") + "."
}

// refusal is why a call goes no further.
type refusal struct {
	status  wire.Status
	why     string          // as the client hears it
	details string          // as logs have it
	flag    accesslog.Flags // likewise
}

// pass holds a call against the filters; nil: it passes. read tells whether the reader has it, and log what they find out.
func (c *conn) pass(read bool, log *record) *refusal {
	for i := range c.server.filters {
		f := &c.server.filters[i]
		if f.limit != nil {
			if !f.limit.take(c, read) {
				return limited()
			}
			continue
		}
		if why, details := f.access.judge(c, read, log); why != "" {
			return &refusal{wire.ServiceError, why, details, accesslog.Unauthorized}
		}
	}
	return nil
}

// limited is how a client hears that it has made too many calls.
func limited() *refusal {
	return &refusal{wire.ServerExhausted, "local_rate_limited", "local_rate_limited", accesslog.RateLimited}
}

// take takes a token from the bucket of those that are for the call, and from the standard one.
func (f *limit) take(c *conn, read bool) bool {
	l, call := c.local.Loop, &c.local.reader
	n := f.stats.Loop(l.Index())
	if !filters.Draw(f.Enabled, l.Random()) {
		return true
	}
	n.Inc(limitEnabled)
	ok := true
	if i := f.find(call, read); i >= 0 {
		ok = f.special[i].Take(l.Now(), 1)
	}
	if ok && f.standard != nil {
		ok = f.standard.Take(l.Now(), 1)
	}
	if ok {
		n.Inc(limitOkay)
		return true
	}
	n.Inc(limitLimited)
	if !filters.Draw(f.Imposed, l.Random()) {
		return true
	}
	n.Inc(limitEnforced)
	return false
}

// find is which of the limits that are for some calls is for this one, the first as they are written; -1: none is.
func (f *limit) find(call *wire.Call, read bool) int {
	for i := range f.Of {
		if o := &f.Of[i]; read && (o.Interface == "" || o.Interface == string(call.Path)) && (o.Method == "" || o.Method == string(call.Method)) {
			return i
		}
	}
	return -1
}

// Where logs find what policies have found out, as with HTTP's filter.
const (
	rulesNamespace = "envoy.filters.http.rbac"
	common         = "envoy.common"
	hint           = "access_log_hint"
)

var results = [...]string{allowed: "allowed", denied: "denied"}

// judge says why policies do not let a call pass, and how logs have that; nothing: it passes.
func (a *access) judge(c *conn, read bool, log *record) (why, details string) {
	who, loop := &c.local.asks, c.local.Loop.Index()
	who.begin(c, &c.local.reader, read)
	if r := a.Shadow; r != nil {
		by, passes, wrong := weigh(r, who)
		row := allowed
		if !passes || wrong != "" {
			row = denied
		}
		a.shadow.Loop(loop).Inc(row)
		log.judged(r, a.notes[1], by, row)
	}
	r := a.Rules
	if r == nil {
		return "", ""
	}
	by, passes, wrong := weigh(r, who)
	if r.Action == config.AccessNote {
		log.note(common, hint, by >= 0)
	}
	why, details = denial(r, by, passes, wrong)
	row := allowed
	if why != "" {
		row = denied
	}
	a.kept.Loop(loop).Inc(row)
	log.judged(r, a.notes[0], by, row)
	return why, details
}

// weigh holds a call against rules: which policy is for it, whether that lets it pass, and why nobody can tell. Then it does not: the provider might read in another way what cannot be read, or says two things at once.
func weigh(r *config.AccessRules, who *caller) (by int, passes bool, wrong string) {
	by = match.Access(r, who)
	return by, match.Passes(r, by), who.wrong()
}

// denial is how a client and logs hear that rules do not let a call pass; nothing: they do. Those that only take notes always do.
func denial(r *config.AccessRules, by int, passes bool, wrong string) (why, details string) {
	switch {
	case r.Action == config.AccessNote:
	case wrong != "":
		return "RBAC: access denied: " + wrong, "rbac_access_denied_unreadable"
	case !passes:
		return "RBAC: access denied", match.Denied(r, by)
	}
	return "", ""
}

// ends are what is known of the connection that a call comes on: a conn's, or what explain is asked about.
type ends interface {
	Local() netip.AddrPort
	Direct() netip.AddrPort
	Remote() netip.AddrPort
	ServerName() string
	Peer() *match.Peer
}

// caller is what is known of who calls, and of the call: a match.Caller. A call is a POST to /<interface>/<method>, as with gRPC, the method that it stands for if it is a generic one, and its attachments are headers.
type caller struct {
	from     ends
	call     *wire.Call
	read     bool // the call has the reader
	question question
	twice    bool // an attachment is there twice
	blind    bool // it stands for another one, and nobody can tell which
	path     []byte
}

func (a *caller) begin(from ends, call *wire.Call, read bool) {
	a.from, a.call, a.read, a.twice, a.question = from, call, read, false, question{call: call}
	a.path = a.path[:0]
	a.blind = false
	if read {
		method := call.Method
		if string(method) == "$invoke" || string(method) == "$invokeAsync" {
			method, _, _ = call.Target()
			a.blind = !call.Generic() || len(method) == 0
		}
		a.path = append(append(append(append(a.path, '/'), call.Path...), '/'), method...)
	}
}

// wrong says why nobody can judge the call; empty: it was judged. Providers take the path that is attached for the one that is called.
func (a *caller) wrong() string {
	if !a.read {
		return "the call cannot be read, and there are policies about calls"
	}
	v, is, err := a.call.Attachment("path")
	switch {
	case a.question.wrong != nil:
		return a.question.wrong.Error()
	case err != nil:
		return err.Error()
	case bytes.ContainsAny(a.call.Path, "/:"):
		// Java's providers look for <group>/<path>:<version>, put together, and dubbo-go's pass a slash at the beginning over.
		return fmt.Sprintf("the interface %q has a / or a : in it, by which a provider may take it for another one", a.call.Path)
	case is && (v.Kind != wire.Text || !bytes.Equal(v.Text, a.call.Path)):
		return fmt.Sprintf("the call is for %q, and its attachment path says another one", a.call.Path)
	case a.blind:
		return "a generic call does not say which method it stands for"
	case a.twice:
		return "an attachment that a policy asks for is there twice"
	}
	return ""
}

// Headers, Path, Local, Direct, Source, Remote, ServerName, Peer, Metadata, Route and State are a match.Caller's.
func (a *caller) Headers(list []config.HeaderMatch) bool {
	for i := range list {
		if !a.header(&list[i]) {
			return false
		}
	}
	return true
}

func (a *caller) header(m *config.HeaderMatch) bool {
	switch m.Name {
	case ":method":
		return meets(m, []byte("POST"), a.read)
	case ":path":
		return meets(m, a.path, a.read)
	case ":authority":
		return meets(m, a.call.Path, a.read)
	}
	if !a.read {
		return false
	}
	all, err := a.call.Attachments()
	if err != nil {
		a.question.wrong = err
		return false
	}
	var text []byte
	is := false
	for i := range all {
		if !strings.EqualFold(m.Name, string(all[i].Name)) {
			continue
		}
		a.twice = a.twice || is
		if v := &all[i].Value; v.Kind != wire.Null && v.Kind != wire.Other {
			text, is = a.call.Written(v), true
		}
	}
	return meets(m, text, is)
}

func (a *caller) Path() []byte                   { return a.path }
func (a *caller) Local() netip.AddrPort          { return a.from.Local() }
func (a *caller) Direct() netip.Addr             { return a.from.Direct().Addr() }
func (a *caller) Source() netip.Addr             { return a.from.Remote().Addr() }
func (a *caller) Remote() netip.Addr             { return a.from.Remote().Addr() }
func (a *caller) ServerName() string             { return a.from.ServerName() }
func (a *caller) Peer() *match.Peer              { return a.from.Peer() }
func (a *caller) Metadata() config.Metadata      { return nil }
func (a *caller) Route() (config.Metadata, bool) { return nil, false }
func (a *caller) State(string) (string, bool)    { return "", false }

// Peer is what the certificate of the connection's client says; nil: it does not speak TLS.
func (c *conn) Peer() *match.Peer {
	if c.peer == nil && c.TLS() != nil {
		c.peer = match.PeerOf(c.TLS())
	}
	return c.peer
}
