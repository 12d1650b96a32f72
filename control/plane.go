package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/grpclog"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/history"
	"github.com/weftmesh/weft/control/istiod"
	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/register"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/file"
	"github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/control/source/stored"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// Options are what a control plane is made from. An empty address switches a part off.
type Options struct {
	ConfigDir  string // a directory of manifests, followed
	MeshConfig string // a file with the mesh's own configuration; empty: that of the cluster, or Istio's defaults
	// MeshNetworks is a file with the mesh's networks, beside MeshConfig or where there is no cluster; empty: those of the cluster, or none.
	MeshNetworks string
	// Kubeconfig says how a Kubernetes API server is reached that is followed, in one of its contexts or the current one: a file, or kube.InCluster;
	// empty: none is.
	Kubeconfig, KubeContext string
	// ClusterName is the own name of that cluster among several; empty: Kubernetes, as Istio has it.
	ClusterName string
	// KubeNamespace is the control plane's own there: the mesh's own configuration is in it.
	KubeNamespace string
	// PublishRoots: every namespace there has a ConfigMap with the certificates that the mesh trusts.
	PublishRoots bool
	// WriteStatus: the status of an object there says what is wrong with it.
	WriteStatus bool
	GRPC        string // the address that proxies come to, in plain text
	Admin       string // the address of the pages for people
	// AllowPlaintext lets GRPC be an address that others than this host reach: whoever reaches it is told everything, and nobody has to prove who
	// he is.
	AllowPlaintext bool
	SecureGRPC     string   // the address that proxies and agents come to over TLS, where everybody proves who he is
	SecureNames    []string // of DNS, under which that is reached besides those that Istio's agents know
	Store          string   // for what must outlive the process, as store.Open takes it; empty: memory
	CADir          string   // a directory with an authority from outside, as Istio's secret cacerts has; empty: the store has one
	// CASigner names a signer of the API server that signs certificates, and CAUpstream the address of a service that does, as istio-csr has it, which is believed by the file CAUpstreamRoots;
	// empty: the authority of the store or of CADir does. CARoots is the file with the roots that the mesh trusts then.
	CASigner, CAUpstream, CAUpstreamRoots, CARoots string
	ServerCert                                     string // a directory with the certificate of what is served over TLS; empty: it is from the authority
	HTTP                                           string // the address that people and scripts come to over TLS, to look at objects and to change them
	Users                                          string // a file that says who those are, and what they may
	Monitoring                                     string // the address that Prometheus comes to
	AuditLog                                       string // a file that is added to; empty: none
	Webhook                                        string // the address that API servers come to over TLS, about pods and objects
	InjectConfig                                   string // a file with what is said of all sidecars; empty: nothing
	// CertificateLife is of the certificates that proxies get on their streams, and RootOverlap how long a new root is trusted before it signs; 0: as the
	// authority likes.
	CertificateLife, RootOverlap time.Duration
	// MachineGrace is how long the WorkloadEntry of a machine that has registered itself stays after its last stream has ended; 0: register.DefaultGrace.
	MachineGrace time.Duration
	// Revision is of this control plane among several: objects with another one in their label istio.io/rev are left to those, and its webhooks
	// are those whose label names it. Empty: all are read, and default.
	Revision string
	Version  string // of the program
	// Rollout is how changes go to proxies whose objects do not say it: AtOnce, which is the default, or ByCohorts. RolloutWait is how long a step of
	// the latter waits for answers; 0: push.DefaultStepWait.
	Rollout     string
	RolloutWait time.Duration
	Log         *slog.Logger
	Level       *slog.LevelVar // of Log
}

// Plane is a control plane that runs.
type Plane struct {
	Options
	push    *push.Push
	store   store.Store
	audit   *audit
	stats   *telemetry.Store
	grpc    *serve.Server
	admin   *http.Server
	began   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	parts   sync.WaitGroup
	failed  chan error
	readied chan struct{}
	serves  atomic.Bool    // all of this is there; else the store is awaited
	begins  sync.WaitGroup // what becomes of it when it answers
	secure  *secure        // nil: there is none
	cluster *cluster       // nil: there is none

	clusters *clusters
	machines *register.Machines
	broken   *broken
	mesh     func(source.Batch) // takes the mesh's own configuration
	console  *console.Console
	local    http.Handler // the console of who is on this host
	people   *http.Server // nil: there is none
	monitor  *http.Server // nil: there is none
	face     *istiod.Face
	webhook  *webhook // nil: there is none
	history  *history.Recorder

	first       *mesh.Settings // of the mesh, as they were at the start
	trustDomain string
	// GRPCAddress, SecureAddress, HTTPAddress, MonitoringAddress, WebhookAddress and AdminAddress are where it is reached; nil: not at all.
	GRPCAddress, SecureAddress, HTTPAddress, MonitoringAddress, WebhookAddress, AdminAddress net.Addr
}

// The names that sources have in the log and on pages.
const (
	fromFiles   = "files"
	fromCluster = "cluster"
	fromStore   = stored.Origin
	fromMesh    = "mesh config"
)

// places say where people change objects of a source, by its name.
var places = map[string]string{
	fromFiles:   "change the file",
	fromCluster: "change it there, by kubectl",
	fromMesh:    "change the file that --mesh-config or --mesh-networks names",
}

// Start has a control plane run until Close. It says what is wrong with its options, and with the mesh's own configuration.
func Start(o Options) (*Plane, error) {
	p := &Plane{Options: o, stats: telemetry.NewStore(0), began: time.Now(), failed: make(chan error, 1), readied: make(chan struct{})}
	p.stats.SetNaming(&telemetry.Naming{Family: "weftd_"})
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.start(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Plane) start() error {
	if p.MachineGrace < 0 {
		return fmt.Errorf("--machine-grace is %v: want a time that is not negative, such as 10s", p.MachineGrace)
	}
	if err := p.checkRollout(); err != nil {
		return err
	}
	if err := kube.CheckName(p.clusterName()); err != nil {
		return fmt.Errorf("--cluster-name: %w", err)
	}
	if err := p.openCluster(); err != nil {
		return err
	}
	var sources []string // of an object that several have, the first one's counts
	if p.ConfigDir != "" {
		sources = append(sources, fromFiles)
	}
	if p.cluster != nil {
		sources = append(sources, fromCluster)
	}
	if len(sources) == 0 && p.Store == "" {
		return errors.New("there is no source of objects: name a directory of manifests by --config-dir, a Kubernetes API server by --kubeconfig, or by --store where those are kept that are applied")
	}
	sources = append(sources, fromStore, fromClusters, fromSwitches)
	var settings source.Batch
	if p.MeshNetworks != "" && p.cluster != nil && p.MeshConfig == "" {
		return errors.New("--mesh-networks is for where the API server has no mesh's own configuration, which --mesh-config says: else write it into its ConfigMap, as meshNetworks")
	}
	if p.fromFiles() {
		sources = append(sources, fromMesh)
		var err error
		if settings, err = readMesh(p.MeshConfig, p.MeshNetworks); err != nil {
			return err
		}
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) // what ends a stream is told to its proxy, and counted
	first := settings
	if p.cluster != nil && p.MeshConfig == "" && p.certifies() {
		var err error
		if first, err = p.cluster.settings(p.ctx); err != nil {
			return err
		}
	}
	p.first = mesh.New().With(first.Changes).Settings
	p.trustDomain = p.first.TrustDomain
	if err := p.open(); err != nil {
		return err
	}
	if err := store.Ask(p.ctx, p.store); err != nil {
		if p.ConfigDir == "" && p.cluster == nil {
			return fmt.Errorf("--store: %w", err)
		}
		return p.await(err, func() error { return p.serve(sources, settings) })
	}
	return p.serve(sources, settings)
}

// serve has everything run, of a store that answers.
func (p *Plane) serve(sources []string, settings source.Batch) error {
	options := push.Options{Sources: sources, Cluster: p.clusterName(), Admit: p.admit, ByCohorts: p.Rollout == ByCohorts, StepWait: p.RolloutWait, Store: p.store, Log: p.Log, Revision: p.Revision, Stats: p.stats.Acquire(push.Stats, "push.").Loop(0), Events: p.stats.Acquire(push.Events, "events.").Loop(0)}
	p.openClusters()
	if p.certifies() {
		if err := p.openAuthority(p.trustDomain); err != nil {
			return err
		}
		options.Secrets = p.secure.secrets
	} else if p.CADir+p.CASigner+p.CAUpstream+p.CAUpstreamRoots+p.CARoots+p.ServerCert != "" || len(p.SecureNames) > 0 {
		return errors.New("--ca-dir, --ca-signer, --ca-upstream, --ca-upstream-roots, --ca-roots, --server-cert and --secure-names are about what --secure-grpc-addr, --http-addr and --webhook-addr serve: name an address by one of them, such as :15012")
	}
	p.push = push.New(options)
	if p.secure != nil {
		p.runAuthority()
	}
	p.openMachines()
	p.openFace()
	if p.GRPC != "" {
		l, err := p.listen("--grpc-addr", p.GRPC)
		if err != nil {
			return err
		}
		if err := inside("--grpc-addr", l, "and what is said there is neither encrypted nor proven: want an address such as 127.0.0.1:15010, or --allow-plaintext-xds"); err != nil && !p.AllowPlaintext {
			l.Close()
			return err
		}
		p.GRPCAddress, p.grpc = l.Addr(), p.transport("xds_connections.", nil)
		server.New(server.Options{Control: proxies{p.push, p.machines}, Answer: p.answer, Stats: p.stats.Acquire(server.Stats, "xds.").Loop(0)}).Register(p.grpc)
		p.parts.Go(func() { p.grpc.Serve(l) })
	}
	if p.SecureGRPC != "" {
		if err := p.serveSecure(); err != nil {
			return err
		}
	}
	p.openBroken()
	if err := p.openConsole(); err != nil {
		return err
	}
	if err := p.openWebhook(); err != nil {
		return err
	}
	if err := p.openMonitoring(); err != nil {
		return err
	}
	if p.admin == nil {
		if err := p.openPages(); err != nil {
			return err
		}
	}
	p.parts.Go(func() { p.push.Run(p.ctx) })
	if p.fromFiles() {
		p.mesh = p.from(fromMesh)
		p.mesh(settings)
	}
	p.parts.Go(func() { p.history.Run(p.ctx) })
	applied := waysTo(func(b source.Batch) { p.push.Tell(p.ctx, fromStore, b) })
	p.parts.Go(func() { applied.run(p.ctx) })
	p.parts.Go(func() {
		stored.Watch(p.ctx, p.store, func(err error) {
			p.Log.Error("the store is not followed, and what is known of it goes on being served", "because", err)
		}, func(b source.Batch) { applied.tell(b.For(p.Revision)) })
	})
	if p.ConfigDir != "" {
		p.parts.Go(func() {
			if err := file.Watch(p.ctx, p.ConfigDir, p.from(fromFiles)); err != nil {
				p.failed <- err
			}
		})
	}
	if p.cluster != nil {
		tell, secrets := p.from(fromCluster), &clusterSecrets{to: p.clusters, namespace: p.KubeNamespace}
		p.parts.Go(func() { p.cluster.Watch(p.ctx, func(b source.Batch) { tell(secrets.take(p.settled(b))) }) })
	}
	p.parts.Go(func() { p.clusters.run(p.ctx) })
	p.parts.Go(func() { p.broken.run(p.ctx) })
	p.parts.Go(func() {
		select {
		case <-p.push.Readied():
			close(p.readied)
		case <-p.ctx.Done():
		}
	})
	p.serves.Store(true)
	return nil
}

// certifies tells whether something is served with certificates of the mesh.
func (p *Plane) certifies() bool { return p.SecureGRPC != "" || p.HTTP != "" || p.Webhook != "" }

// open opens what outlives the process.
func (p *Plane) open() (err error) {
	if p.audit, err = openAudit(p.AuditLog, p.Log.Error); err != nil {
		return err
	}
	if p.Store == store.InKubernetes && p.cluster != nil {
		p.store = store.NewKubernetes(p.cluster.server, p.KubeNamespace, kube.StoreType)
	} else if p.store, err = store.Open(p.Store); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	var lead func(context.Context, func(context.Context))
	if store.Shared(p.Store) {
		lead = func(ctx context.Context, do func(context.Context)) {
			lease.Lead(ctx, store.Lease(p.store, historyLock), p.Log.With("lease", historyLock), do)
		}
	}
	p.history = history.NewRecorder(history.Options{Store: p.store, Lead: lead, Lasting: p.Store != "", Unnamed: map[string]string{fromFiles: "file", fromCluster: "kubernetes"}, Changed: p.audit.change, Log: p.Log,
		Stats: p.stats.Acquire(history.Stats, "history.").Loop(0)})
	return nil
}

// historyLock is the lease of the one of several weftd on a store that writes the history of what others write.
const historyLock = "history"

// from takes what a source says to where it matters: to the proxies, and to the history of objects.
func (p *Plane) from(name string) func(source.Batch) {
	first := true
	w := waysTo(func(b source.Batch) { p.push.Tell(p.ctx, name, b) })
	p.parts.Go(func() { w.run(p.ctx) })
	return func(b source.Batch) {
		w.tell(b.For(p.Revision))
		p.history.Tell(name, first, b)
		first = false
	}
}

// inside says no to an address that others than this host may reach.
func inside(flag string, l net.Listener, why string) error {
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is %s, which others than this host may reach, %s", flag, l.Addr(), why)
}

func (p *Plane) listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

// transport makes what answers at an address; nil: in plain text.
func (p *Plane) transport(stats string, t *tls.Config) *serve.Server {
	o := server.Transport()
	o.TLS, o.Stats = t, p.stats.Acquire(serve.Stats, stats).Loop(0)
	return serve.New(o)
}

// Failed tells once that the directory cannot be followed. What is known goes on being served.
func (p *Plane) Failed() <-chan error { return p.failed }

// Serves says whether it has all its addresses by now. It has, unless the store does not answer.
func (p *Plane) Serves() bool { return p.serves.Load() }

// Readied is closed when every source has told what it has, and proxies are served.
func (p *Plane) Readied() <-chan struct{} { return p.readied }

// Close ends it. Proxies keep what they have been told.
func (p *Plane) Close() {
	p.cancel()
	p.begins.Wait()
	if p.grpc != nil {
		p.grpc.Stop()
	}
	if p.secure != nil {
		p.secure.close()
	}
	for _, s := range []*http.Server{p.admin, p.people, p.monitor} {
		if s != nil {
			s.Close()
		}
	}
	if p.webhook != nil {
		p.webhook.server.Close()
	}
	p.parts.Wait()
	if p.store != nil { // which nobody uses any more
		p.store.Close()
	}
	if p.audit != nil {
		p.audit.close()
	}
}

// Reread reads the mesh's own configuration again, and what is said of sidecars. If something is wrong with one, what was read before stays in force.
func (p *Plane) Reread() {
	if !p.serves.Load() { // then all is as it was at the start
		return
	}
	if p.webhook != nil {
		p.webhook.reread()
	}
	if !p.fromFiles() {
		return
	}
	b, err := readMesh(p.MeshConfig, p.MeshNetworks)
	if err != nil {
		p.Log.Error("the mesh's configuration is not read again: what was read before stays in force", "because", err)
		return
	}
	if domain := mesh.New().With(b.Changes).Settings.TrustDomain; p.secure != nil && domain != p.trustDomain {
		p.Log.Error("the mesh's configuration is not read again: its trust domain is another, and certificates of both would not trust one another: start again for that", "is", p.trustDomain, "would be", domain)
		return
	}
	p.mesh(b)
}

// maxMeshConfig bounds, in bytes, the mesh's own configuration.
const maxMeshConfig = 1 << 20

// fromFiles tells whether files have the mesh's own configuration.
func (p *Plane) fromFiles() bool { return p.MeshConfig != "" || p.MeshNetworks != "" }

// readMesh reads the mesh's own configuration, and its networks. Of no file it says nothing.
func readMesh(config, networks string) (b source.Batch, err error) {
	for _, one := range []struct {
		flag, path string
		read       func([]byte, source.Origin) (*source.Object, []source.Problem)
	}{{"--mesh-config", config, source.ReadMeshConfig}, {"--mesh-networks", networks, source.ReadMeshNetworks}} {
		if one.path == "" {
			continue
		}
		data, err := readBounded(one.path, maxMeshConfig)
		if err != nil {
			return b, fmt.Errorf("%s: %w", one.flag, err)
		}
		o, problems := one.read(data, source.Origin{Source: fromMesh, File: one.path})
		if o == nil {
			var all []error
			for _, p := range problems {
				all = append(all, errors.New(one.flag+": "+push.Say(p)))
			}
			return b, errors.Join(all...)
		}
		b.Changes = append(b.Changes, source.Change{Key: o.Key, Object: o})
		b.Problems = append(b.Problems, problems...)
	}
	return b, nil
}

// readBounded reads a file that has so many bytes at most.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}
