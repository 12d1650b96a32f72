package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/file"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// Options are what a control plane is made from. An empty address switches a part off.
type Options struct {
	ConfigDir  string // a directory of manifests, followed
	MeshConfig string // a file with the mesh's own configuration; empty: that of the cluster, or Istio's defaults
	// Kubeconfig says how a Kubernetes API server is reached that is followed, in one of its contexts or the current one: a file, or kube.InCluster;
	// empty: none is.
	Kubeconfig, KubeContext string
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
	Store          string   // a file for what must outlive the process; empty: memory
	CADir          string   // a directory with an authority from outside, as Istio's secret cacerts has; empty: the store has one
	AuditLog       string   // a file that is added to; empty: none
	Log            *slog.Logger
	Level          *slog.LevelVar // of Log
}

// Plane is a control plane that runs.
type Plane struct {
	Options
	push    *push.Push
	stats   *telemetry.Store
	grpc    *grpc.Server
	admin   *http.Server
	began   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	parts   sync.WaitGroup
	failed  chan error
	secure  *secure  // nil: there is none
	cluster *cluster // nil: there is none

	trustDomain string
	// GRPCAddress, SecureAddress and AdminAddress are where it is reached; nil: not at all.
	GRPCAddress, SecureAddress, AdminAddress net.Addr
}

// The names that sources have in the log and on pages.
const (
	fromFiles   = "files"
	fromCluster = "cluster"
	fromMesh    = "mesh config"
)

// Start has a control plane run until Close. It says what is wrong with its options, and with the mesh's own configuration.
func Start(o Options) (*Plane, error) {
	p := &Plane{Options: o, stats: telemetry.NewStore(0), began: time.Now(), failed: make(chan error, 1)}
	p.stats.SetNaming(&telemetry.Naming{Family: "weftd_"})
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.start(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Plane) start() error {
	if err := p.openCluster(); err != nil {
		return err
	}
	var sources []string
	if p.ConfigDir != "" {
		sources = append(sources, fromFiles)
	}
	if p.cluster != nil {
		sources = append(sources, fromCluster)
	}
	if len(sources) == 0 {
		return errors.New("there is no source of objects: name a directory of manifests by --config-dir, or a Kubernetes API server by --kubeconfig")
	}
	var settings source.Batch
	if p.MeshConfig != "" {
		sources = append(sources, fromMesh)
		var err error
		if settings, err = readMesh(p.MeshConfig); err != nil {
			return err
		}
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) // what ends a stream is told to its proxy, and counted
	first := settings
	if p.cluster != nil && p.MeshConfig == "" && p.SecureGRPC != "" {
		var err error
		if first, err = p.cluster.settings(p.ctx); err != nil {
			return err
		}
	}
	p.trustDomain = mesh.New().With(first.Changes).Settings.TrustDomain
	p.push = push.New(push.Options{Sources: sources, Admit: p.admit, Log: p.Log, Stats: p.stats.Acquire(push.Stats, "push.").Loop(0)})
	if p.GRPC != "" {
		l, err := p.listen("--grpc-addr", p.GRPC)
		if err != nil {
			return err
		}
		if err := inside("--grpc-addr", l, "and what is said there is neither encrypted nor proven: want an address such as 127.0.0.1:15010, or --allow-plaintext-xds"); err != nil && !p.AllowPlaintext {
			l.Close()
			return err
		}
		p.GRPCAddress, p.grpc = l.Addr(), grpc.NewServer(server.GRPC()...)
		server.New(server.Options{Control: p.push, Stats: p.stats.Acquire(server.Stats, "xds.").Loop(0)}).Register(p.grpc)
		p.parts.Go(func() { p.grpc.Serve(l) })
	}
	if p.SecureGRPC != "" {
		if err := p.openSecure(p.trustDomain); err != nil {
			return err
		}
	} else if p.Store != "" || p.CADir != "" || p.AuditLog != "" || len(p.SecureNames) > 0 {
		return errors.New("--store, --ca-dir, --audit-log and --secure-names are about what --secure-grpc-addr serves: name an address by that, such as :15012")
	}
	if p.Admin != "" {
		l, err := p.listen("--admin-addr", p.Admin)
		if err != nil {
			return err
		}
		if err := inside("--admin-addr", l, "and nobody proves there who he is: want an address such as 127.0.0.1:9876"); err != nil {
			l.Close()
			return err
		}
		p.AdminAddress, p.admin = l.Addr(), p.pages()
		p.parts.Go(func() { p.admin.Serve(l) })
	}
	p.parts.Go(func() { p.push.Run(p.ctx) })
	if p.MeshConfig != "" {
		p.push.Tell(p.ctx, fromMesh, settings)
	}
	if p.ConfigDir != "" {
		p.parts.Go(func() {
			err := file.Watch(p.ctx, p.ConfigDir, func(b source.Batch) { p.push.Tell(p.ctx, fromFiles, b) })
			if err != nil {
				p.failed <- err
			}
		})
	}
	if p.cluster != nil {
		p.parts.Go(func() {
			p.cluster.Watch(p.ctx, func(b source.Batch) { p.push.Tell(p.ctx, fromCluster, p.settled(b)) })
		})
	}
	return nil
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

// Failed tells once that the directory cannot be followed. What is known goes on being served.
func (p *Plane) Failed() <-chan error { return p.failed }

// Readied is closed when every source has told what it has, and proxies are served.
func (p *Plane) Readied() <-chan struct{} { return p.push.Readied() }

// Close ends it. Proxies keep what they have been told.
func (p *Plane) Close() {
	p.cancel()
	if p.grpc != nil {
		p.grpc.Stop()
	}
	if p.secure != nil {
		p.secure.close()
	}
	if p.admin != nil {
		p.admin.Close()
	}
	p.parts.Wait()
	if p.secure != nil {
		p.secure.after()
	}
}

// Reread reads the mesh's own configuration again. If something is wrong with it, what was read before stays in force.
func (p *Plane) Reread() {
	if p.MeshConfig == "" {
		return
	}
	b, err := readMesh(p.MeshConfig)
	if err != nil {
		p.Log.Error("the mesh's configuration is not read again: what was read before stays in force", "because", err)
		return
	}
	if domain := mesh.New().With(b.Changes).Settings.TrustDomain; p.secure != nil && domain != p.trustDomain {
		p.Log.Error("the mesh's configuration is not read again: its trust domain is another, and certificates of both would not trust one another: start again for that", "is", p.trustDomain, "would be", domain)
		return
	}
	p.push.Tell(p.ctx, fromMesh, b)
}

// maxMeshConfig bounds, in bytes, the mesh's own configuration.
const maxMeshConfig = 1 << 20

func readMesh(path string) (b source.Batch, err error) {
	f, err := os.Open(path)
	if err != nil {
		return b, fmt.Errorf("--mesh-config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMeshConfig+1))
	if err != nil {
		return b, fmt.Errorf("--mesh-config: %w", err)
	}
	if len(data) > maxMeshConfig {
		return b, fmt.Errorf("--mesh-config: %s has more than %d bytes", path, maxMeshConfig)
	}
	o, problems := source.ReadMeshConfig(data, source.Origin{Source: fromMesh, File: path})
	if o == nil {
		var all []error
		for _, one := range problems {
			all = append(all, errors.New("--mesh-config: "+push.Say(one)))
		}
		return b, errors.Join(all...)
	}
	return source.Batch{Changes: []source.Change{{Key: o.Key, Object: o}}, Problems: problems}, nil
}
