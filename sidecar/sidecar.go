package sidecar

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/weftmesh/weft/capture/dns"
	"github.com/weftmesh/weft/sidecar/status"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls/issuer"
)

// Proxy is what is to be known of the proxy, and what can be asked of it. Its functions may be called from anywhere.
type Proxy struct {
	Ready       func() error          // why it does not serve; nil: it does
	Stats       func(io.Writer) error // its metrics, as Prometheus reads them
	Drain       func()                // asks clients to go, and lets nobody new in where others come
	Connections func() int            // of clients
	Well        func(because string)  // tells the control plane why the workload is not well; empty: it is
}

// Options are what a part of an agent is made from.
type Options struct {
	Settings *Settings
	Stats    *telemetry.Store
	Log      *slog.Logger
}

// Agent is the agent's part. It is begun before the proxy, which asks it who it is, and ended after it.
type Agent struct {
	Options
	issuer  *issuer.Issuer // nil: the identity is somebody else's, or there is none
	secrets *secrets
	names   *dns.Proxy // nil: nobody asks for names here
	status  *status.Server
	proxy   Proxy

	context context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	drained sync.Once
	quit    chan struct{}
	quitted sync.Once
	tokened sync.Once // that the token is not there was said
}

// Begin has the identity be got and told, and names be answered. What is wrong with the settings it says.
func Begin(o Options) (*Agent, error) {
	a := &Agent{Options: o, quit: make(chan struct{})}
	a.context, a.cancel = context.WithCancel(context.Background())
	if err := a.begin(a.context); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) begin(ctx context.Context) (err error) {
	s := a.Settings
	if err := a.writeRoots(); err != nil {
		return err
	}
	i := &s.Identity
	switch {
	case i.Socket != "":
		a.Log.Info("the identity is told by somebody else", "socket", i.Socket)
		if present(i.Socket) == "" {
			return fmt.Errorf("sidecar: WORKLOAD_IDENTITY_SOCKET_FILE names %s, and there is nothing: is who serves it (SPIRE's agent, say) mounted there?", i.Socket)
		}
	case !s.proves():
		a.Log.Warn("the workload has no identity: the control plane is spoken to in plain text, and CA_ADDR names nobody who signs")
	default:
		if i.Files == "" && i.Shown == "" && i.Token == "" && i.Join == "" && !issuer.PairIn(i.Output).There() {
			return fmt.Errorf("sidecar: there is nothing to show who this is: want a token in %s, a join token in WEFT_JOIN_TOKEN_FILE, or a certificate in PROV_CERT", boundToken)
		}
		a.issuer = issuer.New(a.issuing())
		if a.secrets, err = tellSecrets(ctx, s.socket(), a.issuer, a.Stats, a.Log); err != nil {
			return fmt.Errorf("sidecar: %w", err)
		}
		a.running.Go(func() { a.issuer.Run(ctx) })
	}
	if len(s.Names) > 0 {
		a.names, err = dns.Listen(dns.Options{Addrs: s.Names, Namespace: s.Namespace, Domain: s.Domain, AtOnce: s.ResolversAtOnce, Store: a.Stats, Log: a.Log})
	}
	return err
}

// writeRoots writes which file has whom the control plane is believed by.
func (a *Agent) writeRoots() error {
	s := a.Settings
	if s.Plain || s.Discovery.Roots == "" {
		return nil
	}
	text, err := s.rootsSecret()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.planeRoots()), 0o755)
	}
	if err == nil {
		err = os.WriteFile(s.planeRoots(), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("sidecar: PROXY_CONFIG configPath is %s, in which nothing can be written: %w", s.ConfigPath, err)
	}
	return nil
}

// issuing are the settings as the issuer has them.
func (a *Agent) issuing() issuer.Options {
	s, i := a.Settings, &a.Settings.Identity
	o := issuer.Options{
		Server: issuer.Server(i.CA), Want: issuer.Who{Domain: i.Domain, Namespace: s.Namespace, Account: s.Account}, Token: i.Token, Join: i.Join, Cluster: i.Cluster, Signer: i.Signer,
		Life: i.Life, Grace: i.Grace, Jitter: i.Jitter, RSA: i.RSA, PKCS8: i.PKCS8, Output: i.Output,
		Stats: a.Stats.Acquire(issuer.Stats, "identity.").Loop(a.Stats.Loops()), Log: a.Log,
	}
	if i.Curve == "P384" {
		o.Curve = elliptic.P384()
	}
	if i.CA.Roots != "" {
		o.Roots = []string{i.CA.Roots}
	}
	switch {
	case i.Files != "":
		o.Files = issuer.PairIn(i.Files)
	case i.Shown != "":
		o.Shown = issuer.PairIn(i.Shown)
	}
	return o
}

// Beside is what is told beside a call to the control plane: the token, as it is now, and the cluster that it is of. Calls to others are told nothing.
func (a *Agent) Beside(server string) (string, error) {
	i := &a.Settings.Identity
	if server != clusterPlane || a.Settings.Plain {
		return "", nil
	}
	told := ""
	if i.Cluster != "" {
		told = "clusterid: " + i.Cluster
	}
	if i.Token == "" {
		return told, nil
	}
	token, err := issuer.ReadToken(i.Token)
	if err == nil {
		return "authorization: Bearer " + token + "\n" + told, nil
	}
	if a.issuer != nil {
		if has, _ := a.issuer.Identity(); has != nil { // which is shown as well
			a.tokened.Do(func() { a.Log.Warn("the control plane is shown the certificate alone", "because", err) })
			return told, nil
		}
	}
	return "", err
}

// Names takes a table of names; nil: nobody asks for names here.
func (a *Agent) Names() func(table []byte) error {
	if a.names == nil {
		return nil
	}
	return a.names.Tell
}

// Serve has kubelets, Prometheus and tools be answered, about the proxy that runs from now on.
func (a *Agent) Serve(p Proxy) (err error) {
	a.proxy = p
	s := a.Settings
	at := func(port int) string {
		if port == 0 {
			return ""
		}
		return ":" + strconv.Itoa(port)
	}
	o := status.Options{
		AgentAddr: at(s.AgentPort), ReadyAddr: at(s.ReadyPort), PrometheusAddr: at(s.PrometheusPort), Ready: a.Ready, Stats: p.Stats, Probers: s.Probers, Scrape: s.Scrape,
		Drain: a.drain, Quit: a.end, Store: a.Stats, Log: a.Log,
	}
	if s.Role == Sidecar {
		o.Pod, _ = netip.ParseAddr(s.Addresses[0])
	}
	if a.names != nil {
		o.Names = a.names.WriteJSON
	}
	if a.status, err = status.Listen(o); err != nil {
		return fmt.Errorf("sidecar: %w", err)
	}
	return a.probe()
}

// probe has the workload of a machine be asked whether it is well, if its WorkloadGroup says how.
func (a *Agent) probe() error {
	if a.Settings.proxy.ReadinessProbe == nil {
		return nil
	}
	text, err := json.Marshal(a.Settings.proxy.ReadinessProbe)
	if err != nil {
		return fmt.Errorf("sidecar: PROXY_CONFIG readinessProbe: %w", err)
	}
	w, err := status.ParseWorkload(string(text))
	if err != nil {
		return fmt.Errorf("sidecar: PROXY_CONFIG: %w", err)
	}
	a.running.Go(func() { w.Run(a.context, a.proxy.Well) })
	return nil
}

// Ready tells why the sidecar is not. That it has no certificate is said before what follows from it.
func (a *Agent) Ready() error {
	err := a.proxy.Ready()
	if err == nil && a.names != nil && !a.names.Ready() {
		return errors.New("no table of names has come from the control plane")
	}
	if err == nil || a.issuer == nil {
		return err
	}
	if has, _ := a.issuer.Identity(); has == nil {
		if why := a.issuer.Failing(); why != nil {
			return fmt.Errorf("there is no certificate: %w", why)
		}
		return errors.New("there is no certificate yet")
	}
	return err
}

// Quit is closed when somebody has asked for the end.
func (a *Agent) Quit() <-chan struct{} { return a.quit }

func (a *Agent) end() { a.quitted.Do(func() { close(a.quit) }) }

// Close ends all of it.
func (a *Agent) Close() {
	a.cancel()
	if a.status != nil {
		a.status.Close()
	}
	if a.names != nil {
		a.names.Close()
	}
	if a.secrets != nil {
		a.secrets.close()
	}
	a.running.Wait()
}
