package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weftmesh/weft/capture"
	"github.com/weftmesh/weft/cni"
	"github.com/weftmesh/weft/cni/node"
	"github.com/weftmesh/weft/telemetry"
)

const nodeHead = `weft node keeps weft-cni, the CNI plugin, in place on a Kubernetes node: this program in the folder of plugins, a kubeconfig whose token it renews, and its place in the
network's configuration. Pods that were started before are captured, too. It is what the DaemonSet of the Helm chart runs (cni.enabled). When it ends, all stays if the DaemonSet is only
made anew; if the DaemonSet is gone, all but the program is taken away, which runtimes may call once more for each pod that it has captured.

Usage:
  weft node [flags]

Examples:
  weft node --programs /host/opt/cni/bin --networks /host/etc/cni/net.d --networks-on-host /etc/cni/net.d
                                                  in its DaemonSet, with the host's folders mounted below /host
  weft node --remove --programs /opt/cni/bin --networks /etc/cni/net.d
                                                  on a host: take away what an agent has left that ended without being asked to

Flags:
`

// nodeFlags are those of weft node.
type nodeFlags struct {
	node.Options
	address, account, listen string
	remove                   bool
}

// runNode is weft node.
func runNode(args []string, stdout, stderr io.Writer) int {
	f := &nodeFlags{Options: node.Options{Proc: "/proc", Stats: telemetry.NewStore(0), Log: slog.New(slog.NewTextHandler(stderr, nil))}}
	set := flag.NewFlagSet("node", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.Programs, "programs", "/opt/cni/bin", "`folder` of the host's plugins")
	set.StringVar(&f.Networks, "networks", "/etc/cni/net.d", "`folder` of the host's network configurations")
	set.StringVar(&f.HostPath, "networks-on-host", "", "`path` of that folder on the host, where the plugin runs; empty: the same")
	set.StringVar(&f.Network, "network", "", "`name` of the file in it that is chained into; empty: the first one, which runtimes take")
	set.StringVar(&f.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the agent, its DaemonSet and the plugin's account; POD_NAMESPACE")
	set.StringVar(&f.Node, "node", os.Getenv("NODE_NAME"), "`name` of this node; NODE_NAME")
	set.StringVar(&f.DaemonSet, "daemon-set", "weft-cni", "`name` of the agent's DaemonSet: what is in place is taken away when it is gone")
	set.StringVar(&f.Account, "plugin-account", "weft-cni-plugin", "`name` of the service account by which the plugin asks for pods")
	set.DurationVar(&f.TokenLife, "token-life", 24*time.Hour, "how `long` the plugin's token is good; it is renewed at half of that")
	exclude := set.String("exclude-namespaces", "kube-system", "`namespaces` whose pods are left alone, beside the agent's own; commas between")
	set.StringVar(&f.Backend, "backend", capture.BackendAuto, "`means` of capture: auto, iptables, nftables, or ebpf: programs on pods' control groups, and rules for pods of which those cannot do it")
	set.BoolVar(&f.ShortCuts, "short-cuts", false, "with --backend ebpf: what sidecars of this node send each other, and applications their sidecar, goes from socket to socket")
	cgroups := set.String("cgroups", cni.Cgroups, "`folder` of the host's control groups (v2), for --backend ebpf")
	hostCgroups := set.String("cgroups-on-host", "", "`path` of that folder on the host; empty: the same")
	set.StringVar(&f.Repair, "repair", node.RepairCapture, "what becomes of pods that were started without the plugin: `capture`, label or off")
	set.StringVar(&f.address, "api-server", "", "`URL` of the API server; empty: that of this cluster")
	set.StringVar(&f.account, "account", "/var/run/secrets/kubernetes.io/serviceaccount", "`folder` with the agent's own token and ca.crt")
	set.StringVar(&f.listen, "listen", ":15014", "`HOST:PORT` where /readyz and /metrics are answered")
	set.BoolVar(&f.remove, "remove", false, "take away all that is in place, the program, too, and end: without it, pods that it has captured do not end under CRI-O")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(stdout, nodeHead)
		set.SetOutput(stdout)
		set.PrintDefaults()
		return 0
	case err == nil && set.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if err == nil {
		if f.Backend == capture.BackendEBPF { // others want none
			f.Cgroups, f.HostCgroups = *cgroups, *hostCgroups
		}
		f.ExcludeNamespaces = strings.FieldsFunc(*exclude, func(r rune) bool { return r == ',' || r == ' ' })
		err = f.run()
	}
	if err != nil {
		fmt.Fprintln(stderr, "weft: node:", err)
		return 1
	}
	return 0
}

// run keeps a node's plugin in place until it is told to end.
func (f *nodeFlags) run() error {
	if f.remove {
		f.Namespace, f.Repair = "none", node.RepairOff
		a, err := node.New(f.Options)
		if err != nil {
			return err
		}
		return a.RemoveAll()
	}
	switch f.Backend {
	case capture.BackendAuto, capture.BackendIPTables, capture.BackendNFTables, capture.BackendEBPF:
	default:
		return fmt.Errorf("--backend is %q: want auto, iptables, nftables or ebpf", f.Backend)
	}
	if f.ShortCuts && f.Backend != capture.BackendEBPF {
		return errors.New("--short-cuts: want --backend ebpf, whose they are")
	}
	var err error
	if f.Program, err = os.Executable(); err != nil {
		return err
	}
	if f.Server, err = f.server(); err != nil {
		return err
	}
	a, err := node.New(f.Options)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: nodePages(a, f.Stats), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	defer s.Close()
	go s.Serve(l)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := a.Run(ctx); err != nil {
		return err
	}
	gone, err := a.Uninstalled()
	switch {
	case err != nil:
		f.Log.Warn("ends, and all stays in place: whether the DaemonSet is gone is not known", "error", err)
	case !gone:
		f.Log.Info("ends, and all stays in place for the next one")
	default:
		f.Log.Info("ends, and takes away what is in place", "because", "the DaemonSet is gone")
		return a.Remove()
	}
	return nil
}

// server is the API server, asked by the agent's own account. Its token is read each time: kubelets renew it.
func (f *nodeFlags) server() (*cni.Server, error) {
	ca, err := os.ReadFile(filepath.Join(f.account, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("by whom the API server is believed: %w", err)
	}
	address := f.address
	if address == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, as they are in a pod: name the API server by --api-server")
		}
		address = "https://" + net.JoinHostPort(host, port)
	}
	return cni.Dial(address, ca, func() (string, error) {
		text, err := os.ReadFile(filepath.Join(f.account, "token"))
		return strings.TrimSpace(string(text)), err
	})
}

// nodePages are what kubelets and Prometheus ask of the agent.
func nodePages(a *node.Agent, stats *telemetry.Store) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "all is in place\n")
	})
	m.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		telemetry.WritePrometheus(w, stats.Read(telemetry.Filter{}))
	})
	return m
}
