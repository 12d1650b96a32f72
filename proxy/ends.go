package proxy

import (
	"crypto/x509"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// listenerEnds and clusterEnds are the tables of when a certificate ends, of which each has one by its name.
var (
	listenerEnds = &telemetry.Table{Kind: "listener_ssl_certificate", Metrics: endMetrics}
	clusterEnds  = &telemetry.Table{Kind: "cluster_ssl_certificate", Metrics: endMetrics}
)

var endMetrics = []telemetry.Metric{{Name: "expiration_unix_time_seconds", Type: telemetry.Gauge}}

// ends are the numbers of when certificates end, by what is in front of them.
type ends struct {
	mu  sync.Mutex
	all map[string]*telemetry.Owner
}

// end is when the first certificate of a name ends, and whose it is.
type end struct {
	at    int64
	table *telemetry.Table
	tags  []telemetry.Tag
}

// tellEnds brings the numbers up to date. Certificates of one name share one, which tells of the first that ends.
func (p *Proxy) tellEnds() {
	want := p.certificateEnds()
	e, s := &p.ends, p.options.Stats
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.all, func(prefix string, o *telemetry.Owner) bool {
		_, stays := want[prefix]
		if !stays {
			s.Release(o)
		}
		return !stays
	})
	for prefix, w := range want {
		o := e.all[prefix]
		if o == nil {
			if e.all == nil {
				e.all = map[string]*telemetry.Owner{}
			}
			o = s.Acquire(w.table, prefix, w.tags...)
			e.all[prefix] = o
		}
		o.Loop(s.Loops()).Set(0, uint64(w.at))
	}
}

// certificateEnds are those of every transport socket in force, with the secrets that there are.
func (p *Proxy) certificateEnds() map[string]end {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]end{}
	add := func(table *telemetry.Table, prefix, name string, tag telemetry.Tag, c *x509.Certificate) {
		prefix += "ssl.certificate." + name + "."
		if was, there := all[prefix]; !there || c.NotAfter.Unix() < was.at {
			all[prefix] = end{c.NotAfter.Unix(), table, []telemetry.Tag{tag, {Name: "tls_certificate", Value: name}}}
		}
	}
	of := func(table *telemetry.Table, prefix string, tag telemetry.Tag, t *config.TLS) {
		if t == nil {
			return
		}
		for i := range t.Certificates {
			source := &t.Certificates[i]
			if c := source.Value; c != nil {
				add(table, prefix, c.Label, tag, c.Leaf)
			} else if s := p.current.Secrets[source.Secret.Name]; s != nil && s.Certificate != nil {
				add(table, prefix, s.Name, tag, s.Certificate.Leaf)
			}
		}
		v, name := t.Validation, ""
		if v != nil {
			name = v.Label
		}
		if s := p.current.Secrets[t.ValidationSecret.Name]; s != nil && s.Validation != nil && s.Validation.Roots != nil {
			v, name = s.Validation, s.Name
		}
		if s := p.current.Secrets[t.ValidationSecret.Name]; s != nil && s.Validation != nil && s.Validation.Domains != nil {
			v = s.Validation
		}
		if v == nil {
			return
		}
		for _, r := range v.Roots {
			add(table, prefix, name, tag, r)
		}
		for i, domain := range slices.Sorted(maps.Keys(v.Domains)) {
			for _, r := range v.Domains[domain] {
				add(table, prefix, "unnamed_ca_cert_"+strconv.Itoa(i), tag, r)
			}
		}
	}
	for _, l := range p.listeners {
		o := l.Owner()
		for c := range l.Config.AllChains() {
			of(listenerEnds, o.Prefix, o.Tags[0], c.TLS)
		}
	}
	for _, c := range p.current.Clusters {
		for t := range c.AllTLS() {
			of(clusterEnds, "cluster."+c.StatName+".", telemetry.Tag{Name: "cluster_name", Value: c.StatName}, t)
		}
	}
	return all
}
