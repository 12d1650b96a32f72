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
	"sync/atomic"

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
	// Of the process whose place this one takes: its sockets by key, as descriptors that are the caller's, and its Bequest; nil: there is none.
	Handed func(key string) []int
	Before []byte
}

// Agent is the agent's part. It is begun before the proxy, which asks it who it is, and ended after it.
type Agent struct {
	Options
	issuer  *issuer.Issuer // nil: the identity is somebody else's, or there is none
	sockets sockets
	secrets *secrets
	names   *dns.Proxy // nil: nobody asks for names here
	status  *status.Server
	proxy   Proxy

	context context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	renewed context.CancelFunc // ends the issuer's work; nil: there is none
	yielded atomic.Bool        // another process has taken this one's place
	lost    atomic.Bool        // and has gone
	drained sync.Once
	quit    chan struct{}
	quitted sync.Once
	tokened sync.Once // that the token is not there was said
}

// Begin has the identity be got and told, and names be answered, where no process before does. What is wrong with the settings it says.
func Begin(o Options) (*Agent, error) {
	a := &Agent{Options: o, quit: make(chan struct{}), sockets: sockets{handed: o.Handed}}
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
	if a.Before != nil && i.Socket == identitySocket {
		i.Socket = "" // who serves there is the process before
	}
	switch {
	case i.Socket != "":
		a.Log.Info("the identity is told by somebody else", "socket", i.Socket)
		if present(i.Socket) == "" {
			return fmt.Errorf("sidecar: WORKLOAD_IDENTITY_SOCKET_FILE names %s, and there is nothing: is who serves it (SPIRE's agent, say) mounted there?", i.Socket)
		}
	case !s.proves():
		a.Log.Warn("the workload has no identity: the control plane is spoken to in plain text, and CA_ADDR names nobody who signs")
	default:
		if a.Before == nil && i.Files == "" && i.Shown == "" && i.Token == "" && i.Join == "" && !issuer.PairIn(i.Output).There() {
			return fmt.Errorf("sidecar: there is nothing to show who this is: want a token in %s, a join token in WEFT_JOIN_TOKEN_FILE, or a certificate in PROV_CERT", boundToken)
		}
		a.issuer = issuer.New(a.issuing())
		l, had, err := a.sockets.secrets(s.socket())
		if err != nil {
			return fmt.Errorf("sidecar: %w", err)
		}
		if a.secrets = tellSecrets(ctx, l, a.issuer, a.Stats, a.Log); !had {
			a.secrets.serve() // this proxy itself is the first to ask
		}
		var own context.Context
		own, a.renewed = context.WithCancel(ctx)
		a.running.Go(func() { a.issuer.Run(own) })
	}
	if len(s.Names) > 0 {
		a.names, err = dns.Listen(dns.Options{Addrs: s.Names, Namespace: s.Namespace, Domain: s.Domain, AtOnce: s.ResolversAtOnce, Listen: a.sockets.listen, ListenPacket: a.sockets.packets, Store: a.Stats, Log: a.Log})
		if err == nil && a.Handed == nil {
			a.names.Serve() // that it knows nothing yet is an answer, where nobody has a better one
		}
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
		Before: a.Before, Life: i.Life, Grace: i.Grace, Jitter: i.Jitter, RSA: i.RSA, PKCS8: i.PKCS8, Output: i.Output,
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

// Meet tells it the proxy that runs from now on.
func (a *Agent) Meet(p Proxy) { a.proxy = p }

// Serve has kubelets, Prometheus and tools be answered about the proxy, and whoever else the process before has answered so far.
func (a *Agent) Serve() (err error) {
	s, p := a.Settings, a.proxy
	at := func(port int) string {
		if port == 0 {
			return ""
		}
		return ":" + strconv.Itoa(port)
	}
	o := status.Options{
		AgentAddr: at(s.AgentPort), ReadyAddr: at(s.ReadyPort), PrometheusAddr: at(s.PrometheusPort), Ready: a.Ready, Stats: p.Stats, Probers: s.Probers, Scrape: s.Scrape,
		Drain: a.drain, Quit: a.end, Listen: a.sockets.listen, Store: a.Stats, Log: a.Log,
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
	if a.Handed != nil && a.names != nil {
		a.names.Serve()
	}
	if a.secrets != nil {
		a.secrets.serve()
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
	switch {
	case a.lost.Load():
		return errors.New("the process that has taken this one's place is gone")
	case a.yielded.Load():
		return nil // as the one that has taken its place was when it did
	}
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
