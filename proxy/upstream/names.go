package upstream

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/dns"
)

// names keeps the endpoints of a cluster of type STRICT_DNS or LOGICAL_DNS what its names resolve to. There is a goroutine for each
// name, which sleeps until it is time to ask again.
type names struct {
	set     *Set
	cluster *Cluster
	config  *config.Names
	end     context.CancelFunc
	owner   *telemetry.Owner
	stats   *telemetry.Values
	found   [][]netip.Addr // by place in the assignment; with set.mu held
	failed  []uint         // in a row, by place
	once    sync.Once
	warm    chan struct{} // closed when a name is resolved, or could not be
}

// resolve begins to keep a cluster's names, if it is of that kind. What the cluster's configuration before has found out serves until
// there is more: s.mu is held, and s.clusters are those of before.
func (s *Set) resolve(c *Cluster, prefix string, tag telemetry.Tag) {
	if c.Config.Names == nil {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	n := &names{set: s, cluster: c, config: c.Config.Names, end: end, owner: s.store.Acquire(Updates, prefix, tag), warm: make(chan struct{})}
	n.stats = n.owner.Loop(len(s.loops))
	c.names = n
	targets := c.Config.Static.Endpoints
	n.found, n.failed = make([][]netip.Addr, len(targets)), make([]uint, len(targets))
	if old := s.clusters[c.Config.Name]; old != nil && old.names != nil && old.Config.Type == c.Config.Type {
		for i := range targets {
			for k := range old.names.found {
				if old.Config.Static.Endpoints[k].Host == targets[i].Host {
					n.found[i] = old.names.found[k]
				}
			}
		}
		s.assign(c, n.assignment())
	}
	if len(targets) == 0 {
		n.once.Do(n.answered)
	}
	for i := range targets {
		go n.keep(ctx, i)
	}
}

// Warm waits until every cluster that asks for it has the addresses of a name, or knows that there are none, and until every endpoint
// that is to be checked has been, once. It takes as long as a lookup and an attempt may.
func (s *Set) Warm() {
	for _, c := range s.List() {
		if c.names != nil && c.names.config.Warm {
			<-c.names.warm
		}
	}
	for _, c := range s.List() {
		if c.checker != nil && (c.names == nil || c.names.config.Warm) {
			<-c.checker.warm
			s.refresh(c) // what was found is in standings, and who may get requests may still be being worked out
		}
	}
}

// keep resolves one name again and again.
func (n *names) keep(ctx context.Context, i int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	host := n.cluster.Config.Static.Endpoints[i].Host
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		n.stats.Inc(UpdateAttempt)
		a, err := n.set.resolver.lookup(ctx, &n.config.Resolver, host, n.config.Family)
		if ctx.Err() != nil {
			return
		}
		n.stats.Add(UpdateCut, uint64(a.Cut))
		timer.Reset(n.settle(i, a.Addresses, err))
		n.once.Do(n.answered)
	}
}

// answered lets those go on who wait for the first answer.
func (n *names) answered() {
	if k := n.cluster.checker; k != nil {
		k.follow()
	}
	close(n.warm)
}

// settle makes of an answer what the cluster has from now on, and tells when to ask again. An error leaves what there is. As with Envoy,
// that a name has no addresses leaves a cluster of type STRICT_DNS without them, and one of type LOGICAL_DNS as it is.
func (n *names) settle(i int, found []dns.Address, err error) time.Duration {
	logical := n.cluster.Config.Type == config.LogicalDNS
	if err != nil || logical && len(found) == 0 {
		n.stats.Inc(UpdateFailure)
		n.failed[i]++
		return n.backOff(n.failed[i])
	}
	n.stats.Inc(UpdateSuccess)
	n.failed[i] = 0
	if logical {
		found = found[:1]
	}
	ips := make([]netip.Addr, len(found))
	ttl := time.Duration(0)
	for k, a := range found {
		ips[k] = a.IP
		if k == 0 || a.TTL < ttl {
			ttl = a.TTL
		}
	}
	if n.take(i, ips) {
		n.stats.Inc(UpdateNoRebuild)
	}
	wait := n.config.Refresh
	if n.config.RespectTTL && ttl > 0 {
		wait = max(ttl, n.config.LeastRefresh)
	}
	if n.config.Jitter > 0 {
		wait += rand.N(n.config.Jitter)
	}
	return wait
}

// backOff is how long to wait after so many failures in a row.
func (n *names) backOff(failures uint) time.Duration {
	if n.config.FailureRefresh == 0 {
		return n.config.Refresh
	}
	longest := n.config.FailureRefresh
	for range failures - 1 {
		if longest >= n.config.MaxFailureRefresh {
			break
		}
		longest *= 2
	}
	return max(rand.N(min(longest, n.config.MaxFailureRefresh)), time.Millisecond)
}

// take makes addresses those of a name; true if they were that already.
func (n *names) take(i int, ips []netip.Addr) (same bool) {
	s := n.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters[n.cluster.Config.Name] != n.cluster {
		return false // another configuration has taken its place meanwhile
	}
	// In another order they are the same: servers turn it round with each answer.
	slices.SortFunc(ips, netip.Addr.Compare)
	if slices.Equal(ips, n.found[i]) {
		return true
	}
	n.found[i] = ips
	s.assign(n.cluster, n.assignment())
	s.drain()
	return false
}

// assignment is the configured one with addresses in the names' places. An address that several names of a priority have is there once.
func (n *names) assignment() *config.Assignment {
	template := n.cluster.Config.Static
	a := *template
	a.Endpoints = nil
	type place struct {
		priority uint8
		at       netip.AddrPort
	}
	seen := map[place]bool{}
	for i, ips := range n.found {
		for _, ip := range ips {
			e := *template.Endpoints[i]
			if e.Hostname == "" {
				e.Hostname = e.Host
			}
			e.Address = config.Address{AddrPort: netip.AddrPortFrom(ip, e.Port)}
			if p := (place{e.Priority, e.Address.AddrPort}); !seen[p] {
				seen[p] = true
				a.Endpoints = append(a.Endpoints, &e)
			}
		}
	}
	return &a
}

// Rows of the numbers of a cluster whose names are resolved, under Envoy's names but for the last.
const (
	UpdateAttempt = iota
	UpdateSuccess
	UpdateFailure
	UpdateEmpty // answers without addresses are successes or failures, and Envoy does not count them here either
	UpdateNoRebuild
	UpdateCut // addresses that were too many
)

// Updates is the table of these numbers.
var Updates = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	UpdateAttempt:   {Name: "update_attempt"},
	UpdateSuccess:   {Name: "update_success"},
	UpdateFailure:   {Name: "update_failure"},
	UpdateEmpty:     {Name: "update_empty"},
	UpdateNoRebuild: {Name: "update_no_rebuild"},
	UpdateCut:       {Name: "update_cut"},
}}
