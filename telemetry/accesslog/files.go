package accesslog

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of the access logs' numbers, under Envoy's names.
const (
	WriteCompleted = iota
	WriteFailed
	WriteBuffered
	FlushedByTimer
	Dropped
	ReopenFailed
)

// Stats is the table of all access logs' numbers.
var Stats = &telemetry.Table{Kind: "filesystem", Metrics: []telemetry.Metric{
	WriteCompleted: {Name: "write_completed"},
	WriteFailed:    {Name: "write_failed"},
	WriteBuffered:  {Name: "write_buffered"},
	FlushedByTimer: {Name: "flushed_by_timer"},
	Dropped:        {Name: "lines_dropped"},
	ReopenFailed:   {Name: "reopen_failed"},
}}

// Files are the files that access logs go to, each open once however many logs name it. Loops only append to a buffer of their own;
// writing is done by one goroutine, which sleeps while there is nothing to write.
type Files struct {
	loops    int
	interval time.Duration
	size     int
	stats    *telemetry.Owner
	wake     chan struct{}
	reopen   chan chan<- struct{}
	stop     chan struct{}
	done     chan struct{}

	// Remote finds who sends what a server logs; set before the first Open. Nil: nobody does, and nothing is sent.
	Remote func(*config.RemoteLog) Sink

	mu    sync.Mutex
	open  map[string]*file
	list  atomic.Pointer[[]*file] // the same, for the writer; not written to after it was stored
	armed atomic.Bool             // somebody has woken the writer for what is buffered now
}

// file is one destination with the lines that wait for it.
type file struct {
	out     io.Writer
	path    string   // empty: out is not ours
	buffers []buffer // by loop; the last one is for whatever runs on none
}

// buffer is one loop's lines for one file. The lock is the loop's own but for the moment in which the writer takes the lines.
type buffer struct {
	mu    sync.Mutex
	lines []byte
	spare []byte
	_     [64]byte
}

// maxBuffered bounds, in bytes, the lines of one loop that wait for one file. Lines beyond it are dropped and counted: a full disk
// must not stop traffic.
const maxBuffered = 1 << 20

// NewFiles makes the access logs of a process with that many loops. Lines are written after interval, or when size bytes of them wait
// in one loop. Close ends the goroutine that this starts.
func NewFiles(loops int, store *telemetry.Store, interval time.Duration, size int) *Files {
	f := &Files{
		loops: loops, interval: interval, size: min(size, maxBuffered/2),
		stats: store.Acquire(Stats, "filesystem."),
		wake:  make(chan struct{}, 1), reopen: make(chan chan<- struct{}), stop: make(chan struct{}), done: make(chan struct{}),
		open: map[string]*file{},
	}
	go f.run()
	return f
}

// Log writes entries of one format to one file, or has them sent elsewhere.
type Log struct {
	files  *Files
	file   *file
	format *Format
	filter *Filter
	sink   Sink // instead of the file
}

// Sink takes entries to where this room cannot go.
type Sink interface {
	// Write takes an entry. It is called on the loop of that number, or with the number of loops from elsewhere; it neither blocks nor, in
	// steady state, allocates. Nothing of the entry may be kept.
	Write(loop int, e *Entry)
}

// Filter says which entries are to be written, nil: all.
func (l *Log) Filter() *Filter { return l.filter }

// Open makes a log; its file is created if it is not there. To open a file again that is open cannot fail.
func (f *Files) Open(a config.AccessLog) (*Log, error) {
	if a.Sink == config.SinkRemote {
		if f.Remote == nil {
			return nil, fmt.Errorf("accesslog: open: nobody sends to the server of %q", a.Remote.Name)
		}
		return &Log{sink: f.Remote(a.Remote), filter: NewFilter(a.Filter)}, nil
	}
	key := a.Path
	switch a.Sink {
	case config.SinkStdout:
		key = "\x00stdout"
	case config.SinkStderr:
		key = "\x00stderr"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	to := f.open[key]
	if to == nil {
		to = &file{buffers: make([]buffer, f.loops+1)}
		switch a.Sink {
		case config.SinkStdout:
			to.out = os.Stdout
		case config.SinkStderr:
			to.out = os.Stderr
		default:
			out, err := open(a.Path)
			if err != nil {
				return nil, fmt.Errorf("accesslog: open: %w", err)
			}
			to.out, to.path = out, a.Path
		}
		f.open[key] = to
		list := append(slices.Clone(f.files()), to)
		f.list.Store(&list)
	}
	return &Log{files: f, file: to, format: a.Format.(*Format), filter: NewFilter(a.Filter)}, nil
}

// Write logs an entry. It is called on the loop of that number, or with the number of loops from elsewhere; it neither blocks nor, in steady state, allocates.
func (l *Log) Write(loop int, e *Entry) {
	if l.sink != nil {
		l.sink.Write(loop, e)
		return
	}
	f, b := l.files, &l.file.buffers[loop]
	stats := f.stats.Loop(loop)
	b.mu.Lock()
	if len(b.lines) > maxBuffered {
		b.mu.Unlock()
		stats.Inc(Dropped)
		return
	}
	b.lines = l.format.Append(b.lines, e)
	full := len(b.lines) >= f.size
	b.mu.Unlock()
	stats.Inc(WriteBuffered)
	if full || !f.armed.Load() && !f.armed.Swap(true) {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// run writes what waits: when the interval is over since the first line, or at once when a buffer is full.
func (f *Files) run() {
	defer close(f.done)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	waiting := false
	for {
		select {
		case <-f.wake:
			if f.anyFull() {
				f.flush()
				waiting = false
				timer.Stop()
			} else if !waiting {
				waiting = true
				timer.Reset(f.interval)
			}
		case <-timer.C:
			waiting = false
			f.stats.Loop(f.loops).Inc(FlushedByTimer)
			f.flush()
		case done := <-f.reopen:
			f.flush()
			f.openAgain()
			close(done)
		case <-f.stop:
			f.flush()
			return
		}
	}
}

func (f *Files) files() []*file {
	if list := f.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (f *Files) anyFull() bool {
	for _, to := range f.files() {
		for i := range to.buffers {
			b := &to.buffers[i]
			b.mu.Lock()
			full := len(b.lines) >= f.size
			b.mu.Unlock()
			if full {
				return true
			}
		}
	}
	return false
}

// flush writes all that waits.
func (f *Files) flush() {
	f.armed.Store(false)
	stats := f.stats.Loop(f.loops)
	for _, to := range f.files() {
		for i := range to.buffers {
			b := &to.buffers[i]
			b.mu.Lock()
			lines := b.lines
			b.lines, b.spare = b.spare[:0], nil
			b.mu.Unlock()
			if len(lines) > 0 {
				if _, err := to.out.Write(lines); err != nil {
					stats.Inc(WriteFailed)
				} else {
					stats.Inc(WriteCompleted)
				}
			}
			b.mu.Lock()
			b.spare = lines[:0]
			b.mu.Unlock()
		}
	}
}

// Reopen opens every file anew by its name, so that one that was moved away is let go, and waits until that is done. What was logged
// before goes where it would have gone. A file that cannot be opened is written to as before.
func (f *Files) Reopen() {
	done := make(chan struct{})
	select {
	case f.reopen <- done:
		<-done
	case <-f.done:
	}
}

func (f *Files) openAgain() {
	for _, to := range f.files() {
		if to.path == "" {
			continue
		}
		next, err := open(to.path)
		if err != nil {
			f.stats.Loop(f.loops).Inc(ReopenFailed)
			continue
		}
		to.out.(*os.File).Close()
		to.out = next
	}
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Close writes what waits, ends the goroutine and closes the files.
func (f *Files) Close() {
	close(f.stop)
	<-f.done
	for _, to := range f.files() {
		if to.path != "" {
			to.out.(*os.File).Close()
		}
	}
}
