package filters

import "sync/atomic"

// Health is whether this process is told, by its operator, to fail the health checks of others. The zero value passes them.
type Health struct{ failed atomic.Bool }

// Fail has health checks fail from now on, or, with false, pass again.
func (h *Health) Fail(fail bool) { h.failed.Store(fail) }

// Failed tells whether they fail.
func (h *Health) Failed() bool { return h.failed.Load() }
