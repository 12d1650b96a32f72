package demo

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/weftmesh/weft/ground"
)

// hello is one version of a tiny service.
type hello struct{ server *http.Server }

// answers are the bodies of v1 and v2.
var answers = [2]string{"hello from v1\n", "hello from v2\n"}

// newHello listens at an address of a place.
func newHello(p *ground.Plot, at, answer string) (*hello, error) {
	l, err := p.Listen(at)
	if err != nil {
		return nil, fmt.Errorf("demo: opening a port for the hello service: %w", err)
	}
	h := &hello{&http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("content-type", "text/plain")
			io.WriteString(w, answer)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		// Longer than weft keeps an idle upstream connection: the service is not the one to break the keep-alive.
		IdleTimeout: 2 * time.Hour,
	}}
	go h.server.Serve(l) // ends with Close, its only cause to end
	return h, nil
}

func (h *hello) close() { h.server.Close() }
