package main

import (
	"errors"
	"io"

	"github.com/weftmesh/weft/sidecar"
	"github.com/weftmesh/weft/telemetry"
)

// asProxy is the process as its agent sees it.
func (p *process) asProxy(s *sidecar.Settings) sidecar.Proxy {
	return sidecar.Proxy{
		Ready: p.readiness,
		Stats: func(w io.Writer) error {
			p.proxy.Refresh()
			return telemetry.WritePrometheus(w, p.stats.Read(telemetry.Filter{UsedOnly: true}))
		},
		Drain: func() {
			if s.Role == sidecar.Router {
				// Who is before a gateway goes by whether it is ready, and sends connections for as long as it has not looked again.
				p.proxy.Drain(s.Termination, false)
				p.proxy.Part(false)
				return
			}
			// Peers have another endpoint to go to. What the workload itself asks of others goes on.
			p.proxy.Drain(0, true)
			p.proxy.CloseListeners(true)
			p.proxy.Part(true)
		},
		Connections: p.proxy.Connections,
		Well:        func(because string) { p.feed.Health(because) },
	}
}

// readiness is why the proxy does not serve.
func (p *process) readiness() error {
	select {
	case <-p.feed.Readied():
	default:
		return errors.New("the control plane has not told all of its clusters and listeners yet")
	}
	if state, live := p.proxy.State(); !live {
		return errors.New("the proxy's state is " + state)
	}
	return nil
}

// life is when a sidecar ends. Of a process that is none its channels say nothing.
type life struct {
	agent *sidecar.Agent
	asked <-chan struct{} // somebody has asked for the end
	over  chan struct{}   // it is time
	now   chan struct{}   // nobody waits for that any more; nil: it has not begun to leave
}

func newLife(agent *sidecar.Agent) *life {
	l := &life{agent: agent}
	if agent != nil {
		l.asked = agent.Quit()
	}
	return l
}

// leave begins to; false: it has already, or there is nothing to wait for.
func (l *life) leave() bool {
	l.asked = nil
	if l.agent == nil || l.now != nil {
		return false
	}
	l.now, l.over = make(chan struct{}), make(chan struct{})
	go func() {
		l.agent.Leave(l.now)
		close(l.over)
	}()
	return true
}

// end waits no longer.
func (l *life) end() {
	if l.now != nil {
		close(l.now)
		<-l.over
	}
}
