package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/istiod"
	"github.com/weftmesh/weft/xds/server"
)

// openFace has Istio's tools be answered.
func (p *Plane) openFace() {
	name, _ := os.Hostname() // in a Pod, its name
	o := istiod.Options{Push: p.push, Stats: p.stats, Clusters: p.clusterz, Name: name, Version: p.Version}
	if p.secure != nil {
		o.Until = p.secure.ca.Until
	}
	p.face = &istiod.Face{Options: o}
}

// clusterz are the clusters in istiod's words. Its secretName is who attaches one.
func (p *Plane) clusterz() (all []istiod.Cluster) {
	for _, c := range p.clusterStatus() {
		one := istiod.Cluster{ID: c.Name, SecretName: strings.TrimPrefix(c.From, bySecret+" "), SyncStatus: "syncing", First: c.Type == FirstCluster}
		switch {
		case c.URL == "" && c.Refused != "":
			one.SyncStatus = "closed"
		case c.Told:
			one.SyncStatus = "synced"
		case p.clusters.isOpen() && !one.First:
			one.SyncStatus = "timeout"
		}
		all = append(all, one)
	}
	return all
}

// answer answers what tools such as istioctl ask over xDS: to who has shown to be somebody of the control plane's own namespace, since it is about
// everybody's proxies.
func (p *Plane) answer(ctx context.Context, q *server.Question) (*server.Answer, error) {
	if err := p.mayAsk(ctx, q); err != nil {
		p.Log.Warn("a question about the control plane is not answered", "type", fmt.Sprintf("%.128s", q.Type), "peer", q.Peer, "because", err)
		return nil, err
	}
	p.Log.Debug("a question about the control plane is answered", "type", q.Type, "names", q.Names, "peer", q.Peer)
	return p.face.Answer(q)
}

func (p *Plane) mayAsk(ctx context.Context, q *server.Question) error {
	info, ok := q.Auth.(credentials.TLSInfo)
	if !ok || p.secure == nil {
		return status.Error(codes.Unauthenticated, "control: nobody shows here who he is: come to --secure-grpc-addr")
	}
	ctx, cancel := context.WithTimeout(ctx, proving)
	defer cancel()
	caller, err := ca.Authenticate(ctx, p.proofs(p.accounts()))
	if errors.Is(err, ca.ErrUnanswered) {
		return status.Error(codes.Unavailable, err.Error())
	}
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if err := p.secure.ca.CheckIdentity(caller.Identity); err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if len(info.State.VerifiedChains) > 0 { // which may be older than its revocation
		if err := p.secure.ca.CheckRevoked(info.State.VerifiedChains[0][0]); err != nil {
			return status.Error(codes.Unauthenticated, err.Error())
		}
	}
	if p.KubeNamespace == "" || caller.Namespace != p.KubeNamespace {
		return status.Errorf(codes.PermissionDenied, "control: %s may not ask about the control plane: want an identity of its namespace, %q", caller.Identity, p.KubeNamespace)
	}
	if caller.Spend != nil {
		if err := caller.Spend(ctx); err != nil {
			return status.Error(codes.Unauthenticated, err.Error())
		}
	}
	return nil
}

// doors are what people come to over TLS: the console, and istiod's pages for who may look at everything.
func (p *Plane) doors(users *console.Users) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", p.console.Public(users))
	mux.Handle("/debug/", p.console.Guard(users, console.Viewer, "look at how weftd stands", p.face.Handler()))
	mux.HandleFunc("GET /ready", p.readyOnly)
	mux.HandleFunc("GET /version", p.version)
	return mux
}

// debug is istiod's pages for who is on this host.
func (p *Plane) debug(w http.ResponseWriter, r *http.Request) { p.face.Handler().ServeHTTP(w, r) }

// version is in istiod's form, out of which istioctl takes its parts: version, revision of the source, and what is not in that.
func (p *Plane) version(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "%s-unknown-Clean", p.Version)
}

// readyOnly says whether weftd is ready, and nothing of why not: nobody shows here who he is.
func (p *Plane) readyOnly(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-p.Readied():
		fmt.Fprintln(w, "ready")
	default:
		http.Error(w, "not ready: /ready of --admin-addr says why", http.StatusServiceUnavailable)
	}
}

// What a page of numbers' reader may take.
const (
	maxMonitors = 64 // connections
	monitorTime = 30 * time.Second
)

// openMonitoring has Prometheus come. What there is says nothing of anybody but how many there are; debug pages are elsewhere, since nobody shows here who he is.
func (p *Plane) openMonitoring() error {
	if p.Monitoring == "" {
		return nil
	}
	l, err := p.listen("--monitoring-addr", p.Monitoring)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("GET /version", p.version)
	mux.HandleFunc("GET /ready", p.readyOnly)
	mux.HandleFunc("/debug/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "debug pages are on --http-addr, for those whom --users names, and on --admin-addr, for who is on this host", http.StatusForbidden)
	})
	p.MonitoringAddress = l.Addr()
	p.monitor = &http.Server{Handler: mux, ReadHeaderTimeout: headTime, ReadTimeout: monitorTime, WriteTimeout: monitorTime, IdleTimeout: peopleIdle, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug)}
	p.parts.Go(func() { p.monitor.Serve(p.crowd(l, maxMonitors)) })
	return nil
}
