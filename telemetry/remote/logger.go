package remote

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Rows of what is counted of all logs, under Envoy's names.
const (
	LogsWritten = iota
	LogsDropped
)

// Stats is the table of these numbers.
var Stats = &telemetry.Table{Kind: "access_logs_grpc_access_log", Metrics: []telemetry.Metric{
	LogsWritten: {Name: "logs_written"},
	LogsDropped: {Name: "logs_dropped"},
}}

// Options are what loggers are made from.
type Options struct {
	Loops    int
	Stats    *telemetry.Store
	Node     []byte                  // as servers are told of it, in wire format
	Snapshot func() *config.Snapshot // in force, which says who a server is
	Log      *slog.Logger            // nil: nothing is told
}

// Loggers are all logs of a process that servers keep.
type Loggers struct {
	Options
	stats   *telemetry.Owner
	stop    chan struct{} // closed when the process ends
	context context.Context
	cancel  context.CancelFunc // a while later
	running sync.WaitGroup

	mu      sync.Mutex
	loggers map[string]*logger
	closed  bool
}

// New makes the loggers of a process. Close ends what they start.
func New(o Options) *Loggers {
	l := &Loggers{Options: o, stats: o.Stats.Acquire(Stats, "access_logs.grpc_access_log."), stop: make(chan struct{}), loggers: map[string]*logger{}}
	l.context, l.cancel = context.WithCancel(context.Background())
	return l
}

// Open makes a log. Those that say the same of the server share what is sent to it.
func (l *Loggers) Open(c *config.RemoteLog) accesslog.Sink {
	if !c.Connections {
		accesslog.Ask() // requests tell what their heads have cost
	}
	key := fmt.Sprintf("%t %v %d %q %q", c.Connections, c.Interval, c.Size, c.Cluster, c.Name)
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.loggers[key]
	if to == nil {
		to = &logger{all: l, key: key, config: c, wake: make(chan struct{}, 1), buffers: make([]buffer, l.Loops+1)}
		l.loggers[key] = to
	}
	return &sink{logger: to, config: c, requestHeaders: fields(c.RequestHeaders), responseHeaders: fields(c.ResponseHeaders), responseTrailers: fields(c.ResponseTrailers)}
}

// Close sends what waits, for a second at most, and ends all goroutines.
func (l *Loggers) Close() {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !closed {
		close(l.stop)
	}
	late := time.AfterFunc(goodbye, l.cancel)
	l.running.Wait()
	late.Stop()
	l.cancel()
}

// sink is a log: what it tells of entries, and whom.
type sink struct {
	*logger
	config                                            *config.RemoteLog
	requestHeaders, responseHeaders, responseTrailers []field
}

// logger is all that is sent to a server under a name.
type logger struct {
	all     *Loggers
	key     string
	config  *config.RemoteLog
	wake    chan struct{}
	buffers []buffer    // by loop; the last one is for whatever runs on none
	armed   atomic.Bool // somebody has woken the goroutine for what is buffered now
	runs    atomic.Bool // there is a goroutine
}

// buffer is one loop's entries, each a field of the message that they will be part of. The lock is the loop's own but for the moment in
// which they are taken.
type buffer struct {
	mu           sync.Mutex
	entries      []byte
	spare        []byte
	certificates map[certificate][]byte
	_            [64]byte
}

// maxBuffered bounds, in bytes, the entries of one loop that wait. Entries beyond it are dropped and counted: a server that does not listen
// must not stop traffic.
const maxBuffered = 1 << 20

// Write implements accesslog.Sink.
func (s *sink) Write(loop int, e *accesslog.Entry) {
	b, stats := &s.buffers[loop], s.all.stats.Loop(loop)
	b.mu.Lock()
	if len(b.entries) > maxBuffered {
		b.mu.Unlock()
		stats.Inc(LogsDropped)
		return
	}
	dst, at := open(b.entries, 1)
	if s.config.Connections {
		dst = s.connection(dst, b, e)
	} else {
		dst = s.exchange(dst, b, e)
	}
	b.entries = end(dst, at)
	full := len(b.entries) >= int(s.config.Size)
	b.mu.Unlock()
	stats.Inc(LogsWritten)
	if full || !s.armed.Load() && !s.armed.Swap(true) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		if !s.runs.Load() && s.runs.CompareAndSwap(false, true) {
			s.begin()
		}
	}
}

// begin starts the goroutine. There is none after Close.
func (l *logger) begin() {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	if !l.all.closed {
		l.all.running.Go(l.run)
	}
}

// waits tells whether entries wait, and whether they are enough of them not to wait for more.
func (l *logger) waits() (some, full bool) {
	for i := range l.buffers {
		b := &l.buffers[i]
		b.mu.Lock()
		n := len(b.entries)
		b.mu.Unlock()
		some, full = some || n > 0, full || n > 0 && n >= int(l.config.Size)
	}
	return some, full
}

// take moves all that waits behind dst.
func (l *logger) take(dst []byte) []byte {
	l.armed.Store(false)
	for i := range l.buffers {
		b := &l.buffers[i]
		b.mu.Lock()
		entries := b.entries
		b.entries, b.spare = b.spare[:0], nil
		b.mu.Unlock()
		dst = append(dst, entries...)
		b.mu.Lock()
		b.spare = entries[:0]
		b.mu.Unlock()
	}
	return dst
}

// batch is how many of the bytes go into one message: whole entries, until there are as many bytes as are sent at once.
func (l *logger) batch(entries []byte) int {
	for n := 0; n < len(entries); {
		_, _, size := protowire.ConsumeField(entries[n:])
		if n += size; n >= int(l.config.Size) {
			return n
		}
	}
	return len(entries)
}

// Pauses between attempts to reach a server: at random between a quarter of a span and all of it, which doubles each time.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// idle is how long a goroutine and its connection stay without an entry.
const idle = 5 * time.Minute
