package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// View is what the pages show, and what they can do. Functions are called on any goroutine.
type View struct {
	Allow     []config.StringMatch // paths that are served; none: all
	Stats     *telemetry.Store
	Refresh   func() // brings gauges up to date that are only worth it when somebody looks
	Clusters  func() upstream.Clusters
	Listeners func() []ListenerView
	// Certificates are those of every transport socket.
	Certificates func() []TransportView
	Ready        func() (state string, ready bool)
	Info         func() any // of /server_info, to be written as JSON
	Dump         func(w io.Writer, query url.Values) error
	Explain      func(*Question) (*Answer, error) // an error is about the question
	Levels       func() map[string]string
	SetLevel     func(component, level string) error
	Runtime      func() RuntimeView
	// SetRuntime changes runtime values; an empty one takes it out.
	SetRuntime func(changes map[string]string) error
	Drain      func(inboundOnly, graceful, skipExit bool)
	Health     func(fail bool) // has this process fail the health checks of others, or pass them again
	Profile    string          // the file that /cpuprofiler writes
	Reopen     func()          // opens access logs anew
	Quit       func()
	Log        func(*accesslog.Entry) // is told of every request
	// Two serves connections that speak HTTP/2 in plain text, until the listener is closed; allowed tells whether a path may be asked for.
	// Nil: nobody does, and they are closed.
	Two func(l net.Listener, allowed func(path string) bool) error
}

// ListenerView is a listener as its page shows it.
type ListenerView struct {
	Name    string
	Address config.Address
}

// page is one path. change says that it changes something, so it wants POST.
type page struct {
	path, help string
	change     bool
	serve      func(s *Server, w http.ResponseWriter, r *http.Request)
}

func pages() []page {
	return []page{
		{"/", "this index, for a browser", false, (*Server).index},
		{"/certs", "certificates in use, whom they trust, and how many days they have left", false, (*Server).certs},
		{"/clusters", "clusters and their endpoints; ?format=json", false, (*Server).clusters},
		{"/config_dump", "the configuration in force, as Envoy's protobuf JSON; ?resource=, ?mask=, ?name_regex=, ?include_eds", false, (*Server).configDump},
		{"/cpuprofiler", "?enable=y writes where the processor's time goes to admin.profile_path, in pprof's format, until ?enable=n", true, (*Server).cpuProfiler},
		{"/drain_listeners", "stop taking connections; ?graceful asks those that stand to go first, ?skip_exit leaves the sockets open, ?inboundonly spares the others", true, (*Server).drain},
		{"/explain", "what a connection and a request would meet, and what came close; ?address= or ?listener=, ?source=, ?tls, ?sni=, ?alpn=, ?identity=, ?method=, ?url=, ?header=, or of Dubbo ?url=dubbo://IP:PORT/INTERFACE, ?method=, ?version=, ?group=, ?argument=TYPE=VALUE, ?attachment=NAME=VALUE", false, (*Server).explain},
		{"/healthcheck/fail", "fail the health checks of others, and call this server draining", true, (*Server).failHealth},
		{"/healthcheck/ok", "pass them again", true, (*Server).passHealth},
		{"/help", "this index, in plain text", false, (*Server).help},
		{"/listeners", "listeners and where they are bound; ?format=json", false, (*Server).listeners},
		{"/logging", "log levels; ?level=debug sets all, ?paths=upstream:debug or ?upstream=debug one", true, (*Server).logging},
		{"/memory", "memory in use, in bytes", false, (*Server).memory},
		{"/quitquitquit", "end the process", true, (*Server).quit},
		{"/ready", "200 LIVE once requests are served, else 503", false, (*Server).ready},
		{"/reopen_logs", "open the files of access logs anew, after they were moved away; so does SIGUSR1", true, (*Server).reopen},
		{"/runtime", "runtime values by layer; unused ones are those that nothing asks for", false, (*Server).runtime},
		{"/runtime_modify", "?key=value sets runtime values, an empty value takes out what was set here", true, (*Server).runtimeModify},
		{"/server_info", "version, state, node and command line", false, (*Server).serverInfo},
		{"/stats", "numbers; ?usedonly, ?filter=REGEX, ?type=Counters, ?format=json, ?format=prometheus", false, (*Server).stats},
		{"/stats/prometheus", "numbers for Prometheus; ?usedonly, ?filter=REGEX", false, (*Server).prometheus},
	}
}

// Server is the admin listener.
type Server struct {
	view    View
	pages   []page
	http    http.Server
	Address config.Address

	profiling sync.Mutex
	profile   *os.File // that /cpuprofiler writes; nil: none
}

// Listen binds the admin address and serves it until Close.
func Listen(a config.Address, view View, log *slog.Logger) (*Server, error) {
	network, name := "tcp", a.String()
	if a.Path != "" {
		network = "unix"
		os.Remove(a.Path)
	}
	l, err := net.Listen(network, name)
	if err != nil {
		return nil, fmt.Errorf("admin: bind to %s: %w", name, err)
	}
	s := &Server{view: view, pages: pages(), Address: a}
	if t, ok := l.Addr().(*net.TCPAddr); ok {
		s.Address.AddrPort = t.AddrPort()
	}
	s.http = http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// The copy of HTTP/2 in net/http has known holes (docs/design/0003-engine.md).
		Protocols: new(http.Protocols),
	}
	s.http.Protocols.SetHTTP1(true)
	if view.Two != nil {
		f := newFork(l)
		l = f
		go func() {
			if err := view.Two(other{f}, s.allowed); err != nil {
				log.Error("the admin listener has ended for HTTP/2", "error", err)
			}
		}()
	}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin listener has ended", "error", err)
		}
	}()
	return s, nil
}

// Close ends the admin listener. Requests under way get a second to finish.
func (s *Server) Close() {
	s.profiling.Lock()
	s.endProfile()
	s.profiling.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

// ServeHTTP serves a page and logs that.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &counted{ResponseWriter: w, status: http.StatusOK}
	s.serve(c, r)
	s.view.Log(entryOf(r, c, began))
}

// serve finds the page by the path exactly as it came: no cleaning, so that no second spelling of a path leads anywhere
// (CVE-2025-24030).
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// Names in the pages come from configurations; a browser must not take them for HTML (CVE-2026-73546).
	h.Set("content-type", "text/plain; charset=UTF-8")
	h.Set("x-content-type-options", "nosniff")
	h.Set("cache-control", "no-cache, max-age=0")
	if path := r.URL.RequestURI(); !s.allowed(path) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "request to path "+path+" not allowed")
		return
	}
	for i := range s.pages {
		p := &s.pages[i]
		if p.path != r.URL.EscapedPath() {
			continue
		}
		if p.change && !allowChange(w, r) {
			return
		}
		if !p.change && r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("allow", "GET")
			http.Error(w, "Method Not Allowed: this page is for GET", http.StatusMethodNotAllowed)
			return
		}
		p.serve(s, w, r)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, "invalid path. admin commands are:\n")
	s.list(w)
}

// allowed tells whether a path, with its query, may be asked for.
func (s *Server) allowed(path string) bool {
	if len(s.view.Allow) == 0 {
		return true
	}
	for i := range s.view.Allow {
		if match.String(&s.view.Allow[i], []byte(path)) {
			return true
		}
	}
	return false
}

// allowChange lets only the host itself change anything, by POST, and no page of a browser that happens to run there.
func allowChange(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPost {
		w.Header().Set("allow", "POST")
		http.Error(w, "Method Not Allowed: this page changes something and is for POST", http.StatusMethodNotAllowed)
		return false
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && !peer.Addr().Unmap().IsLoopback() {
		http.Error(w, "Forbidden: what changes something is taken from this host only", http.StatusForbidden)
		return false
	}
	if !fromHere(r) {
		http.Error(w, "Forbidden: what changes something is not taken from a page of another site", http.StatusForbidden)
		return false
	}
	return true
}

// fromHere tells whether a request comes from no browser or from our own index. A name that its owner has pointed at this host would be
// its own site to a browser, so that only addresses and localhost count.
func fromHere(r *http.Request) bool {
	origin, site := r.Header.Get("origin"), r.Header.Get("sec-fetch-site")
	if origin == "" && site == "" {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return (err == nil || name == "localhost") && origin == "http://"+r.Host && (site == "" || site == "same-origin")
}

func (s *Server) help(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "admin commands are:\n")
	s.list(w)
}

func (s *Server) list(w io.Writer) {
	for _, p := range s.pages {
		method := ""
		if p.change {
			method = " (POST)"
		}
		fmt.Fprintf(w, "  %s%s: %s\n", p.path, method, p.help)
	}
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	state, ready := s.view.Ready()
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, state+"\n")
}

func (s *Server) failHealth(w http.ResponseWriter, _ *http.Request) {
	s.view.Health(true)
	io.WriteString(w, "OK\n")
}

func (s *Server) passHealth(w http.ResponseWriter, _ *http.Request) {
	s.view.Health(false)
	io.WriteString(w, "OK\n")
}

func (s *Server) reopen(w http.ResponseWriter, _ *http.Request) {
	s.view.Reopen()
	io.WriteString(w, "OK\n")
}

func (s *Server) quit(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "OK\n")
	s.view.Quit()
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.view.Drain(q.Has("inboundonly"), q.Has("graceful"), q.Has("skip_exit"))
	io.WriteString(w, "OK\n")
}

func (s *Server) logging(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var failed error
	for name, values := range q {
		for _, v := range values {
			switch name {
			case "level":
				failed = errors.Join(failed, s.view.SetLevel("", v))
			case "paths":
				for _, pair := range strings.Split(v, ",") {
					component, level, _ := strings.Cut(pair, ":")
					failed = errors.Join(failed, s.view.SetLevel(component, level))
				}
			default:
				failed = errors.Join(failed, s.view.SetLevel(name, v))
			}
		}
	}
	if failed != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(w, failed)
		return
	}
	s.levels(w)
}

func (s *Server) configDump(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("content-type", "application/json")
	if err := s.view.Dump(w, r.URL.Query()); err != nil {
		w.Header().Set("content-type", "text/plain; charset=UTF-8")
		status := http.StatusBadRequest
		if own := (interface{ Status() int })(nil); errors.As(err, &own) {
			status = own.Status()
		}
		http.Error(w, err.Error(), status)
	}
}
