package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/register"
)

// flags is the command line, with what the environment and a file say in its place.
type flags struct {
	control.Options
	config    string
	levelName string
	level     slog.Level
	version   bool
}

const usageHead = `weftd is a control plane: it takes Istio's resources from a directory, a Kubernetes API server, or as they are applied to it, and tells proxies what they
mean, by Envoy's xDS.

Usage:
  weftd --config-dir DIR [flags]
  weftd --kubeconfig FILE [flags]
  weftd --store FILE [flags]

Examples:
  weftd --config-dir mesh                          serve the manifests below ./mesh, and follow them
  weftd --config-dir mesh --mesh-config mesh.yaml  with a mesh's own configuration; SIGHUP has it read again
  weftd --kubeconfig ~/.kube/config --kube-context kind-kind
                                                   follow what an API server has, beside a directory or alone
  weftd --kubeconfig in-cluster --secure-grpc-addr :15012
                                                   the same as a Pod, with its service account
  weftd --config weftd.yaml                        flags from a file, such as: {config-dir: mesh, log-level: debug}
  WEFTD_CONFIG_DIR=mesh weftd                      flags from the environment
  weftd --config-dir mesh --secure-grpc-addr :15012 --store weftd.db
                                                   with a certificate authority, and xDS over TLS
  weftd --kubeconfig in-cluster --secure-grpc-addr :15012 --publish-roots --webhook-addr :15017 --inject-config inject.yaml
                                                   and with sidecars put into pods
  weftd --config-dir mesh --rollout cohorts        changes go to one proxy first, then to its zone, then to all
  weftd --store weftd.db                           objects that weftctl apply sends
  curl 127.0.0.1:9876/status                       what is wrong, who is connected, who refused what

A flag counts before the environment, and the environment before the file.

Flags:
`

// define names every flag, once: with its default, and what it does.
func (f *flags) define(set *flag.FlagSet) {
	set.StringVar(&f.config, "config", "", "`file` with flags, in YAML: their names without the dashes, and values")
	set.StringVar(&f.ConfigDir, "config-dir", "", "`directory` of manifests in YAML or JSON: read, and followed as they change")
	set.StringVar(&f.Kubeconfig, "kubeconfig", "", "`file` that says how a Kubernetes API server is reached, which is followed; in-cluster: by the service account of this Pod; empty: none")
	set.StringVar(&f.KubeContext, "kube-context", "", "`name` of the context in that file; empty: its current one")
	set.StringVar(&f.ClusterName, "cluster-name", "Kubernetes", "`name` of that cluster among several, as its proxies have it in CLUSTER_ID")
	set.StringVar(&f.KubeNamespace, "kube-namespace", "istio-system", "`namespace` of the control plane there, whose ConfigMap istio has the mesh's own configuration")
	set.BoolVar(&f.PublishRoots, "publish-roots", false, "keep a ConfigMap istio-ca-root-cert with the roots of the mesh's certificates in every namespace there, where sidecars look for them")
	set.BoolVar(&f.WriteStatus, "write-status", false, "have the status of an object there say what is wrong with it, as the condition weftmesh.io/Accepted")
	set.StringVar(&f.MeshConfig, "mesh-config", "", "`file` with the mesh's own configuration, Istio's MeshConfig; none: that of the API server, or else its defaults")
	set.StringVar(&f.MeshNetworks, "mesh-networks", "", "`file` with the mesh's networks, Istio's MeshNetworks; none: those of the API server, or else none")
	set.StringVar(&f.GRPC, "grpc-addr", "127.0.0.1:15010", "`address` that proxies come to, in plain text; empty: none")
	set.StringVar(&f.SecureGRPC, "secure-grpc-addr", "", "`address` that proxies and agents come to over TLS, such as :15012, for xDS and certificates; empty: none")
	set.Func("secure-names", "`names` of DNS, with commas, under which that address is reached besides those that Istio's agents know", func(text string) error {
		f.SecureNames = strings.Split(text, ",")
		return nil
	})
	set.StringVar(&f.Store, "store", "", "`file`, or etcd://HOST:PORT[,HOST:PORT][/PREFIX]?ca=FILE&cert=FILE&key=FILE, or kubernetes, for Secrets in the namespace of --kube-namespace, for what must outlive this process: objects that are applied, their history, the root of certificates, what is issued and revoked; empty: memory")
	set.StringVar(&f.HTTP, "http-addr", "", "`address` that people and scripts come to over TLS, such as :15443, to look at objects and to change them; empty: none but --admin-addr")
	set.StringVar(&f.Users, "users", "", "`file` that says who comes to --http-addr, by what token or OpenID provider, and what each may do")
	set.StringVar(&f.Monitoring, "monitoring-addr", "", "`address` that Prometheus comes to, such as :15014: numbers and the version, in plain text; empty: none but --admin-addr")
	set.StringVar(&f.Revision, "revision", "", "`name` of this control plane among several: objects of Istio's kinds whose label istio.io/rev names another one are not read, and its webhooks are those whose label names it; empty: all objects are read, and the webhooks of default")
	set.StringVar(&f.Webhook, "webhook-addr", "", "`address` that API servers come to over TLS, such as :15017, to have sidecars put into pods and objects looked at; empty: none")
	set.StringVar(&f.InjectConfig, "inject-config", "", "`file` with what is said of all sidecars, their image for one; SIGHUP has it read again; empty: nothing")
	set.StringVar(&f.CADir, "ca-dir", "", "`directory` with an authority from outside: ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem; none: one of our own")
	set.DurationVar(&f.MachineGrace, "machine-grace", register.DefaultGrace, "how `long` the WorkloadEntry of a machine that has registered itself by a WorkloadGroup stays after its last stream has ended")
	set.StringVar(&f.CASigner, "ca-signer", "", "`name` of a signer of the Kubernetes API server that signs the mesh's certificates, such as clusterissuers.cert-manager.io/mesh; with --ca-roots; empty: weftd signs")
	set.StringVar(&f.CAUpstream, "ca-upstream", "", "`address` of a service that signs them, HOST:PORT, as istio-csr has it: it is shown the tokens that callers show here; with --ca-roots and --server-cert; empty: weftd signs")
	set.StringVar(&f.CAUpstreamRoots, "ca-upstream-roots", "", "`file` with whom to believe that service by; none: that of --ca-roots")
	set.StringVar(&f.CARoots, "ca-roots", "", "`file` with the roots that the mesh trusts when somebody else signs: PEM, read again as it changes")
	set.StringVar(&f.ServerCert, "server-cert", "", "`directory` with tls.crt and tls.key for what weftd serves over TLS, read again as they change; none: they are from the authority")
	set.StringVar(&f.AuditLog, "audit-log", "", "`file` to which changes of objects, certificates, tokens, revocations and rotations are added, given or refused, a line of JSON each; empty: none")
	set.StringVar(&f.Admin, "admin-addr", "127.0.0.1:9876", "`address`, of this host, of the pages for people: status, metrics, profiles; empty: none")
	set.BoolVar(&f.AllowPlaintext, "allow-plaintext-xds", false, "let --grpc-addr be reached by others than this host: they are told everything, and nobody proves who he is")
	set.StringVar(&f.Rollout, "rollout", control.AtOnce, "how changes go to proxies whose objects do not say it by the annotation weftmesh.io/rollout: at-once, to all; cohorts, to one, to its zone, and to all, each when those before have answered, and back when one refuses")
	set.DurationVar(&f.RolloutWait, "rollout-wait", push.DefaultStepWait, "how `long` a step of that waits for answers")
	set.StringVar(&f.levelName, "log-level", "info", "debug, info, warning or error")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
}

// twin is the name of a flag in the environment.
func twin(name string) string {
	return "WEFTD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// onlyFlags are not in a file or the environment.
var onlyFlags = []string{"version"}

// parse reads a command line. flag.ErrHelp means that help was asked for and written to out.
func parse(args, env []string, out io.Writer) (*flags, error) {
	f := &flags{}
	set := flag.NewFlagSet("weftd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.define(set)
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		io.WriteString(out, usageHead)
		set.SetOutput(out)
		set.PrintDefaults()
		fmt.Fprintf(out, "\nIn the environment --config-dir is %s, and so on.\n", twin("config-dir"))
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w (weftd --help lists the flags)", err)
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: the manifests are named by --config-dir, an API server by --kubeconfig", set.Arg(0))
	}
	if f.version {
		return f, nil
	}
	if err := fill(set, env); err != nil {
		return nil, err
	}
	if f.level, err = control.Level(f.levelName); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	return f, nil
}

// fill gives flags that were not on the command line what the environment says, or else the file.
func fill(set *flag.FlagSet, env []string) error {
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	known := map[string]string{}
	set.VisitAll(func(f *flag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			known[twin(f.Name)] = f.Name
		}
	})
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "WEFTD_") || strings.HasPrefix(name, "WEFTD_SERVICE_") || strings.HasPrefix(name, "WEFTD_PORT") {
			continue // the latter are Kubernetes', where a Service has this name
		}
		flag, is := known[name]
		if !is {
			return fmt.Errorf("%s in the environment: there is no such flag (weftd --help lists them)", name)
		}
		if given[flag] {
			continue
		}
		given[flag] = true
		if err := set.Set(flag, value); err != nil {
			return fmt.Errorf("%s in the environment: %q: %w", name, value, err)
		}
	}
	path := set.Lookup("config").Value.String()
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	said := map[string]yaml.Node{}
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&said); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("--config: %s: %w", path, err)
	}
	for name, value := range said {
		switch {
		case name == "config" || set.Lookup(name) == nil || slices.Contains(onlyFlags, name):
			return fmt.Errorf("--config: %s:%d: there is no flag %q (weftd --help lists them)", path, value.Line, name)
		case value.Kind != yaml.ScalarNode:
			return fmt.Errorf("--config: %s:%d: %s: want one value", path, value.Line, name)
		case given[name]:
			continue
		}
		if err := set.Set(name, value.Value); err != nil {
			return fmt.Errorf("--config: %s:%d: %s: %q: %w", path, value.Line, name, value.Value, err)
		}
	}
	return nil
}
