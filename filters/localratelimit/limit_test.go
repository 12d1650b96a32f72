package localratelimit_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

const (
	message = "local_ratelimit.v3.LocalRateLimit"
	one     = "token_bucket: {max_tokens: 1, fill_interval: 3600s}"
	many    = "token_bucket: {max_tokens: 100, fill_interval: 3600s}"
	on      = "stat_prefix: l, filter_enabled: {default_value: {numerator: 100}}"
	imposed = on + ", filter_enforced: {default_value: {numerator: 100}}"
)

func TestLimits(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("limit", message, imposed+", "+one), e2e.All)
	c := p.Dial()
	c.Get("/").Want(t, 200)
	for range 3 {
		c.Get("/").Want(t, 429, "local_rate_limited")
	}
	for name, want := range map[string]int64{"enabled": 4, "ok": 1, "rate_limited": 3, "enforced": 3} {
		p.WantStat("l.http_local_rate_limit."+name, want)
	}
}

func TestShadow(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("limit", message, on+", "+one), e2e.All)
	c := p.Dial()
	for range 3 {
		c.Get("/").Want(t, 200)
	}
	p.WantStat("l.http_local_rate_limit.rate_limited", 2)
	p.WantStat("l.http_local_rate_limit.enforced", 0)
}

// One bucket for all loops, and for all connections.
func TestSharedByLoops(t *testing.T) {
	u := e2e.Echo(t)
	p := e2e.StartLoops(t, 4, e2e.Bootstrap(e2e.WithFilters(e2e.HTTPListener(e2e.All), e2e.Filter("limit", message, imposed+", token_bucket: {max_tokens: 10, fill_interval: 3600s}")), e2e.Cluster("up", u.Port)))
	ok := 0
	for range 40 {
		if p.Dial().Get("/").Status == 200 {
			ok++
		}
	}
	if ok != 10 {
		t.Errorf("%d of 40 were let through, want 10", ok)
	}
}

// A bucket that a new configuration leaves alone is not filled by it: neither the chain's nor a route's.
func TestOutlivesConfiguration(t *testing.T) {
	u := e2e.Echo(t)
	text := func(more string) string {
		return e2e.Bootstrap(e2e.WithFilters(e2e.HTTPListener(`routes:
- {name: r, match: {prefix: /r}, route: {cluster: up}, `+e2e.Override("limit", message, imposed+", "+one)+`}
- {match: {prefix: /}, route: {cluster: up}}`, more), e2e.Filter("limit", message, imposed+", "+one)), e2e.Cluster("up", u.Port))
	}
	p := e2e.Start(t, text("server_name: a"))
	p.Dial().Get("/").Want(t, 200)
	p.Dial().Get("/r").Want(t, 200)
	p.Change(text("server_name: b"))
	p.Dial().Get("/").Want(t, 429, "server: b")
	p.Dial().Get("/r").Want(t, 429, "server: b")
	p.Change(strings.ReplaceAll(text("server_name: c"), "max_tokens: 1,", "max_tokens: 2,"))
	p.Dial().Get("/").Want(t, 200)
	p.Dial().Get("/r").Want(t, 200)
}

// The slowest of several buckets is told of; entries must be all there, in order.
func TestDescriptors(t *testing.T) {
	bucket := func(n, entries string) string {
		return "{entries: [" + entries + "], token_bucket: {max_tokens: " + n + ", fill_interval: 3600s}}"
	}
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("limit", message, imposed+", "+many+`, enable_x_ratelimit_headers: DRAFT_VERSION_03,
  rate_limits: [{actions: [{request_headers: {header_name: user, descriptor_key: user}}, {generic_key: {descriptor_value: g}}]}, {actions: [{request_headers: {header_name: user, descriptor_key: user}}]}],
  descriptors: [`+bucket("3", "{key: user, value: a}, {key: generic_key, value: g}")+", "+bucket("2", "{key: user, value: b}")+", "+bucket("1", "{key: generic_key, value: g}, {key: user, value: c}")+"]"), e2e.All)
	c := p.Dial()
	for i, want := range []struct {
		user   string
		status int
		limit  string
	}{{"a", 200, "3"}, {"a", 200, "3"}, {"b", 200, "2"}, {"a", 200, "3"}, {"a", 429, "3"}, {"b", 200, "2"}, {"b", 429, "2"}, {"c", 200, "100"}, {"c", 200, "100"}, {"", 200, "100"}} {
		r := c.Get("/", "user: "+want.user)
		if r.Status != want.status || r.Header.Get("x-ratelimit-limit") != want.limit {
			t.Errorf("%d: %+v: %d, limit %s", i, want, r.Status, r.Header.Get("x-ratelimit-limit"))
		}
	}
}

// A value cannot pretend to be two entries.
func TestDescriptorsAreNotForged(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("limit", message, imposed+", "+many+`, rate_limits: [{actions: [{request_headers: {header_name: a, descriptor_key: a}}]}],
  descriptors: [{entries: [{key: a, value: x}, {key: b, value: z}], `+one+`}]`), e2e.All)
	c := p.Dial()
	for range 3 {
		c.Get("/", "a: x1:b1:z").Want(t, 200)
	}
}

func TestPerConnection(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("limit", message, imposed+", local_rate_limit_per_downstream_connection: true, "+one), e2e.All)
	for range 3 {
		c := p.Dial()
		c.Get("/").Want(t, 200)
		c.Get("/").Want(t, 429)
	}
}
