package l4

import (
	"encoding/json"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Passage is what another process has to know of a tunnel to go on with it, beside its descriptors and the bytes that are on their way. Times
// are durations, for each process has a clock of its own.
type Passage struct {
	Listener string `json:"listener"`
	Chain    string `json:"chain"` // its ID
	Name     string `json:"name"`  // of the chain; may be empty
	Cluster  string `json:"cluster"`

	Down Side `json:"down"`
	Up   Side `json:"up"`

	Age      time.Duration `json:"age"`
	UpAge    time.Duration `json:"up_age"`
	Idle     time.Duration `json:"idle,omitempty"`     // what each timer has left; 0: it is not set
	Duration time.Duration `json:"duration,omitempty"` // of the longest that it may stand
	Report   time.Duration `json:"report,omitempty"`   // until the next entry in its middle
	Paused   bool          `json:"paused,omitempty"`   // nothing is read of the client, since the upstream takes nothing

	Entry Told `json:"entry"`
}

// Side is one of a tunnel's connections.
type Side struct {
	Remote   netip.AddrPort `json:"remote"`
	Received uint64         `json:"received"`
	Sent     uint64         `json:"sent"`
	PeerDone bool           `json:"peer_done,omitempty"`
	Ended    bool           `json:"ended,omitempty"`
}

// Told is what the access log tells of a tunnel and cannot be found out again.
type Told struct {
	Start           time.Time       `json:"start"`
	ConnectionID    uint64          `json:"connection_id"`
	Attempts        uint32          `json:"attempts"`
	Flags           accesslog.Flags `json:"flags,omitempty"`
	Remote          netip.AddrPort  `json:"remote"`
	Direct          netip.AddrPort  `json:"direct"`
	Local           netip.AddrPort  `json:"local"`
	DirectLocal     netip.AddrPort  `json:"direct_local"`
	Source          netip.AddrPort  `json:"source"`
	Destination     netip.AddrPort  `json:"destination"`
	ServerName      string          `json:"server_name,omitempty"`
	UpstreamHost    netip.AddrPort  `json:"upstream_host"`
	UpstreamPath    string          `json:"upstream_path,omitempty"`
	UpstreamLocal   netip.AddrPort  `json:"upstream_local"`
	UpstreamName    string          `json:"upstream_name,omitempty"`
	UpstreamFailure string          `json:"upstream_failure,omitempty"`
	UpstreamID      uint64          `json:"upstream_id"`
	State           []config.State  `json:"state,omitempty"`
	More            *accesslog.More `json:"more,omitempty"`
}

// Movable is a tunnel that can be handed over to another process. Its methods are for its loop.
type Movable struct {
	tunnel   *tunnel
	halted   int64 // when, on the loop's clock
	idle     time.Duration
	duration time.Duration
	report   time.Duration
}

// Loop is the tunnel's loop.
func (m *Movable) Loop() *loop.Loop { return m.tunnel.local.Loop }

// Over tells whether the tunnel has ended, or is another process's.
func (m *Movable) Over() bool { return m.tunnel.over }

// Movables gives those of the loop's tunnels that stand to f, and from then on each that comes to stand; nil gives no more. It is called on
// the loop.
func (l *Local) Movables(f func(*Movable)) {
	if l.movable = f; f == nil {
		return
	}
	for t := l.tunnels; t != nil; t = t.next {
		if t.carrying {
			f(&Movable{tunnel: t})
		}
	}
}

// Halt stops the tunnel, and gives what another process needs to go on with it: the passage, its descriptors, and the bytes that have been
// read on one side and not written on the other. From then on nobody here reads, writes or ends it, until Proceed or Leave. False: it is not
// one that can go. The bytes are valid until then, too.
func (m *Movable) Halt() (p *Passage, fds [2]int, toUp, toDown [2][]byte, ok bool) {
	t := m.tunnel
	if t.over || t.moving || !t.carrying || !t.down.Halt() {
		return nil, fds, toUp, toDown, false
	}
	if !t.up.Conn.Halt() {
		t.down.Proceed()
		return nil, fds, toUp, toDown, false
	}
	t.moving = true
	l := t.local.Loop
	m.halted = l.Nanotime()
	m.idle, m.duration, m.report = stopped(l, &t.idle), stopped(l, &t.duration), stopped(l, &t.report)
	e := &t.entry
	p = &Passage{
		Listener: t.server.listener, Chain: t.server.id, Name: t.server.chain, Cluster: e.Cluster, Down: sideOf(t.down), Up: sideOf(t.up.Conn),
		Age: time.Duration(m.halted - t.began), UpAge: t.up.Age(), Idle: m.idle, Duration: m.duration, Report: m.report, Paused: t.down.Paused(),
		Entry: Told{
			Start: e.Start, ConnectionID: e.ConnectionID, Attempts: e.Attempts, Flags: e.Flags, Remote: e.Remote, Direct: e.Direct, Local: e.Local,
			DirectLocal: e.DirectLocal, Destination: t.down.Destination(), ServerName: e.ServerName, UpstreamHost: e.UpstreamHost, UpstreamPath: e.UpstreamPath,
			UpstreamLocal: e.UpstreamLocal, UpstreamName: e.UpstreamName, UpstreamFailure: e.UpstreamFailure, UpstreamID: e.UpstreamConnectionID,
			State: e.State, More: e.More,
		},
	}
	if r := t.down.Remote(); r != t.down.Direct() {
		p.Entry.Source = r
	}
	return p, [2]int{t.down.FD(), t.up.Conn.FD()}, [2][]byte{t.up.Conn.Written(), t.down.Unused()}, [2][]byte{t.down.Written(), t.up.Conn.Unused()}, true
}

// stopped stops a timer and says what it had left: at least a little, if it was set.
func stopped(l *loop.Loop, t *loop.Timer) time.Duration {
	if !t.Pending() {
		return 0
	}
	left := max(l.Remaining(t), time.Millisecond)
	l.StopTimer(t)
	return left
}

func sideOf(c *loop.Conn) Side {
	s := c.Still()
	return Side{Remote: s.Remote, Received: s.Received, Sent: s.Sent, PeerDone: s.PeerDone, Ended: s.Ended}
}

// Proceed goes on with a tunnel that stays. Its timers have run on meanwhile.
func (m *Movable) Proceed() {
	t := m.tunnel
	t.moving = false
	t.setRemaining(&t.idle, m.idle, m.halted)
	t.setRemaining(&t.duration, m.duration, m.halted)
	t.setRemaining(&t.report, m.report, m.halted)
	t.down.Proceed()
	if !t.over {
		t.up.Conn.Proceed()
	}
	if t.unwell && !t.over {
		(*upEnd)(t).OnUnwell()
	}
}

// setRemaining sets a timer to what it had left at a time; 0: it was not set.
func (t *tunnel) setRemaining(timer *loop.Timer, left time.Duration, at int64) {
	if l := t.local.Loop; left > 0 {
		l.SetTimer(timer, left-time.Duration(l.Nanotime()-at), t)
	}
}

// Leave forgets a tunnel that another process has now: it is taken out of the gauges, counted as nothing that has ended, and not logged.
func (m *Movable) Leave() {
	t := m.tunnel
	t.over = true
	t.unlink()
	t.down.Leave()
	t.up.Conn.Leave()
	t.up.Moved()
	t.gate.Moved()
}

// Inherit goes on with a tunnel that another process has handed over, once claim says that it is ours; it is asked last, when nothing can go
// wrong any more. The gate is made then. False: it is not ours, nothing of it was touched, and the descriptors are closed.
func (s *Server) Inherit(l *Local, p *Passage, fds [2]int, toUp, toDown []byte, claim func() bool, gate func(*loop.Conn) loop.Gate) bool {
	c := l.Clusters[p.Cluster]
	if c == nil {
		return Decline(fds)
	}
	t := &tunnel{server: s, local: l, stats: s.stats.Loop(l.Loop.Index()), cluster: c, began: l.Loop.Nanotime() - int64(p.Age), attempts: p.Entry.Attempts, carrying: true}
	down, up := p.Down.still(), p.Up.still()
	if e := &p.Entry; e.Source.IsValid() || e.Destination.IsValid() || e.ServerName != "" {
		down.Arrival = &loop.Arrival{Local: e.Local, Source: e.Source, Destination: e.Destination, ServerName: e.ServerName}
		if e.DirectLocal.IsValid() {
			down.Arrival.Local = e.DirectLocal
		}
	}
	var err error
	if t.down, err = l.Loop.Inherit(fds[0], &down, s.limit, t); err != nil {
		return Decline(fds)
	}
	upConn, err := l.Loop.Inherit(fds[1], &up, int(c.Config.BufferLimit), (*upEnd)(t))
	if err != nil {
		unix.Close(fds[1])
		t.down.Leave()
		return false
	}
	m := c.MemberAt(config.Address{AddrPort: p.Entry.UpstreamHost, Path: p.Entry.UpstreamPath})
	if !claim() {
		t.down.Leave()
		upConn.Leave()
		return false
	}
	t.up = c.InheritTCP(l.Loop, upConn, m, p.Entry.UpstreamID, p.UpAge, (*upEnd)(t))
	t.gate = gate(t.down)
	t.tell(p)
	t.link()
	t.wind(p)
	t.down.Proceed()
	upConn.Proceed()
	t.carryOn(p, toUp, toDown)
	return true
}

// Decline closes the descriptors of a tunnel that nobody here goes on with, and says so: no.
func Decline(fds [2]int) bool {
	unix.Close(fds[0])
	unix.Close(fds[1])
	return false
}

func (s *Side) still() loop.Still {
	return loop.Still{Remote: s.Remote, Received: s.Received, Sent: s.Sent, PeerDone: s.PeerDone, Ended: s.Ended}
}

// tell takes down what the access log is to tell.
func (t *tunnel) tell(p *Passage) {
	e, s, m := &p.Entry, t.server, t.up.Member
	t.entry = accesslog.Entry{Start: e.Start, ConnectionID: e.ConnectionID, Attempts: e.Attempts, Flags: e.Flags, Remote: e.Remote, Direct: e.Direct, Local: e.Local,
		DirectLocal: e.DirectLocal, ServerName: e.ServerName, FilterChain: s.chain, About: s.about, Cluster: p.Cluster, ClusterStatName: t.cluster.Config.StatName,
		UpstreamHost: e.UpstreamHost, UpstreamPath: e.UpstreamPath, UpstreamRemote: e.UpstreamHost, UpstreamLocal: e.UpstreamLocal, UpstreamName: e.UpstreamName,
		UpstreamFailure: e.UpstreamFailure, UpstreamConnectionID: e.UpstreamID, State: e.State, RequestEnd: -1, UpstreamFirstSent: -1, UpstreamLastSent: -1,
		UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1, End: -1}
	t.entry.About[accesslog.OfCluster], t.entry.About[accesslog.OfEndpoint] = t.cluster.Config.Metadata, m.Metadata
	if !accesslog.Asked() {
		return
	}
	if t.entry.More = e.More; e.More == nil { // nobody asked for it in the other process
		t.entry.More = &accesslog.More{Chosen: true, Lent: true, Ready: -1, Listener: s.listener, Accepted: accesslog.At(0),
			Tried: []accesslog.Tried{{Address: e.UpstreamHost, Path: e.UpstreamPath, Name: e.UpstreamName}}}
	}
}

// wind sets the tunnel's timers to what they had left. Where the configuration asks for one that was not set, it begins now; the longest that
// a tunnel may stand counts from its beginning.
func (t *tunnel) wind(p *Passage) {
	c, l := t.server.config, t.local.Loop
	if d := c.IdleTimeout; d > 0 {
		if p.Idle > 0 {
			d = p.Idle
		}
		l.SetTimer(&t.idle, d, t)
	}
	switch d := c.MaxDownstreamDuration; {
	case p.Duration > 0:
		l.SetTimer(&t.duration, p.Duration, t)
	case d > 0:
		l.SetTimer(&t.duration, l.Jittered(d, c.DurationJitter)-p.Age, t)
	}
	if d := c.LogEvery; d > 0 && len(t.server.logs) > 0 {
		if p.Report > 0 {
			d = p.Report
		}
		l.SetTimer(&t.report, d, t)
	}
}

// carryOn writes what was on its way, and ends what was to be ended behind it.
func (t *tunnel) carryOn(p *Passage, toUp, toDown []byte) {
	up := t.up.Conn
	up.Write(toUp)
	t.down.Write(toDown)
	if up.Over() {
		if !p.Paused {
			t.stats.Inc(FlowPausedReading)
		}
		t.down.Pause()
	} else if p.Paused {
		t.stats.Inc(FlowResumedReading)
	}
	if t.down.Over() {
		up.Pause()
	}
	if p.Up.Ended {
		up.CloseWrite()
	}
	if p.Down.Ended {
		t.down.CloseWrite()
	}
}

// Encode writes a passage for another process.
func (p *Passage) Encode() ([]byte, error) { return json.Marshal(p) }

// DecodePassage reads what Encode wrote.
func DecodePassage(b []byte) (*Passage, error) {
	p := &Passage{}
	return p, json.Unmarshal(b, p)
}
