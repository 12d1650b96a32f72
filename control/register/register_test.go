package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/stored"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// world is a store that several control planes have, and the mesh that they all see.
type world struct {
	t     *testing.T
	store *store.Memory
	mesh  atomic.Pointer[mesh.Mesh]
	ready chan struct{}
}

const groups = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vm, namespace: shop}
spec:
  metadata: {labels: {app: web, version: v2}, annotations: {team: one}}
  template: {ports: {http: 8080}, labels: {app: other, tier: back}, serviceAccount: web, network: n1, locality: r1/z1, weight: 3}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: plain, namespace: shop}
spec: {template: {}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: probed, namespace: shop}
spec: {template: {serviceAccount: web}, probe: {tcpSocket: {port: 80}}}
`

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: store.NewMemory(), ready: make(chan struct{})}
	t.Cleanup(func() { w.store.Close() })
	w.mesh.Store(mesh.New())
	w.tell(groups)
	close(w.ready)
	go stored.Watch(t.Context(), w.store, func(error) {}, func(b source.Batch) {
		for _, p := range b.Problems {
			t.Errorf("the store has what cannot be read: %+v", p)
		}
		w.change(b.Changes)
	})
	return w
}

func (w *world) tell(text string) {
	c := source.Read([]byte(text), source.Origin{})
	for _, p := range c.Problems {
		w.t.Errorf("%+v", p)
	}
	var all []source.Change
	for _, o := range c.Objects {
		all = append(all, source.Change{Key: o.Key, Object: o})
	}
	w.change(all)
}

func (w *world) change(all []source.Change) {
	for {
		was := w.mesh.Load()
		if w.mesh.CompareAndSwap(was, was.With(all)) {
			return
		}
	}
}

// line is a control plane's way to the store, which may be cut.
type line struct {
	stored.Entries
	cut           atomic.Bool
	writes, asked atomic.Int64
	mu            sync.Mutex
	beats         map[string]int
}

var errCut = errors.New("the line is cut")

func (l *line) Change(ctx context.Context, key source.Key, decide func(*source.Object) *source.Object) error {
	l.asked.Add(1)
	if l.cut.Load() {
		return errCut
	}
	return l.Entries.Change(ctx, key, func(was *source.Object) *source.Object {
		is := decide(was)
		if is != was {
			l.writes.Add(1)
		}
		return is
	})
}

func (l *line) Beat(name string) lease.Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beats[name]++
	return place{l.Entries.Beat(name), l}
}

// heard is how often it was asked whether control planes are alive, and of which.
func (l *line) heard() (n int, names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, times := range l.beats {
		n, names = n+times, append(names, name)
	}
	return n, names
}

func (l *line) Lead(ctx context.Context, do func(context.Context)) {
	lease.Lead(ctx, place{store.Lease(l.Store, "workloads"), l}, slog.New(slog.DiscardHandler), do)
}

type place struct {
	lease.Place
	line *line
}

func (p place) Get(ctx context.Context) (lease.Record, string, error) {
	if p.line.cut.Load() {
		return lease.Record{}, "", errCut
	}
	return p.Place.Get(ctx)
}

func (p place) Put(ctx context.Context, r lease.Record, version string) error {
	if p.line.cut.Load() {
		return errCut
	}
	return p.Place.Put(ctx, r, version)
}

// plane is a control plane.
type plane struct {
	*Machines
	line *line
	end  context.CancelFunc
	all  sync.WaitGroup
}

func (w *world) plane() *plane {
	p := &plane{line: &line{beats: map[string]int{}, Entries: stored.Entries{Store: w.store, Shared: true, Log: slog.New(slog.DiscardHandler)}}}
	p.Machines = New(Options{Name: NewName(), Mesh: w.mesh.Load, Readied: w.ready, Keeper: p.line, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(w.t.Context())
	p.end = cancel
	p.all.Go(func() { p.Run(ctx) })
	w.t.Cleanup(func() { cancel(); p.all.Wait() })
	return p
}

// dies has it end with no word of warning.
func (p *plane) dies() {
	p.line.cut.Store(true)
	p.end()
	p.all.Wait()
}

func machineOf(group, address string) *translate.Proxy {
	return &translate.Proxy{ID: "vm." + address, Address: address, Namespace: "shop", Group: group, Labels: map[string]string{"app": "mine", "zone": "a"}}
}

var web = ca.Identity{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "web"}

// comes has a machine have a stream.
func (p *plane) comes(t *testing.T, proxy *translate.Proxy) *server.Session {
	t.Helper()
	s := &server.Session{}
	if err := p.Admit(t.Context(), s, proxy, web); err != nil {
		t.Fatal(err)
	}
	p.Joined(s)
	return s
}

// entry is one as the mesh shows it, in short; empty: it does not.
func (w *world) entry(name string) string {
	synctest.Wait()
	o := w.mesh.Load().Objects(source.WorkloadEntry).Get("shop", name)
	if o == nil {
		return ""
	}
	text := "connected"
	if o.Annotations[annotationConnected] == "" {
		text = "disconnected"
	}
	if o.Annotations[source.HealthAnnotation] != "" {
		text += map[bool]string{true: ", well", false: ", not well"}[o.Well()]
	}
	return text
}

func (w *world) is(name, want string) {
	w.t.Helper()
	if got := w.entry(name); got != want {
		w.t.Errorf("after %v %s is %q: want %q", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), name, got, want)
	}
}

// A machine has an entry, of its group, from when its stream begins until a while after the last has ended.
func TestAMachineComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.plane()
		proxy := machineOf("vm", "10.0.0.1")
		proxy.Locality = mesh.Locality{Region: "r2", Zone: "z2"}
		one := p.comes(t, proxy)
		w.is("vm-10.0.0.1", "connected")
		if fmt.Sprint(proxy.Labels) != "map[app:web tier:back version:v2 zone:a]" {
			t.Errorf("its labels are %v", proxy.Labels)
		}
		o := w.mesh.Load().Objects(source.WorkloadEntry).Get("shop", "vm-10.0.0.1")
		text, err := source.Manifest(o)
		const want = `{"apiVersion":"networking.istio.io/v1","kind":"WorkloadEntry","metadata":{"name":"vm-10.0.0.1","namespace":"shop","labels":{"app":"web","tier":"back","version":"v2"},` +
			`"annotations":{"istio.io/autoRegistrationGroup":"vm","istio.io/connectedAt":"2000-01-01T00:00:00.000000000Z","istio.io/workloadController":"NAME","team":"one"}},` +
			`"spec":{"address":"10.0.0.1","ports":{"http":8080},"labels":{"app":"web","tier":"back","version":"v2"},"network":"n1","locality":"r2/z2","weight":3,"serviceAccount":"web"}}`
		if got := strings.ReplaceAll(string(text), p.Name, "NAME"); err != nil || got != want {
			t.Errorf("the entry is\n%s\nwant\n%s", got, want)
		}
		time.Sleep(time.Minute)
		w.is("vm-10.0.0.1", "connected")
		two := p.comes(t, machineOf("vm", "10.0.0.1"))
		p.Left(one, true)
		time.Sleep(time.Minute)
		w.is("vm-10.0.0.1", "connected") // there is another stream
		p.Left(two, true)
		time.Sleep(DefaultGrace - time.Second)
		w.is("vm-10.0.0.1", "disconnected")
		two = p.comes(t, machineOf("vm", "10.0.0.1"))
		time.Sleep(time.Minute)
		w.is("vm-10.0.0.1", "connected")
		p.Left(two, true)
		time.Sleep(DefaultGrace + 2*looking)
		w.is("vm-10.0.0.1", "")
		p.mu.Lock()
		if len(p.machine) > 0 || len(p.streams) > 0 {
			t.Errorf("%d machines of %d streams are remembered", len(p.machine), len(p.streams))
		}
		p.mu.Unlock()
		if n := p.line.writes.Load(); n > 6 {
			t.Errorf("%d writes", n)
		}
	})
}

// Of two streams of a machine that are admitted at once, one does not come about: the other has an entry all the same.
func TestAStreamThatDoesNotComeAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.plane()
		one, two := &server.Session{}, &server.Session{}
		for _, s := range []*server.Session{one, two} {
			if err := p.Admit(t.Context(), s, machineOf("vm", "10.0.0.1"), web); err != nil {
				t.Fatal(err)
			}
		}
		p.Left(one, false)
		p.Joined(two)
		w.is("vm-10.0.0.1", "connected")
		p.Left(two, true)
		time.Sleep(DefaultGrace + 2*looking)
		w.is("vm-10.0.0.1", "")
		if len(p.machine) > 0 || len(p.streams) > 0 {
			t.Errorf("%d machines of %d streams are remembered", len(p.machine), len(p.streams))
		}
	})
}

// Whoever may write entries may name control planes in them that never were: they are looked for a few at a time, by names that they can have, and
// forgotten by all with the entries.
func TestNamesOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		planes := []*plane{w.plane(), w.plane()}
		for _, p := range planes {
			p.comes(t, machineOf("vm", "10.0.1.1")) // so that it begins to look
		}
		const n = 3 * maxHeard
		var all, gone []source.Change
		for i := range n + 2 {
			o := entryOf(machineOf("vm", fmt.Sprintf("10.0.%d.%d", 2+i/250, i%250)), w.mesh.Load().Objects(source.WorkloadGroup).Get("shop", "vm"))
			o.Annotations[annotationController] = fmt.Sprintf("weftd.nobody-%d.abc", i)
			switch i {
			case n:
				o.Annotations[annotationController] = "weftd.x/../../../../api/v1/namespaces/a/secrets/b"
			case n + 1:
				o.Annotations[annotationController] = "weftd.x?dryRun=All"
			}
			o.Annotations[annotationConnected] = "2000-01-01T00:00:00Z"
			all, gone = append(all, source.Change{Key: o.Key, Object: o}), append(gone, source.Change{Key: o.Key})
		}
		w.change(all)
		time.Sleep(listening + looking)
		synctest.Wait()
		began, _ := planes[0].line.heard()
		time.Sleep(10 * listening)
		synctest.Wait()
		if now, _ := planes[0].line.heard(); now-began < 5*maxHeard || now-began > 11*maxHeard {
			t.Errorf("%d were asked about in ten times, of which each may be of %d", now-began, maxHeard)
		}
		w.change(gone)
		time.Sleep(lease.Life + 20*listening)
		synctest.Wait()
		for i, p := range planes {
			began, _ := p.line.heard()
			time.Sleep(10 * listening)
			synctest.Wait()
			now, names := p.line.heard()
			if now-began > 11*2 { // of itself, that it is alive, and of the other one
				t.Errorf("the control plane %d still asks about %d in ten times", i, now-began)
			}
			for _, name := range names {
				if strings.ContainsAny(name, "/?") {
					t.Errorf("it was asked about %q", name)
				}
			}
		}
	})
}

// A machine that comes to another control plane keeps its entry, whichever hears first of what, and also when the first one is not there any more.
func TestAMachineGoesToAnotherControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.plane(), w.plane()
		s := one.comes(t, machineOf("vm", "10.0.0.1"))
		w.is("vm-10.0.0.1", "connected")
		time.Sleep(time.Second)
		other := two.comes(t, machineOf("vm", "10.0.0.1"))
		time.Sleep(time.Minute)
		one.Left(s, true) // which it hears late
		time.Sleep(time.Minute)
		w.is("vm-10.0.0.1", "connected")
		s = one.comes(t, machineOf("vm", "10.0.0.1"))
		time.Sleep(time.Minute)
		one.Left(s, true) // the later of two streams ends
		time.Sleep(settling + 3*looking)
		w.is("vm-10.0.0.1", "connected")
		time.Sleep(time.Minute)
		w.is("vm-10.0.0.1", "connected")
		two.Left(other, true)
		gone := one.comes(t, machineOf("vm", "10.0.0.1"))
		gone2 := one.comes(t, machineOf("vm", "10.0.0.2"))
		time.Sleep(time.Minute)
		one.dies()
		one.Left(gone, true)
		one.Left(gone2, true)
		two.comes(t, machineOf("vm", "10.0.0.1"))
		time.Sleep(lease.Life)
		if w.entry("vm-10.0.0.2") == "" {
			t.Error("its entry is gone too soon")
		}
		time.Sleep(2*listening + DefaultGrace + 2*looking)
		w.is("vm-10.0.0.1", "connected")
		w.is("vm-10.0.0.2", "")
		time.Sleep(time.Minute)
		for _, e := range must(w.store.List(t.Context(), "leases/workloads/")) {
			if strings.HasSuffix(e.Key, one.Name) {
				t.Errorf("%s is left", e.Key)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A store that does not answer has nobody lose his entry, and one that somebody takes away is written again.
func TestWhatIsNotThereIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, other := w.plane(), w.plane()
		p.line.cut.Store(true)
		p.comes(t, machineOf("vm", "10.0.0.1"))
		time.Sleep(time.Minute)
		w.is("vm-10.0.0.1", "")
		p.line.cut.Store(false)
		time.Sleep(lastPause)
		w.is("vm-10.0.0.1", "connected")
		other.comes(t, machineOf("vm", "10.0.0.2"))
		time.Sleep(time.Second)
		for _, cut := range []bool{true, false} { // both, for an hour: when they come back neither takes the other for dead
			p.line.cut.Store(cut)
			other.line.cut.Store(cut)
			time.Sleep(time.Hour)
			w.is("vm-10.0.0.1", "connected")
			w.is("vm-10.0.0.2", "connected")
		}
		if err := p.line.Entries.Change(t.Context(), source.Key{Kind: source.WorkloadEntry, Namespace: "shop", Name: "vm-10.0.0.1"}, func(*source.Object) *source.Object { return nil }); err != nil {
			t.Fatal(err)
		}
		w.is("vm-10.0.0.1", "")
		time.Sleep(2 * settling)
		w.is("vm-10.0.0.1", "connected")
		// Of a group that is gone there are no machines, and they are there again when it is.
		group := source.Key{Kind: source.WorkloadGroup, Namespace: "shop", Name: "vm"}
		w.change([]source.Change{{Key: group}})
		time.Sleep(DefaultGrace + 2*looking)
		w.is("vm-10.0.0.1", "")
		before := p.line.writes.Load()
		time.Sleep(time.Hour)
		w.is("vm-10.0.0.1", "")
		if n := p.line.writes.Load() - before; n > 0 {
			t.Errorf("%d writes of a group that is gone", n)
		}
		w.tell(groups)
		time.Sleep(2 * settling)
		w.is("vm-10.0.0.1", "connected")
	})
}

// An entry whose machine is probed gets requests while it is well, and changes are written once a second at most.
func TestWhoIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.plane()
		proxy := machineOf("probed", "10.0.0.1")
		proxy.Probed = true
		s := p.comes(t, proxy)
		w.is("probed-10.0.0.1", "connected, not well") // nobody has said so yet
		for _, because := range []string{"", "no answer", ""} {
			p.Probed(s, because)
			time.Sleep(2 * pace)
			w.is("probed-10.0.0.1", "connected, "+map[bool]string{true: "well", false: "not well"}[because == ""])
		}
		before := p.line.writes.Load()
		for i := range 1000 {
			p.Probed(s, strings.Repeat("x", i%2*100_000))
			time.Sleep(10 * time.Millisecond)
		}
		if n := p.line.writes.Load() - before; n > 12 {
			t.Errorf("%d writes in 10 s", n)
		}
		p.Probed(s, strings.Repeat("x", 100_000))
		time.Sleep(2 * pace)
		if o := w.mesh.Load().Objects(source.WorkloadEntry).Get("shop", "probed-10.0.0.1"); len(o.Health.Because) != maxBecause {
			t.Errorf("the reason has %d bytes", len(o.Health.Because))
		}
		// Whose agent says no probe gets requests as long as it is connected, and nothing that it says counts.
		s = p.comes(t, machineOf("probed", "10.0.0.2"))
		p.Probed(s, "no answer")
		time.Sleep(2 * pace)
		w.is("probed-10.0.0.2", "connected")
	})
}

// An entry that somebody has written says how its machine does while that is connected, if it is to be probed; it is nobody's to take away.
func TestWrittenEntriesSayHowMachinesDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.plane()
		write := func(name, text string) {
			t.Helper()
			c := source.Read([]byte("{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: "+name+", namespace: shop"+text+"}"), source.Origin{})
			if len(c.Objects) != 1 {
				t.Fatalf("%+v", c.Problems)
			}
			if err := p.line.Entries.Change(t.Context(), c.Objects[0].Key, func(*source.Object) *source.Object { return c.Objects[0] }); err != nil {
				t.Fatal(err)
			}
		}
		write("one", `, annotations: {proxy.istio.io/health-checks-enabled: "true", team: one}}, spec: {address: 10.0.0.1, serviceAccount: web}`)
		write("plain", `}, spec: {address: 10.0.0.2, serviceAccount: web}`)
		write("other", `, annotations: {proxy.istio.io/health-checks-enabled: "true"}}, spec: {address: 10.0.0.3, serviceAccount: other}`)
		synctest.Wait()
		of := func(entry string) *translate.Proxy {
			return &translate.Proxy{ID: "vm", Address: "10.0.0.1", Namespace: "shop", Entry: entry, Probed: true, Labels: map[string]string{"app": "mine"}}
		}
		for entry, code := range map[string]codes.Code{"none": codes.FailedPrecondition, "other": codes.PermissionDenied, "plain": codes.OK} {
			s := &server.Session{}
			if err := p.Admit(t.Context(), s, of(entry), web); status.Code(err) != code {
				t.Errorf("%s: %v", entry, err)
			}
			p.Joined(s)
			p.Probed(s, "no answer")
			p.Left(s, true)
		}
		w.is("one", "disconnected, not well") // of which nobody has said anything
		s := p.comes(t, of("one"))
		p.Probed(s, "")
		time.Sleep(2 * pace)
		w.is("one", "connected, well")
		p.Probed(s, "no answer")
		time.Sleep(2 * pace)
		w.is("one", "connected, not well")
		p.Probed(s, "")
		time.Sleep(time.Hour)
		w.is("one", "connected, well")
		p.Left(s, true)
		time.Sleep(DefaultGrace - 2*time.Second)
		w.is("one", "disconnected, well")
		time.Sleep(2*looking + 2*time.Second)
		w.is("one", "disconnected, not well")
		before := p.line.asked.Load()
		time.Sleep(time.Hour)
		o := w.mesh.Load().Objects(source.WorkloadEntry).Get("shop", "one")
		if n := p.line.asked.Load() - before; n > 0 || o == nil || o.Health != nil || o.Annotations["team"] != "one" {
			t.Errorf("it was looked at %d times more, and is %+v", n, o)
		}
		w.is("plain", "disconnected")
		// Of one that is of a file nothing can be kept, and nothing is made.
		w.tell("{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: file, namespace: shop, annotations: {proxy.istio.io/health-checks-enabled: \"true\"}}, spec: {address: 10.0.0.4, serviceAccount: web}}")
		p.Probed(p.comes(t, of("file")), "")
		time.Sleep(time.Minute)
		before = p.line.asked.Load()
		time.Sleep(time.Hour)
		if n := p.line.asked.Load() - before; n > 0 {
			t.Errorf("it was looked at %d times more", n)
		}
		w.is("file", "disconnected, not well")
	})
}

// Who may not register is told why, and has nothing written.
func TestWhoMayNotRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.tell(`
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-10.0.0.9, namespace: shop}
spec: {address: 10.0.0.9}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-10.0.0.8, namespace: shop, annotations: {istio.io/autoRegistrationGroup: vm}}
spec: {address: 10.0.0.8, serviceAccount: admin}
`)
		p := w.plane()
		plain := web
		plain.ServiceAccount = "default"
		foreign := web
		foreign.Namespace = "other"
		for _, c := range []struct {
			name string
			edit func(*translate.Proxy)
			who  ca.Identity
			code codes.Code
			want string
		}{
			{"itself", func(*translate.Proxy) {}, web, codes.OK, ""},
			{"no such group", func(p *translate.Proxy) { p.Group = "none" }, web, codes.FailedPrecondition, "no such group"},
			{"a group of another namespace", func(p *translate.Proxy) { p.Namespace = "other" }, foreign, codes.FailedPrecondition, "no such group"},
			{"another namespace's identity", func(p *translate.Proxy) {}, foreign, codes.PermissionDenied, "service account shop/web"},
			{"another account", func(p *translate.Proxy) {}, plain, codes.PermissionDenied, "service account shop/web"},
			{"a group without an account", func(p *translate.Proxy) { p.Group = "plain" }, web, codes.PermissionDenied, "service account shop/default"},
			{"and its account", func(p *translate.Proxy) { p.Group = "plain" }, plain, codes.OK, ""},
			{"nobody", func(p *translate.Proxy) {}, ca.Identity{}, codes.PermissionDenied, "service account"},
			{"no address", func(p *translate.Proxy) { p.Address = "" }, web, codes.InvalidArgument, "address"},
			{"every address", func(p *translate.Proxy) { p.Address = "0.0.0.0" }, web, codes.InvalidArgument, "address"},
			{"a gateway", func(p *translate.Proxy) { p.Role = translate.Gateway }, web, codes.InvalidArgument, "router"},
			{"a client of gRPC's", func(p *translate.Proxy) { p.Traits.Proxyless = true }, web, codes.InvalidArgument, "want a sidecar"},
			{"a network that is no name", func(p *translate.Proxy) { p.Network = "N/1" }, web, codes.InvalidArgument, "its entry would be called"},
			{"an entry that somebody has written", func(p *translate.Proxy) { p.Address = "10.0.0.9" }, web, codes.AlreadyExists, "left alone"},
			{"an entry of another account", func(p *translate.Proxy) { p.Address = "10.0.0.8" }, web, codes.AlreadyExists, "left alone"},
		} {
			proxy, s := machineOf("vm", "10.0.0.1"), &server.Session{}
			c.edit(proxy)
			err := p.Admit(t.Context(), s, proxy, c.who)
			if status.Code(err) != c.code || c.code != codes.OK && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %v %q", c.name, err, c.code, c.want)
			}
			p.Left(s, false) // it has not joined
		}
		var more []source.Change
		for i := range maxOfGroup {
			o := entryOf(machineOf("vm", fmt.Sprintf("10.1.%d.%d", i/256, i%256)), w.mesh.Load().Objects(source.WorkloadGroup).Get("shop", "vm"))
			more = append(more, source.Change{Key: o.Key, Object: o})
		}
		w.change(more)
		if err := p.Admit(t.Context(), &server.Session{}, machineOf("vm", "10.0.0.1"), web); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one too many: %v", err)
		}
		if err := p.Admit(t.Context(), &server.Session{}, machineOf("vm", "10.1.0.0"), web); err != nil {
			t.Errorf("one of those that there are: %v", err)
		}
		time.Sleep(time.Second)
		if n := p.line.writes.Load(); n > 0 {
			t.Errorf("%d writes", n)
		}
	})
}

// An entry is for the control plane of the revision that its group is for, and for no other: that would not know the group, and take it away.
func TestEntriesAreOfTheRevisionOfTheirGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.tell(strings.Replace(groups, "metadata: {name: vm, namespace: shop}", "metadata: {name: vm, namespace: shop, labels: {istio.io/rev: blue}}", 1))
		w.plane().comes(t, machineOf("vm", "10.0.0.1"))
		w.is("vm-10.0.0.1", "connected")
		o := w.mesh.Load().Objects(source.WorkloadEntry).Get("shop", "vm-10.0.0.1")
		if o.Labels[source.RevisionLabel] != "blue" || o.Spec.(*networking.WorkloadEntry).Labels[source.RevisionLabel] != "" {
			t.Errorf("its labels are %v, and %v", o.Labels, o.Spec)
		}
	})
}

// An entry of that name that somebody writes meanwhile is left alone, and that is not said again and again.
func TestWhatOthersWriteIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.plane()
		p.comes(t, machineOf("vm", "10.0.0.1"))
		w.is("vm-10.0.0.1", "connected")
		if err := p.line.Entries.Change(t.Context(), source.Key{Kind: source.WorkloadEntry, Namespace: "shop", Name: "vm-10.0.0.1"}, func(was *source.Object) *source.Object {
			is := *was
			is.Annotations = map[string]string{"team": "one"}
			return &is
		}); err != nil {
			t.Fatal(err)
		}
		before := p.line.asked.Load()
		time.Sleep(time.Hour)
		if n := p.line.asked.Load() - before; n > 0 || p.line.writes.Load() != 1 {
			t.Errorf("it was looked at %d times, and written %d times", n, p.line.writes.Load())
		}
	})
}

// Machines come and go, control planes die, and lines are cut: in the end there is an entry of each machine that is connected, and no other.
func TestEntriesAreThoseOfMachines(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(t)
				type stream struct {
					plane   *plane
					session *server.Session
					machine int
				}
				planes := []*plane{w.plane(), w.plane(), w.plane()}
				var streams []stream
				for range 150 {
					i := random.IntN(len(planes))
					switch p := planes[i]; random.IntN(9) {
					case 0, 1, 2:
						machine := random.IntN(6)
						streams = append(streams, stream{p, p.comes(t, machineOf("vm", fmt.Sprintf("10.0.0.%d", machine))), machine})
					case 3, 4:
						if len(streams) > 0 {
							k := random.IntN(len(streams))
							streams[k].plane.Left(streams[k].session, true)
							streams = append(streams[:k], streams[k+1:]...)
						}
					case 5:
						p.line.cut.Store(true)
					case 6:
						p.dies()
						var rest []stream
						for _, s := range streams {
							if s.plane != p {
								rest = append(rest, s)
							}
						}
						streams, planes[i] = rest, w.plane()
					default:
						p.line.cut.Store(false)
					}
					time.Sleep(time.Duration(random.IntN(int(8 * time.Second))))
				}
				for _, p := range planes {
					p.line.cut.Store(false)
				}
				time.Sleep(2*lease.Life + DefaultGrace + lastPause + time.Minute)
				there := map[int]bool{}
				for _, s := range streams {
					there[s.machine] = true
				}
				for machine := range 6 {
					w.is(fmt.Sprintf("vm-10.0.0.%d", machine), map[bool]string{true: "connected", false: ""}[there[machine]])
				}
			})
		})
	}
}
