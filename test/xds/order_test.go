package xds

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/test/e2e"
)

// world is a configuration that a generator has made, and what becomes of requests under it.
type world struct {
	resources map[string][]byte // by type URL, a space, and name
	outcomes  map[string]string // by listener, a space, and path
}

func (w *world) put(m proto.Message) {
	a, err := anypb.New(m)
	if err == nil {
		a.Value, err = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	if err != nil {
		panic(err)
	}
	name := m.ProtoReflect().Get(m.ProtoReflect().Descriptor().Fields().ByNumber(1)).String()
	w.resources[a.TypeUrl+" "+name] = a.Value
}

// generate makes a configuration of clusters c0 to c4, tables r0 to r2, and listeners l0 to l2, some of which are there, of a filter's
// configuration and of a runtime value; and of listeners d0 and d1 of Dubbo, with tables and clusters of their own. Upstreams and providers answer with their names.
func generate(r *rand.Rand, m mode, key string, ups, providers []int) *world {
	w := &world{map[string][]byte{}, map[string]string{}}
	answers := map[string]string{"nobody": "503"}
	clusters := []string{"nobody"} // which nobody has sent
	for i := range 5 {
		name, up := fmt.Sprint("c", i), r.IntN(len(ups))
		w.put(endpoints(name, ups[up])) // whoever asks for them
		if r.IntN(3) == 0 {
			continue
		}
		w.put(m.cluster(name, fmt.Sprintf("metadata: {filter_metadata: {x: {v: %d}}}", r.IntN(3))))
		clusters = append(clusters, name)
		answers[name] = fmt.Sprint("200 u", up)
	}
	live := r.IntN(2)
	w.put(parse(fmt.Sprintf("{name: live, layer: {%s: %d}}", key, 100*live), &runtimev3.Runtime{}))
	status := 418 + r.IntN(4)
	w.put(extension("aborts", abort(status)))
	tables := map[string]map[string]string{}
	for i := range 3 {
		name := fmt.Sprint("r", i)
		a, b := clusters[r.IntN(len(clusters))], clusters[r.IntN(len(clusters))]
		w.put(parse(fmt.Sprintf(`{name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [
			{match: {path: /live, runtime_fraction: {default_value: {numerator: 0}, runtime_key: %s}}, direct_response: {status: 201}},
			{match: {path: /live}, direct_response: {status: 204}},
			{match: {prefix: /a}, route: {cluster: %s}}, {match: {prefix: /b}, route: {cluster: %s}}]}]}`, name, key, a, b), &routev3.RouteConfiguration{}))
		tables[name] = map[string]string{"/live": []string{"204", "201"}[live], "/a": answers[a], "/b": answers[b], "/": "404"}
	}
	to := map[string]string{"nobody": "80 dubbo router: unknown cluster 'nobody'"}
	for i := range 2 {
		name, provider := fmt.Sprint("k", i), r.IntN(len(providers))
		w.put(endpoints(name, providers[provider]))
		if r.IntN(3) > 0 {
			w.put(m.cluster(name))
			to[name] = fmt.Sprintf("20 p%d x", provider)
		}
	}
	said := map[string]string{}
	for i := range 2 {
		name := fmt.Sprint("r", i) // as those of HTTP are called
		cluster := slices.Sorted(maps.Keys(to))[r.IntN(len(to))]
		w.put(calls(name, cluster))
		said[name] = to[cluster]
	}
	for i := range 2 {
		if r.IntN(4) > 0 {
			name, table := fmt.Sprint("d", i), fmt.Sprint("r", r.IntN(2))
			w.put(m.calling(name, table))
			w.outcomes[name+" call"] = said[table]
		} else {
			w.outcomes[fmt.Sprint("d", i, " call")] = "none"
		}
	}
	for i := range 3 {
		name, table := fmt.Sprint("l", i), fmt.Sprint("r", r.IntN(3))
		switch r.IntN(4) {
		case 0:
			w.outcomes[name+" /"] = "none"
		case 1:
			w.put(m.aborting(name, ""))
			w.outcomes[name+" /"] = fmt.Sprint(status)
		default:
			w.put(m.listener(name, table))
			for path, answer := range tables[table] {
				w.outcomes[name+" "+path] = answer
			}
		}
	}
	return w
}

// outcome asks a listener for a path.
func (p *Proxy) outcome(where string) string {
	name, path, _ := strings.Cut(where, " ")
	address := p.Address(name)
	if address == "" {
		return "none"
	}
	if path == "call" {
		return called(p.t, address)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: deadline}
	r, err := c.Get("http://" + address + path)
	if err != nil {
		if _, ok := err.(net.Error); ok {
			return "none" // it was there a moment ago
		}
		return err.Error()
	}
	defer r.Body.Close()
	if r.StatusCode != 200 {
		return fmt.Sprint(r.StatusCode)
	}
	var b bytes.Buffer
	b.ReadFrom(r.Body)
	return "200 " + b.String()
}

// differs says what of a snapshot is another thing than in this world, or missing, or should be gone.
func (w *world) differs(s *config.Snapshot) (out string) {
	left := map[string]bool{}
	for key := range w.resources {
		if strings.HasPrefix(key, clusterURL) || strings.HasPrefix(key, listenerURL) {
			left[key] = true
		}
	}
	look := func(url, name string, raw []byte) {
		key := url + " " + name
		if delete(left, key); !bytes.Equal(w.resources[key], raw) {
			out += key + " is another one\n"
		}
	}
	for _, c := range s.Clusters {
		if w.resources[clusterURL+" "+c.Name] != nil { // else it is the bootstrap's, or was removed and stays a while
			look(clusterURL, c.Name, c.Raw)
		}
	}
	for _, l := range s.Listeners {
		look(listenerURL, l.Name, l.Raw)
	}
	for name, table := range s.Routes {
		look(routesURL, name, table.Raw)
	}
	for name, table := range s.DubboRoutes {
		look(callsURL, name, table.Raw)
	}
	for name, a := range s.Endpoints.All() {
		look(assignmentURL, name, a.Raw)
	}
	for key := range left {
		out += key + " is missing\n"
	}
	return out
}

// teller tells a proxy of worlds, a piece at a time.
type teller struct {
	raw    *Raw
	mu     sync.Mutex
	wanted map[string]bool
	told   map[string][]byte
	nacks  []string
	nonce  int
}

// listen notes what is wanted, until the test is over.
func (w *teller) listen(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case m := <-w.raw.Changed:
			w.mu.Lock()
			for _, name := range m.GetResourceNamesSubscribe() {
				w.wanted[m.TypeUrl+" "+name] = true
				delete(w.told, m.TypeUrl+" "+name)
			}
			for _, name := range m.GetResourceNamesUnsubscribe() {
				delete(w.wanted, m.TypeUrl+" "+name)
			}
			if m.TypeUrl == clusterURL || m.TypeUrl == listenerURL {
				w.wanted[m.TypeUrl] = true
			}
			if e := m.GetErrorDetail(); e != nil {
				w.nacks = append(w.nacks, e.Message)
			}
			w.mu.Unlock()
		}
	}
}

// due is what has to be told of a world, and what may be told again.
func (w *teller) due(now *world) (due, again []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := maps.Clone(now.resources)
	maps.Copy(keys, w.told)
	for key := range keys {
		url, _, _ := strings.Cut(key, " ")
		all := url == clusterURL || url == listenerURL
		if !w.wanted[key] && !(all && w.wanted[url]) {
			continue
		}
		is, ok := now.resources[key]
		if was, told := w.told[key]; told && ok && bytes.Equal(is, was) {
			again = append(again, key)
		} else if ok || told && all {
			due = append(due, key)
		}
	}
	slices.Sort(due)
	slices.Sort(again)
	return due, again
}

// tell says some resources of one kind, as they are in a world.
func (w *teller) tell(now *world, keys ...string) {
	url, _, _ := strings.Cut(keys[0], " ")
	w.nonce++
	m := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: url, Nonce: fmt.Sprint(w.nonce)}
	w.mu.Lock()
	for _, key := range keys {
		_, name, _ := strings.Cut(key, " ")
		if b, ok := now.resources[key]; ok {
			m.Resources = append(m.Resources, &discoveryv3.Resource{Name: name, Version: "v", Resource: &anypb.Any{TypeUrl: url, Value: b}})
			w.told[key] = b
		} else {
			m.RemovedResources = append(m.RemovedResources, name)
			delete(w.told, key)
		}
	}
	w.mu.Unlock()
	w.raw.Say(m)
}

// TestAnyOrderAnyOutcome has a control plane tell one world after the other in any order and any portions, some of it twice, and turn to the next
// one before it has told all of the last: whenever it comes to rest, what becomes of requests is what the world says, whatever was before.
func TestAnyOrderAnyOutcome(t *testing.T) {
	ups := []int{upstream(t, "u0"), upstream(t, "u1"), upstream(t, "u2")}
	providers := []int{e2e.Provider(t, "p0", 1).Port, e2e.Provider(t, "p1", 1).Port}
	for seed := range uint64(12) { // one after the other: the values of the runtime are the process's
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			m := mode{boot: modes()[1].boot, source: fromADS}
			raw := NewRaw(t)
			key := fmt.Sprint("test.order.k", seed)
			p := Run(t, m, endpoint(raw.Address), "layered_runtime: {layers: [{name: come, rtds_layer: {name: live, rtds_config: "+m.source+"}}]}")
			w := &teller{raw: raw, wanted: map[string]bool{}, told: map[string][]byte{}}
			done := make(chan struct{})
			t.Cleanup(func() { close(done) })
			go w.listen(done)
			<-raw.Opened
			for n := range 15 {
				now := generate(r, m, key, ups, providers)
				whole := r.IntN(3) > 0
				step := func() bool {
					due, again := w.due(now)
					if len(again) > 0 && r.IntN(4) == 0 {
						w.tell(now, again[r.IntN(len(again))])
					}
					if len(due) == 0 {
						return false
					}
					some := []string{due[r.IntN(len(due))]}
					url, _, _ := strings.Cut(some[0], " ")
					for _, k := range due {
						if strings.HasPrefix(k, url+" ") && k != some[0] && r.IntN(2) > 0 {
							some = append(some, k)
						}
					}
					w.tell(now, some...)
					return true
				}
				if !whole && n < 14 {
					for range r.IntN(8) {
						step()
					}
					continue
				}
				var wrong string
				for end := time.Now().Add(deadline); ; {
					for step() {
					}
					wrong = ""
					for where, want := range now.outcomes {
						if got := p.outcome(where); got != want {
							wrong += fmt.Sprintf("%s: %s, want %s\n", where, got, want)
						}
					}
					if wrong += now.differs(p.Feed.Snapshot()); wrong == "" {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("seed %d, world %d:\n%snacks %q", seed, n, wrong, w.nacks)
					}
				}
			}
			if len(w.nacks) > 0 {
				t.Errorf("%q", w.nacks)
			}
		})
	}
}
