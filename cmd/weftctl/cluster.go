package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	weftd "github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
)

const attachText = `Have weftd follow another cluster beside its first one: its Services get the endpoints of both. A cluster of that name that is attached is followed by this kubeconfig from then on.

Of the kubeconfig one context is sent, with the files that it names in their place, and kept in weftd's store, for every weftd on it. One that has a program run (exec, auth-provider) is refused there. With --account the token of a
service account there is sent instead, which is asked for by that kubeconfig, here: weftctl manifests --kinds=false --attached prints what has to be there for it. It takes the role admin everywhere.

Usage:
  weftctl cluster attach NAME --kubeconfig FILE [flags]

Examples:
  weftctl cluster attach east --kubeconfig east.yaml
  weftctl manifests --kinds=false --attached | kubectl apply --context kind-east --server-side -f -
  weftctl cluster attach east --kubeconfig ~/.kube/config --context kind-east --account istio-system/weftd --discovery-only`

const detachText = `Have weftd not follow a cluster any more. Its endpoints go, and nothing else. What a Secret attaches is detached by deleting that.

Usage:
  weftctl cluster detach NAME [flags]

Examples:
  weftctl cluster detach east`

const listClustersText = `List the clusters that weftd follows: whether they answer, since when, how many objects they have, and what is wrong.

Usage:
  weftctl cluster list [flags]

Examples:
  weftctl cluster list
  weftctl cluster list -o json`

// clusterCommands are the words behind "weftctl cluster".
func clusterCommands() []*planeCommand {
	name := func(o *planeOptions) error {
		if len(o.names) == 0 {
			return errors.New("which cluster? want its name")
		}
		return kube.CheckName(o.names[0])
	}
	author := func(f *flag.FlagSet, o *planeOptions) {
		f.StringVar(&o.as, "as", "", "`author` of the change: on weftd's own host any word (default the user's name); over https who the token is for, or that and more behind a slash")
	}
	return []*planeCommand{
		{name: "cluster attach", about: "follow another cluster", text: attachText, most: 1, remote: true, run: attachCluster,
			flags: func(f *flag.FlagSet, o *planeOptions) {
				author(f, o)
				f.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` that says how its API server is reached (default the first that KUBECONFIG names)")
				f.StringVar(&o.context, "context", "", "`name` of the context in that file; empty: its current one")
				f.StringVar(&o.account, "account", "", "`NAMESPACE/NAME` of the service account there by which weftd follows it; empty: who the kubeconfig is of")
				f.BoolVar(&o.discovery, "discovery-only", false, "take its Services and what serves them, and not its objects of Istio's kinds")
			},
			check: func(o *planeOptions) error {
				if err := name(o); err != nil {
					return err
				}
				first, _, _ := strings.Cut(os.Getenv("KUBECONFIG"), string(filepath.ListSeparator))
				if o.kubeconfig = cmp.Or(o.kubeconfig, first); o.kubeconfig == "" {
					return errors.New("how is it reached? want --kubeconfig FILE")
				}
				if namespace, account, both := strings.Cut(o.account, "/"); o.account != "" && (!both || !source.IsName(namespace) || !source.IsName(account)) {
					return fmt.Errorf("--account %q: want NAMESPACE/NAME", o.account)
				}
				return nil
			}},
		{name: "cluster detach", about: "do not follow it any more", text: detachText, most: 1, remote: true, run: detachCluster, flags: author, check: name},
		{name: "cluster list", about: "which are followed, and how they stand", text: listClustersText, remote: true, formats: []string{"table", "json", "yaml"}, run: listClusters, flags: onlyServer},
	}
}

func runCluster(args []string, s streams) int {
	return runOneOf("cluster", "Have a say in which clusters weftd follows beside its first one.", `
Examples:
  weftctl cluster attach east --kubeconfig east.yaml
  weftctl cluster detach east
  weftctl cluster list
`, clusterCommands(), args, s)
}

func attachCluster(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	text, err := kubeconfigOf(ctx, o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.kubeconfig, err)
	}
	body, err := json.Marshal(console.Cluster{Kubeconfig: string(text), Discovery: o.discovery})
	if err != nil {
		return err
	}
	return changedCluster(ctx, p, o, asking{method: http.MethodPut, body: body}, s)
}

// kubeconfigOf is what is sent of a cluster.
func kubeconfigOf(ctx context.Context, o *planeOptions) ([]byte, error) {
	namespace, account, said := strings.Cut(o.account, "/")
	if !said {
		return kube.Portable(o.kubeconfig, o.context)
	}
	ctx, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	return kube.Account(ctx, o.kubeconfig, o.context, namespace, account)
}

// accountTime is how long an API server is waited for that is asked for a token.
const accountTime = 30 * time.Second

func detachCluster(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	return changedCluster(ctx, p, o, asking{method: http.MethodDelete}, s)
}

func changedCluster(ctx context.Context, p *pages, o *planeOptions, a asking, s streams) error {
	a.path, a.query = "/api/clusters/"+url.PathEscape(o.names[0]), o.manner(p)
	var done console.ClusterResult
	if err := p.api(ctx, a, &done); err != nil {
		return err
	}
	if done.Warning != "" {
		fmt.Fprintln(s.err, "warning:", done.Warning)
	}
	_, err := fmt.Fprintf(s.out, "cluster %s %s\n", done.Name, done.Is)
	return err
}

func listClusters(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	var all []weftd.ClusterStatus
	if err := p.api(ctx, asking{method: http.MethodGet, path: "/api/clusters"}, &all); err != nil {
		return err
	}
	if o.format != "table" {
		return printed(s.out, o.format, all)
	}
	rows := clusterRows(all)
	if len(rows) == 1 {
		_, err := fmt.Fprintln(s.out, "weftd follows no cluster.")
		return err
	}
	return table(s.out, rows)
}

// clusterRows are clusters as rows of a table, below its head.
func clusterRows(all []weftd.ClusterStatus) [][]string {
	rows := [][]string{{"CLUSTER", "TYPE", "GIVES", "STATE", "SINCE", "OBJECTS", "BY", "WRONG"}}
	for _, c := range all {
		state, since := "told", c.Since
		switch {
		case c.URL == "":
			state = "refused"
		case c.Away != nil:
			state, since = "away", c.Away
		case !c.Told:
			state = "reading"
		}
		when := ""
		if since != nil {
			when = since.UTC().Format(time.RFC3339)
		}
		objects := 0
		for _, n := range c.Objects {
			objects += n
		}
		gives := "all"
		if c.Discovery {
			gives = "discovery"
		}
		wrong := append([]string{}, c.Unread...)
		if c.Refused != "" {
			wrong = append(wrong, c.Refused)
		}
		for _, why := range c.Waits {
			if len(c.Unread) == 0 {
				wrong = append(wrong, why)
			}
		}
		if len(wrong) == 0 && c.Error != "" {
			wrong = append(wrong, c.Error)
		}
		rows = append(rows, []string{c.Name, c.Type, gives, state, when, strconv.Itoa(objects), c.From, strings.Join(wrong, "; ")})
	}
	return rows
}
