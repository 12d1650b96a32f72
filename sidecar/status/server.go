package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/telemetry"
)

// Bounds of connections and requests.
const (
	maxConnections = 256 // of a listener; kubelets open one for each probe
	maxOfOne       = 64  // of those, from one address
	maxHeader      = 64 << 10
	headTime       = 10 * time.Second
	answerTime     = 2 * time.Minute
	idleTime       = time.Minute
	endTime        = time.Second // that Close gives requests under way
)

// Options are what a Server is made from.
type Options struct {
	// AgentAddr, ReadyAddr and PrometheusAddr are where it listens: ":15020", ":15021" and ":15090" in a pod; empty: not there. A port of 0 is one that is free.
	AgentAddr, ReadyAddr, PrometheusAddr string
	// Ready tells why the proxy does not serve; nil: it does. It has to be set.
	Ready func() error
	// Stats writes the proxy's metrics as Prometheus reads them (text format 0.0.4). It has to be set.
	Stats func(io.Writer) error
	// Names writes the table of names as JSON, for /debug/ndsz; nil: no names are known here.
	Names func(io.Writer) error
	// Probers are probes that kubelets ask here and that are put to the application, as injection has written them (ISTIO_KUBE_APP_PROBERS); empty: none.
	Probers string
	// Scrape is where the application has its metrics (ISTIO_PROMETHEUS_ANNOTATIONS); empty: it has none. Gateways have none: leave it empty there, since their ports are open to others.
	Scrape string
	// Pod is the pod's address, to which probes are sent as kubelets send them; the zero value: to localhost.
	Pod netip.Addr
	// Drain has the proxy ask its clients to go, and Quit has the sidecar end. They do not wait for that. nil: there is no such page.
	Drain, Quit func()
	// Listen opens a listener at an address; nil: as net's.
	Listen func(network, address string) (net.Listener, error)
	Store  *telemetry.Store // where requests are counted; nil: in one of its own
	Log    *slog.Logger     // nil: nothing is said
}

// Server listens. Its methods may be called from anywhere.
type Server struct {
	o       Options
	probers map[string]*prober // by path
	target  *target            // nil: the application has no metrics
	counts  *telemetry.Owner
	values  *telemetry.Values
	servers []*http.Server
	open    []net.Listener
	left    atomic.Bool // another process answers in its place
	addrs   [3]netip.AddrPort
	ready   atomic.Bool // as it was asked last
	running sync.WaitGroup
}

// page is something that is answered.
type page struct {
	path   string // with a slash at its end: all below it
	method string // beside HEAD, where it is GET
	local  bool   // only who is in the pod may ask
	serve  func(*Server, http.ResponseWriter, *http.Request)
}

// pages are those of the three listeners.
func (s *Server) pages() [3][]page {
	ready := page{"/healthz/ready", http.MethodGet, false, (*Server).serveReady}
	agent := []page{
		ready,
		{"/stats/prometheus", http.MethodGet, false, (*Server).serveAll},
		{"/metrics", http.MethodGet, false, (*Server).serveAll},
		{"/app-health/", http.MethodGet, false, (*Server).serveProbe},
		{"/app-lifecycle/", http.MethodGet, false, (*Server).serveProbe},
		{"/debug/ndsz", http.MethodGet, true, (*Server).serveNames},
	}
	if s.o.Quit != nil {
		agent = append(agent, page{"/quitquitquit", http.MethodPost, true, (*Server).serveQuit})
	}
	if s.o.Drain != nil {
		agent = append(agent, page{"/drain", http.MethodPost, true, (*Server).serveDrain})
	}
	return [3][]page{agent, {ready}, {{"/stats/prometheus", http.MethodGet, false, (*Server).serveProxy}}}
}

// Listen begins to answer. An error says what of the options cannot be run, or which address cannot be listened at.
func Listen(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil {
		o.Store = telemetry.NewStore(0)
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	s := &Server{o: o}
	s.counts = o.Store.Acquire(Stats, "status.")
	s.values = s.counts.Loop(o.Store.Loops())
	addresses := [3]string{o.AgentAddr, o.ReadyAddr, o.PrometheusAddr}
	var err error
	if s.probers, err = parseProbers(o.Probers, o.Pod); err != nil {
		return nil, err
	}
	if s.target, err = parseTarget(o.Scrape, addresses[:]); err != nil {
		return nil, err
	}
	pages := s.pages()
	for i, address := range addresses {
		if address == "" {
			continue
		}
		if err := s.listen(i, address, pages[i]); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// listen opens one of the listeners.
func (s *Server) listen(i int, address string, pages []page) error {
	l, err := s.o.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	s.addrs[i] = l.Addr().(*net.TCPAddr).AddrPort()
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(pages, w, r) }),
		ReadHeaderTimeout: headTime,
		ReadTimeout:       headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	s.servers, s.open = append(s.servers, server), append(s.open, l)
	s.running.Go(func() {
		if err := server.Serve(&bounded{Listener: l, values: s.values, from: map[netip.Addr]int{}}); !errors.Is(err, http.ErrServerClosed) && !s.left.Load() {
			s.o.Log.Error("a status port is not answered any more", "address", address, "error", err)
		}
	})
	return nil
}

// Addrs are where it listens: as the agent, for readiness and for Prometheus; the zero value: it does not.
func (s *Server) Addrs() (agent, ready, prometheus netip.AddrPort) {
	return s.addrs[0], s.addrs[1], s.addrs[2]
}

// Leave takes no more connections: another process has the same sockets, and answers. Those that are there get an answer each, and go.
func (s *Server) Leave() {
	s.left.Store(true)
	for _, l := range s.open {
		l.Close()
	}
}

// Close ends it. Requests under way get a second to finish.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	var all sync.WaitGroup
	for _, server := range s.servers {
		all.Go(func() {
			if server.Shutdown(ctx) != nil {
				server.Close()
			}
		})
	}
	all.Wait()
	s.running.Wait()
}

// serve answers a request by the page that it asks for.
func (s *Server) serve(pages []page, w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	left := s.left.Load()
	if left {
		w.Header().Set("Connection", "close")
	}
	for _, p := range pages {
		if r.URL.Path != p.path && !(strings.HasSuffix(p.path, "/") && strings.HasPrefix(r.URL.Path, p.path)) {
			continue
		}
		switch {
		case r.Method != p.method && !(p.method == http.MethodGet && r.Method == http.MethodHead):
			s.values.Inc(refused)
			w.Header().Set("Allow", p.method)
			http.Error(w, "want "+p.method, http.StatusMethodNotAllowed)
		case p.local && !fromPod(r.RemoteAddr):
			s.values.Inc(refused)
			http.Error(w, "only who is in the pod may ask: from 127.0.0.1 or ::1", http.StatusForbidden)
		case left && r.Method == http.MethodPost: // what is to end is not this process
			http.Error(w, "another process has taken this one's place: ask again", http.StatusServiceUnavailable)
		default:
			p.serve(s, w, r)
		}
		return
	}
	http.Error(w, "there is no such page", http.StatusNotFound)
}

// fromPod tells whether somebody in the pod asks for himself: from an address of loopback, but not from those that the proxy takes for what comes from others.
func fromPod(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	ip := at.Addr().Unmap()
	return ip.IsLoopback() && ip != passed4
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	err := s.o.Ready()
	if is := err == nil; s.ready.Swap(is) != is {
		if is {
			s.o.Log.Info("the proxy is ready")
		} else {
			s.o.Log.Warn("the proxy is not ready any more", "error", err)
		}
	}
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
	}
}

func (s *Server) serveNames(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if s.o.Names == nil {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "{}\n")
		return
	}
	if err := s.o.Names(w); err != nil {
		s.o.Log.Debug("the table of names could not be written", "error", err)
	}
}

func (s *Server) serveQuit(w http.ResponseWriter, _ *http.Request) {
	s.o.Log.Info("it is asked to end", "page", "/quitquitquit")
	s.o.Quit()
	io.WriteString(w, "OK")
}

func (s *Server) serveDrain(w http.ResponseWriter, _ *http.Request) {
	s.o.Log.Info("it is asked to drain", "page", "/drain")
	s.o.Drain()
	io.WriteString(w, "OK")
}
