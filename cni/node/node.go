package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weftmesh/weft/cni"
	"github.com/weftmesh/weft/telemetry"
)

// Options say what is kept in place, and where.
type Options struct {
	Program  string // path of the program that is copied
	Programs string // the folder of the host's plugins
	Networks string // the folder of the host's network configurations
	HostPath string // what Networks is called on the host, where the plugin runs; empty: the same
	Network  string // name of the file that is chained into; empty: the first one, which runtimes take

	Server    *cni.Server
	Namespace string // of the DaemonSet and the account
	DaemonSet string
	Account   string // whose tokens the plugin has: it may get pods, and nothing else
	Node      string // whose pods are mended
	TokenLife time.Duration

	ExcludeNamespaces []string // beside Namespace
	Backend           string
	ShortCuts         bool   // with programs (ebpf)
	Cgroups           string // the folder of the host's control groups (v2), for programs
	HostCgroups       string // what Cgroups is called on the host; empty: the same
	Repair            string // RepairCapture, RepairLabel or RepairOff
	Proc              string // where processes of the host are seen

	Stats *telemetry.Store
	Log   *slog.Logger
}

// Again is how often everything is looked at, whether or not somebody is known to have changed it.
const Again = 10 * time.Second

// settling is how long after a change it is looked at: who rewrites a file does so in several steps.
const settling = 100 * time.Millisecond

// Agent keeps a node's plugin in place.
type Agent struct {
	o     Options
	stats *telemetry.Values
	token token
	// placed is the program as it was when it was compared; nil: it was not.
	placed os.FileInfo

	mu  sync.Mutex
	why error // why not all is in place
}

// errNew is what is wrong before anything was tried.
var errNew = errors.New("nothing was tried yet")

// New checks options.
func New(o Options) (*Agent, error) {
	var errs []error
	want := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	want(o.Namespace != "", "--namespace: want that of the agent")
	want(o.Repair == RepairOff || o.Node != "", "--node: want the name of this node, whose pods are mended, or --repair off")
	want(o.Repair == RepairCapture || o.Repair == RepairLabel || o.Repair == RepairOff, fmt.Sprintf("--repair is %q: want capture, label or off", o.Repair))
	want(o.TokenLife >= 10*time.Minute, "--token-life: want at least 10m, which is the API server's least")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o.HostCgroups = cmp.Or(o.HostCgroups, o.Cgroups)
	if o.HostPath == "" {
		o.HostPath = o.Networks
	}
	return &Agent{o: o, stats: o.Stats.Acquire(Stats, "cni.").Loop(o.Stats.Loops()), why: errNew}, nil
}

// Ready says why the agent is not ready; nil: all is in place.
func (a *Agent) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.why
}

// Run keeps all in place until the context ends. What is in place stays then; Remove takes it away.
func (a *Agent) Run(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("node: watching folders: %w", err)
	}
	defer w.Close()
	for _, dir := range []string{a.o.Networks, a.o.Programs} {
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("node: watching %s: %w: is the host's folder mounted there?", dir, err)
		}
	}
	var mending sync.WaitGroup
	if a.o.Repair != RepairOff {
		mending.Go(func() { a.mend(ctx) })
	}
	defer mending.Wait()
	tick := time.NewTicker(Again)
	defer tick.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	for {
		select {
		case <-w.Events:
			soon.Reset(settling)
			continue
		case <-w.Errors: // some were too many to be told: the next look sees what they were
			continue
		case <-soon.C:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		a.settle(ctx)
	}
}

// settle puts in place what is not, in the order in which a runtime needs it: what is called before who calls it.
func (a *Agent) settle(ctx context.Context) {
	err := a.placeProgram()
	if err == nil {
		err = a.placeKubeconfig(ctx)
	}
	if err == nil {
		err = a.chain()
	}
	a.mu.Lock()
	was := a.why
	a.why = err
	a.mu.Unlock()
	switch {
	case err != nil:
		a.stats.Inc(failures)
		if was == nil || was.Error() != err.Error() {
			a.o.Log.Warn("the plugin is not in place", "error", err)
		}
	case was != nil:
		a.o.Log.Info("the plugin is in place", "programs", a.o.Programs, "networks", a.o.Networks)
	}
}

// Remove takes away what Run has put in place, in the opposite order, and all of it but the program: some runtimes (CRI-O) keep the configuration that a pod was added
// by, and call its plugins again when the pod ends. Without the program no such pod would.
func (a *Agent) Remove() error {
	return errors.Join(a.unchain(), remove(a.kubeconfig()))
}

// RemoveAll takes the program away, too: for nodes without pods of before.
func (a *Agent) RemoveAll() error {
	return errors.Join(a.Remove(), remove(a.program()))
}

// leaving bounds the question whether the plugin stays.
const leaving = 5 * time.Second

// Uninstalled says that the agent ends for good: its DaemonSet goes, or is gone, and with it the right to ask for it. While the DaemonSet is there, the agent is
// only made anew, and pods that start meanwhile want the plugin. If that cannot be found out, the plugin stays: pods that are not captured do not start.
func (a *Agent) Uninstalled() (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), leaving)
	defer cancel()
	var o struct {
		Metadata struct {
			Deletion string `json:"deletionTimestamp"`
		} `json:"metadata"`
	}
	err := a.o.Server.Ask(ctx, http.MethodGet, "/apis/apps/v1/namespaces/"+url.PathEscape(a.o.Namespace)+"/daemonsets/"+url.PathEscape(a.o.DaemonSet), "", nil, &o)
	var refused *cni.Refusal
	if errors.As(err, &refused) {
		switch refused.Code {
		case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
			return true, nil
		}
	}
	return err == nil && o.Metadata.Deletion != "", err
}

// remove takes a file away, or leaves it so.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
