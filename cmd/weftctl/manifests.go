package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/weftmesh/weft/control/source/kube"
)

const manifestsHelp = `Print what a Kubernetes API server has to have before weftd follows it: the kinds of Istio's that weftd reads, a service account for weftd,
and what that has to be allowed. Nobody is asked, and nothing is changed: kubectl does that.

Usage:
  weftctl manifests [flags]

Examples:
  weftctl manifests | kubectl apply --server-side -f -
  weftctl manifests --kinds=false                    where Istio's kinds are installed
  weftctl manifests --publish-roots --namespace mesh`

func runManifests(args []string, s streams) int {
	var kinds bool
	var duties kube.Duties
	var namespace, account string
	names, err := parsed("manifests", manifestsHelp, args, s.out, func(set *flag.FlagSet) {
		set.BoolVar(&kinds, "kinds", true, "the definitions of Istio's kinds, too")
		set.StringVar(&namespace, "namespace", "istio-system", "`namespace` of weftd")
		set.StringVar(&account, "account", "weftd", "`name` of its service account, and of its role")
		set.BoolVar(&duties.Roots, "publish-roots", false, "allow what weftd --publish-roots does")
		set.BoolVar(&duties.Store, "store", false, "allow what weftd --store kubernetes does")
		set.BoolVar(&duties.Status, "write-status", false, "allow what weftd --write-status does")
	})
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("unexpected argument %q: it takes none", names[0])
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl manifests: %v\n", err)
		return exitUsage
	}
	if kinds {
		_, err = s.out.Write(kube.Definitions())
	}
	if err == nil {
		_, err = s.out.Write(kube.Role(account, namespace, duties))
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl manifests: %v\n", err)
		return exitFailed
	}
	return exitDone
}
