package xds

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
)

// unfit finds what could not be served with what comes by itself: a secret that is none of the kind that is wanted, or demands that
// would prove nothing, or the configuration of another filter than may be there. What is in force with the same is not asked again.
func (f *Feed) unfit(next *config.Snapshot) (blames []blame) {
	old := map[any]bool{}
	for _, l := range f.snapshot.Listeners {
		old[l] = true
	}
	for _, c := range f.snapshot.Clusters {
		old[c] = true
	}
	check := func(t *config.TLS, server bool, inForce bool, who owner) {
		changed := false
		for r := range t.Secrets() {
			if next.Secrets[r.Name] == nil && r.Stream != nil {
				return // it has not come
			}
			changed = changed || !inForce || next.Secrets[r.Name] != f.snapshot.Secrets[r.Name]
		}
		if !changed {
			return
		}
		if err := tls.Check(t, next.Secrets, server); err != nil {
			blames = append(blames, blame{who, Fault{Text: fmt.Sprintf("%s: %s", who, strings.TrimPrefix(err.Error(), "tls: "))}})
		}
	}
	for _, l := range next.Listeners {
		for c := range l.AllChains() {
			if c.TLS != nil {
				check(c.TLS, true, old[l], owner{Listeners, l.Name})
			}
		}
	}
	for _, c := range next.Clusters {
		for t := range c.AllTLS() {
			check(t, false, old[c], owner{Clusters, c.Name})
		}
	}
	for _, l := range next.Listeners {
		for c := range l.AllChains() {
			if c.HTTP == nil {
				continue
			}
			for _, h := range c.HTTP.Filters {
				e := next.Extensions[h.Name]
				if h.Discovery == nil || e == nil || old[l] && e == f.snapshot.Extensions[h.Name] || slices.Contains(h.Discovery.Types, e.Message) {
					continue
				}
				blames = append(blames, blame{owner{Listeners, l.Name}, Fault{Text: fmt.Sprintf("listener %s: filter %q wants one of %s, and its configuration is a %s",
					l.Name, h.Name, strings.Join(h.Discovery.Types, ", "), e.Message)}})
			}
		}
	}
	return blames
}
