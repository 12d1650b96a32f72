package control

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/weftmesh/weft/telemetry"
)

// page is one for people and for what they measure with.
type page struct {
	path, says string
	serve      func(*Plane, http.ResponseWriter, *http.Request)
}

// list is all of them.
func list() []page {
	return []page{
		{"/ready", "whether every source has told what it has: 200, or 503", (*Plane).ready},
		{"/status", "objects, what is wrong with them, proxies, what they refuse: JSON", (*Plane).status},
		{"/version", "of this program", (*Plane).version},
		{"/debug/", "what istiod shows: syncz, connections, registryz, configz, clusterz, mesh, config_dump: JSON", (*Plane).debug},
		{"/api/", "objects: look at them, apply, delete, their history, and back to a version of it (docs/weftd.md has the paths): JSON", (*Plane).api},
		{"/metrics", "numbers, ours and istiod's, as Prometheus reads them", (*Plane).metrics},
		{"/logging", "POST ?level=debug, info, warning or error: what is logged from now on", (*Plane).logging},
		{"/ca/roots", "the certificates that the mesh trusts: PEM", (*Plane).roots},
		{"/ca/token", "POST identity=spiffe://…, life=15m: a token with which a machine joins, once", (*Plane).token},
		{"/ca/revoke", "POST identity=spiffe://… or serial=…, reason=…: nobody takes it any more", (*Plane).revoke},
		{"/ca/restore", "POST identity=spiffe://…: it gets certificates again", (*Plane).restore},
		{"/ca/revoked", "what is revoked, by whom and why: JSON", (*Plane).revoked},
		{"/ca/lists", "the same as lists that TLS reads (CRL): PEM; empty while nothing is revoked", (*Plane).lists},
		{"/ca/rotate", "POST: another root begins to take the place of this one", (*Plane).rotate},
		{"/ca/csr", "POST, or POST anew=true: a request for a certificate by which the authority would be under a root outside: PEM", (*Plane).csr},
		{"/ca/import", "POST certificates=PEM: what was signed for that, and what leads to the root: it begins to take the place of this one", (*Plane).importCA},
		{"/rollout/resume", "POST object=KIND/NAMESPACE/NAME: what is held back of it is tried again", (*Plane).resume},
		{"/rollout/abort", "POST object=KIND/NAMESPACE/NAME, reason=…: its change is taken back from who has it, and held back", (*Plane).abort},
		{"/debug/pprof/", "profiles, for go tool pprof", func(_ *Plane, w http.ResponseWriter, r *http.Request) { pprof.Index(w, r) }},
		{"/debug/pprof/profile", "what the processor does for ?seconds=30", func(_ *Plane, w http.ResponseWriter, r *http.Request) { pprof.Profile(w, r) }},
		{"/debug/pprof/trace", "what happens for ?seconds=1", func(_ *Plane, w http.ResponseWriter, r *http.Request) { pprof.Trace(w, r) }},
	}
}

// What a page's reader may take.
const (
	headTime = 5 * time.Second
	maxHead  = 16 << 10
)

// openPages has people on this host come.
func (p *Plane) openPages() error {
	if p.Admin == "" {
		return nil
	}
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
	return nil
}

func (p *Plane) pages() *http.Server {
	mux := http.NewServeMux()
	all := list()
	for _, one := range all {
		mux.HandleFunc(one.path, func(w http.ResponseWriter, r *http.Request) {
			if !p.serves.Load() && one.path != "/logging" && !strings.HasPrefix(one.path, "/debug/pprof/") {
				http.Error(w, "waits for the store, which does not answer: the log says why", http.StatusServiceUnavailable)
				return
			}
			one.serve(p, w, r)
		})
	}
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		for _, one := range all {
			fmt.Fprintf(w, "%-22s %s\n", one.path, one.says)
		}
	})
	// A page of somebody else's in a browser on this host must neither post here nor read, whatever name it has for this address.
	return &http.Server{Handler: here(http.NewCrossOriginProtection().Handler(mux)), ReadHeaderTimeout: headTime, MaxHeaderBytes: maxHead, ErrorLog: slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug)}
}

// here takes requests that are for this host by its own names. By another one it is a page that has made its own name lead here (DNS rebinding).
func here(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if a := net.ParseIP(host); host != "localhost" && (a == nil || !a.IsLoopback()) {
			http.Error(w, "want localhost, 127.0.0.1 or [::1] as the host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *Plane) ready(w http.ResponseWriter, _ *http.Request) {
	if s := p.standing(); len(s.Awaits) > 0 {
		text := fmt.Sprintf("waits for what these have to tell: %q", s.Awaits)
		for _, c := range s.Clusters {
			for _, why := range c.Waits {
				if c.Type != FirstCluster {
					why = c.Name + ": " + why
				}
				text += "\n" + why
			}
		}
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	select {
	case <-p.Readied():
		fmt.Fprintln(w, "ready")
	default:
		http.Error(w, "has read all, and makes what proxies are told first", http.StatusServiceUnavailable)
	}
}

func (p *Plane) status(w http.ResponseWriter, _ *http.Request) {
	s := p.standing()
	for _, c := range s.Clusters {
		for _, why := range c.Waits {
			switch {
			case c.Type == FirstCluster:
				s.Awaits = append(s.Awaits, fromCluster+": "+why)
			case len(s.Awaits) > 0: // later nobody waits for it
				s.Awaits = append(s.Awaits, fromAttached(c.Name)+": "+why)
			}
		}
	}
	writeJSON(w, s)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(v)
}

func (p *Plane) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	telemetry.WritePrometheus(w, p.stats.Read(telemetry.Filter{}))
	p.face.WriteNumbers(w)
}

func (p *Plane) logging(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "want a POST", http.StatusMethodNotAllowed)
		return
	}
	level, err := Level(r.URL.Query().Get("level"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.Level.Set(level)
	fmt.Fprintln(w, level)
}

// Level reads the name of a level.
func Level(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warning", "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("level %q: want debug, info, warning or error", name)
}
