package xds

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
)

// unfit finds what could not be served with the secrets of a configuration: one that is none of the kind that is wanted, or demands that
// would prove nothing. What is in force with the same secrets is not asked again.
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
	return blames
}
