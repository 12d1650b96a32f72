package xds

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
)

// unfit finds what could not be served with the secrets of a configuration: one that is none of the kind that is wanted, or demands that
// would prove nothing. changed is the name of the only secret that is another one; empty: each may be.
func unfit(next *config.Snapshot, changed string) (faults Faults) {
	check := func(t *config.TLS, server bool, where string) {
		uses := false
		for r := range t.Secrets() {
			uses = uses || changed == "" || r.Name == changed
		}
		if !uses {
			return
		}
		if err := tls.Check(t, next.Secrets, server); err != nil {
			faults = append(faults, Fault{Text: fmt.Sprintf("%s: %s", where, strings.TrimPrefix(err.Error(), "tls: "))})
		}
	}
	for _, l := range next.Listeners {
		for c := range l.AllChains() {
			check(c.TLS, true, "listener "+l.Name)
		}
	}
	for _, c := range next.Clusters {
		check(c.TLS, false, "cluster "+c.Name)
	}
	return faults
}
