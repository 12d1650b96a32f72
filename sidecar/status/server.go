package status

import (
	"io"
	"log/slog"
	"net/netip"

	"github.com/weftmesh/weft/telemetry"
)

// Options are what a Server is made from.
type Options struct {
	// AgentAddr, ReadyAddr and PrometheusAddr are where it listens: ":15020", ":15021" and ":15090" in a pod; empty: not there. A port of 0 is one that is free.
	AgentAddr, ReadyAddr, PrometheusAddr string
	// Ready tells why the proxy does not serve; nil: it does.
	Ready func() error
	// Stats writes the proxy's metrics as Prometheus reads them (text format 0.0.4).
	Stats func(io.Writer) error
	// Names writes the table of names as JSON, for /debug/ndsz; nil: no names are known here.
	Names func(io.Writer) error
	// Probers are probes that kubelets ask here and that are put to the application, as injection has written them (ISTIO_KUBE_APP_PROBERS); empty: none.
	Probers string
	// Scrape is where the application has its metrics (ISTIO_PROMETHEUS_ANNOTATIONS); empty: it has none. Gateways have none: leave it empty there, since their ports are open to others.
	Scrape string
	// Pod is the pod's address, to which probes are sent as kubelets send them; the zero value: to localhost.
	Pod netip.Addr
	// Drain has the proxy ask its clients to go, and Quit has the sidecar end. They are called at most once each request, and do not wait.
	Drain, Quit func()
	Store       *telemetry.Store // where requests are counted; nil: in one of its own
	Log         *slog.Logger     // nil: nothing is said
}

// Server listens. Its methods may be called from anywhere.
type Server struct{ o Options }

// Listen begins to answer. An error says what of the options cannot be run, or which address cannot be listened at.
func Listen(o Options) (*Server, error) { return &Server{o}, nil }

// Close ends it. Requests under way get a second to finish.
func (s *Server) Close() {}
