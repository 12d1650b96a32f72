package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
)

const manifestsHelp = `Print what a Kubernetes API server has to have before weftd follows it: the kinds of Istio's that weftd reads, a service account for weftd,
what that has to be allowed, and what has weftd be asked about pods and objects. Nobody is asked, and nothing is changed: kubectl does that.

Usage:
  weftctl manifests [flags]

Examples:
  weftctl manifests | kubectl apply --server-side -f -
  weftctl manifests --kinds=false                    where Istio's kinds are installed
  weftctl manifests --publish-roots --namespace mesh
  weftctl manifests --kinds=false --attached         for a cluster that a weftd elsewhere is to follow
  weftctl manifests --publish-roots --webhooks       and sidecars are put into pods
  weftctl manifests --webhooks --revision two --tags canary,next`

func runManifests(args []string, s streams) int {
	var kinds bool
	var duties kube.Duties
	var namespace, account, revision, tags string
	names, err := parsed("manifests", manifestsHelp, args, s.out, func(set *flag.FlagSet) {
		set.BoolVar(&kinds, "kinds", true, "the definitions of Istio's kinds, too")
		set.StringVar(&namespace, "namespace", "istio-system", "`namespace` of weftd")
		set.StringVar(&account, "account", "weftd", "`name` of its service account, and of its role")
		set.BoolVar(&duties.Roots, "publish-roots", false, "allow what weftd --publish-roots does")
		set.BoolVar(&duties.Store, "store", false, "allow what weftd --store kubernetes does")
		set.StringVar(&duties.Signer, "ca-signer", "", "allow what weftd --ca-signer does with the signer of that `name`")
		set.BoolVar(&duties.Workloads, "workloads", false, "allow weftd to keep the WorkloadEntries of machines that register themselves")
		set.BoolVar(&duties.Status, "write-status", false, "allow what weftd --write-status does")
		set.BoolVar(&duties.Webhooks, "webhooks", false, "have the API server ask weftd --webhook-addr :15017 about new pods and about objects, and weftd's Service")
		set.BoolVar(&duties.Attached, "attached", false, "a token that lasts, by which weftctl cluster attach --account has the cluster followed by a weftd elsewhere")
		set.StringVar(&revision, "revision", "", "`name` of weftd among several, which its webhooks are for; empty: default")
		set.StringVar(&tags, "tags", "", "`names`, with commas, by which pods may ask for that revision, too")
	})
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("unexpected argument %q: it takes none", names[0])
	}
	if err == nil && !duties.Webhooks && (revision != "" || tags != "") {
		err = errors.New("--revision and --tags are about webhooks: want --webhooks")
	}
	if err == nil && duties.Signer != "" {
		err = kube.IsSigner(duties.Signer)
	}
	named := append([]string{revision}, strings.Split(tags, ",")...)
	for _, one := range named {
		if err == nil && one != "" && !source.IsName(one) {
			err = fmt.Errorf("%q is no name of a revision or a tag: want small letters, digits and dashes, at most 63", one)
		}
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
	if err == nil && duties.Webhooks {
		_, err = s.out.Write(kube.Webhooks(namespace, revision, slices.DeleteFunc(named[1:], func(tag string) bool { return tag == "" })))
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl manifests: %v\n", err)
		return exitFailed
	}
	return exitDone
}
