package register

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// DefaultGrace is how long an entry stays after its machine's last stream has ended, if nothing else is said: Istio's.
const DefaultGrace = 10 * time.Second

// maxOfGroup bounds the machines of a group.
const maxOfGroup = 2_000

// Keeper is where entries are kept, and what several control planes say there of themselves.
type Keeper interface {
	// Change reads an entry, or nil if there is none, and writes what decide makes of that if nobody has written meanwhile, else it asks again: another one takes its place, nil takes it
	// away, the same leaves it. What it fails with may be over the next time.
	Change(ctx context.Context, key source.Key, decide func(was *source.Object) *source.Object) error
	// Beat is the lease by which a control plane is known to be alive, and Forget takes it away.
	Beat(name string) lease.Place
	Forget(ctx context.Context, name string) error
	// Lead runs something while this one of several control planes is the one that takes entries away.
	Lead(ctx context.Context, do func(context.Context))
}

// Options are what a Machines is made from.
type Options struct {
	Name  string        // of this control plane among several: NewName makes one
	Grace time.Duration // 0: DefaultGrace
	// Mesh is what is known of groups and entries; nil: not all is read yet. Readied is closed when it is.
	Mesh    func() *mesh.Mesh
	Readied <-chan struct{}
	Keeper  Keeper
	Log     *slog.Logger
	Stats   *telemetry.Values // of Stats; nil: nothing is counted
}

// Machines are those that have streams to this control plane. All of it may be called at the same time from anywhere.
type Machines struct {
	Options
	wake  chan struct{} // has room for one: something may be to be written
	first chan struct{} // closed when there is a machine, or an entry of one

	mu      sync.Mutex
	begun   bool
	machine map[source.Key]*machine
	streams map[*server.Session]*machine
	failing bool                // nothing could be written since that was said
	said    map[source.Key]bool // groups that are probed and have a machine that is not
}

// machine is one that has a stream here, or had one of which that is still to be written.
type machine struct {
	entry     *source.Object // as it is made if there is none
	streams   int
	since     time.Time      // when the latest began
	until     time.Time      // when the last ended
	health    *source.Health // as its agent has said; nil: it has not
	due       time.Time      // when something is to be written; zero: nothing is
	busy      bool           // it is being written
	last      time.Time      // when something was last written
	failing   int            // attempts since the last that succeeded
	elsewhere bool           // there is no entry where one can be written
	missing   time.Time      // since when the mesh does not show it as it was written; zero: it does
}

// New makes one. Run has it work.
func New(o Options) *Machines {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	return &Machines{Options: o, wake: make(chan struct{}, 1), first: make(chan struct{}), machine: map[source.Key]*machine{}, streams: map[*server.Session]*machine{}, said: map[source.Key]bool{}}
}

// Admit says whether a proxy that names its group, and has shown to be who it is, may have an entry, and gives it the labels that it will have there. An error, with a status of gRPC's,
// turns it away. Joined or Left has to follow.
func (m *Machines) Admit(ctx context.Context, s *server.Session, p *translate.Proxy, who ca.Identity) error {
	judge := m.judge
	if p.Group == "" {
		judge = m.judgeWritten
	}
	entry, err := judge(ctx, p, who)
	if err != nil {
		m.count(refused)
		return err
	}
	if entry == nil {
		return nil
	}
	if Group(entry) != "" {
		p.Labels = maps.Clone(p.Labels)
		maps.Copy(p.Labels, entry.Labels) // which policies go by
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.machine[entry.Key]
	if one == nil {
		one = &machine{}
		m.machine[entry.Key] = one
	}
	one.entry = entry
	m.streams[s] = one
	m.gauge()
	return nil
}

// judge finds the entry of a proxy, or says why it gets none.
func (m *Machines) judge(ctx context.Context, p *translate.Proxy, who ca.Identity) (*source.Object, error) {
	no := func(code codes.Code, format string, args ...any) (*source.Object, error) {
		return nil, status.Errorf(code, "register: %.128q of the WorkloadGroup %s/%.128q: "+format, append([]any{p.ID, p.Namespace, p.Group}, args...)...)
	}
	select {
	case <-m.Readied:
	case <-ctx.Done():
		return no(codes.Unavailable, "not all that there is has been read yet: try again")
	}
	address, err := netip.ParseAddr(p.Address)
	if err != nil || address.IsUnspecified() || address.IsMulticast() || address.Zone() != "" || p.Role != translate.Sidecar || p.Traits.Proxyless {
		return no(codes.InvalidArgument, "the node's type is %s and its address %.64q: want a sidecar, and the address that others reach the machine at", p.Role, p.Address)
	}
	now := m.Mesh()
	group := now.Objects(source.WorkloadGroup).Get(p.Namespace, p.Group)
	if group == nil {
		return no(codes.FailedPrecondition, "there is no such group: want one in the namespace of the machine")
	}
	if want := account(group.Spec.(*networking.WorkloadGroup).GetTemplate()); who.Namespace != p.Namespace || who.ServiceAccount != want {
		return no(codes.PermissionDenied, "who has shown to be %s may not register: its machines are of the service account %s/%s", who, p.Namespace, want)
	}
	entry := entryOf(p, group)
	if _, is := source.ParsePath(entry.Path()); !is {
		return no(codes.InvalidArgument, "its entry would be called %.300q: want a network of small letters, digits and dashes", entry.Name)
	}
	switch is := now.Objects(source.WorkloadEntry).Get(entry.Namespace, entry.Name); {
	case is != nil && !same(is, entry):
		return no(codes.AlreadyExists, "there is a WorkloadEntry %s that is not of this machine: it is left alone", entry.Name)
	case is == nil && m.members(now, group.Key, entry.Key) >= maxOfGroup:
		m.count(full)
		return no(codes.ResourceExhausted, "the group has %d machines, which is all that one may have", maxOfGroup)
	}
	if group.Spec.(*networking.WorkloadGroup).GetProbe() != nil && !p.Probed {
		m.unprobed(group.Key, p.ID)
	}
	return entry, nil
}

// judgeWritten finds the entry that somebody has written of a proxy, if that is to say how the workload does, or says why it may not.
func (m *Machines) judgeWritten(ctx context.Context, p *translate.Proxy, who ca.Identity) (*source.Object, error) {
	no := func(code codes.Code, text string) (*source.Object, error) {
		return nil, status.Errorf(code, "register: %.128q of the WorkloadEntry %s/%.128q: %s", p.ID, p.Namespace, p.Entry, text)
	}
	select {
	case <-m.Readied:
	case <-ctx.Done():
		return no(codes.Unavailable, "not all that there is has been read yet: try again")
	}
	is := m.Mesh().Objects(source.WorkloadEntry).Get(p.Namespace, p.Entry)
	if is == nil {
		return no(codes.FailedPrecondition, "there is no such entry: want one in the namespace of the machine")
	}
	if _, probed := is.Annotations[source.HealthAnnotation]; !probed || Group(is) != "" {
		return nil, nil
	}
	if want := is.Spec.(*networking.WorkloadEntry).GetServiceAccount(); who.Namespace != p.Namespace || want != "" && who.ServiceAccount != want {
		return no(codes.PermissionDenied, fmt.Sprintf("who has shown to be %s may not say how it does: it is of the service account %s/%s", who, p.Namespace, want))
	}
	return is, nil
}

// same tells whether an entry that there is is the one of a machine: of its group and its account, whose name says its address.
func same(is, entry *source.Object) bool {
	return Group(is) == Group(entry) && account(is.Spec.(*networking.WorkloadEntry)) == account(entry.Spec.(*networking.WorkloadEntry))
}

// members counts the machines of a group but for one.
func (m *Machines) members(now *mesh.Mesh, group, but source.Key) (n int) {
	there := map[string]bool{but.Name: true}
	for _, o := range now.Objects(source.WorkloadEntry).In(group.Namespace) {
		if Group(o) == group.Name && !there[o.Name] {
			there[o.Name] = true
			n++
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, one := range m.machine {
		if key.Namespace == group.Namespace && Group(one.entry) == group.Name && !there[key.Name] {
			n++
		}
	}
	return n
}

// maxSaid bounds what is remembered of what was said.
const maxSaid = 1000

// unprobed says once of a group that nobody probes a machine of it.
func (m *Machines) unprobed(group source.Key, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.said[group] && len(m.said) < maxSaid {
		m.said[group] = true
		m.Log.Warn("a WorkloadGroup has a probe, and nobody beside a proxy of it runs that: a machine gets requests while its proxy is connected. It is said once", "group", group.Namespace+"/"+group.Name, "proxy", id)
	}
}

// Joined says that an admitted proxy's stream stands. Of one that was not admitted it does nothing.
func (m *Machines) Joined(s *server.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.streams[s]
	if one == nil {
		return
	}
	one.streams++
	one.since, one.elsewhere = time.Now(), false
	m.write(one)
	m.begin()
}

// begin has the rest of this begin to work. It is called with the lock held.
func (m *Machines) begin() {
	if !m.begun {
		m.begun = true
		close(m.first)
	}
}

// Left says that an admitted proxy's stream has ended, or has not come about, if it has not joined. Of one that was not admitted it does nothing.
func (m *Machines) Left(s *server.Session, joined bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.streams[s]
	if one == nil {
		return
	}
	delete(m.streams, s)
	switch {
	case !joined:
		m.release(one)
	default:
		if one.streams--; one.streams == 0 {
			one.until, one.health = time.Now(), nil
			m.write(one)
		}
	}
	m.gauge()
}

// maxBecause bounds what an agent says of why a workload is not well, in bytes.
const maxBecause = 1 << 10

// Probed says what the agent beside a proxy has found of the workload: why it is not well, or, if that is empty, that it is.
func (m *Machines) Probed(s *server.Session, because string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.streams[s]
	if one == nil {
		return
	}
	if len(because) > maxBecause {
		because = strings.ToValidUTF8(because[:maxBecause], "")
	}
	if h := one.health; h != nil && h.Well == (because == "") && h.Because == because {
		return
	}
	one.health = &source.Health{Well: because == "", Because: because, Since: time.Now()}
	m.write(one)
}

// Stats is what is counted of a Machines.
var Stats = &telemetry.Table{Kind: "register", Metrics: []telemetry.Metric{
	connectedNow: {Name: "streams", Type: telemetry.Gauge},
	leading:      {Name: "leads", Type: telemetry.Gauge},
	created:      {Name: "created_total"},
	updated:      {Name: "updated_total"},
	parted:       {Name: "disconnected_total"},
	deleted:      {Name: "deleted_total"},
	refused:      {Name: "refused_total"},
	full:         {Name: "refused_full"},
	failures:     {Name: "failures_total"},
	unheard:      {Name: "unheard_total"},
}}

const (
	connectedNow = iota // of machines, to this control plane
	leading             // 1 while this control plane takes entries away
	created             // entries
	updated             // entries whose machine has come back, or is well or not any more
	parted              // entries whose machine's last stream has ended
	deleted             // entries, after their time
	refused             // proxies that may not register
	full                // of those, for which there was no room in their group
	failures            // attempts to write
	unheard             // other control planes that were not asked about, since there were too many at once
)

func (m *Machines) count(row int) {
	if m.Stats != nil {
		m.Stats.Inc(row)
	}
}

// gauge is called with the lock held.
func (m *Machines) gauge() {
	if m.Stats != nil {
		m.Stats.Set(connectedNow, uint64(len(m.streams)))
	}
}
