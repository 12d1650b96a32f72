package sidecar

import "time"

// idleLook is how often it is asked whether anybody is connected still, by a sidecar that goes on until nobody is.
const idleLook = 100 * time.Millisecond

// drain asks clients to go, once.
func (a *Agent) drain() {
	a.drained.Do(func() {
		a.Log.Info("clients are asked to go")
		a.proxy.Drain()
	})
}

// Leave asks clients to go and returns when it is time to end: after as long as was asked for, or when nobody is connected any more. What the workload itself asks of others is served to the end.
// now ends it at once.
func (a *Agent) Leave(now <-chan struct{}) {
	s := a.Settings
	a.drain()
	wait := s.Termination
	if s.UntilIdle {
		wait = s.Minimum
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-now:
			return
		case <-timer.C:
		}
		if !s.UntilIdle || a.proxy.Connections() == 0 {
			return
		}
		timer.Reset(idleLook)
	}
}
