package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/test/envoy"
)

// TestPlacement asks the real Envoy which endpoints keys lead to and wants the same of our tables.
func TestPlacement(t *testing.T) {
	port := addressed(t)

	// Each has what Envoy and we are told of the same cluster.
	hashing := config.Hashing{MinRing: 1024, MaxRing: 8 << 20, TableSize: 65537}
	with := func(change func(*config.Hashing)) config.Hashing {
		h := hashing
		change(&h)
		return h
	}
	const endpoints = 7
	cases := []struct {
		name    string
		said    map[string]any
		cluster config.Cluster
		change  func(i int, m *Member) // what the endpoints differ in
	}{
		{"ring", map[string]any{"lb_policy": "RING_HASH"}, config.Cluster{Balancer: config.RingHash, Hashing: hashing}, nil},
		{"weights", map[string]any{"lb_policy": "RING_HASH", "ring_hash_lb_config": map[string]any{"minimum_ring_size": 100}},
			config.Cluster{Balancer: config.RingHash, Hashing: with(func(h *config.Hashing) { h.MinRing = 100 })}, func(i int, m *Member) { m.Weight = uint32(i*3 + 1) }},
		{"small", map[string]any{"lb_policy": "RING_HASH", "ring_hash_lb_config": map[string]any{"minimum_ring_size": 10, "maximum_ring_size": 10}},
			config.Cluster{Balancer: config.RingHash, Hashing: with(func(h *config.Hashing) { h.MinRing, h.MaxRing = 10, 10 })}, nil},
		{"murmur", map[string]any{"lb_policy": "RING_HASH", "ring_hash_lb_config": map[string]any{"hash_function": "MURMUR_HASH_2"}},
			config.Cluster{Balancer: config.RingHash, Hashing: with(func(h *config.Hashing) { h.Murmur = true })}, nil},
		{"hostname", map[string]any{"load_balancing_policy": map[string]any{"policies": []any{map[string]any{"typed_extension_config": map[string]any{"name": "p",
			"typed_config": map[string]any{"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash", "use_hostname_for_hashing": true}}}}}},
			config.Cluster{Balancer: config.RingHash, Hashing: with(func(h *config.Hashing) { h.ByHostname = true })}, func(i int, m *Member) { m.Hostname = fmt.Sprintf("host-%d.example", i) }},
		{"key", map[string]any{"lb_policy": "MAGLEV"}, config.Cluster{Balancer: config.Maglev, Hashing: hashing},
			func(i int, m *Member) {
				if i%2 == 0 {
					m.Metadata = config.Metadata{lbMetadata: {"hash_key": fmt.Sprintf("key %d, which is longer than thirty-two bytes", i)}}
				}
			}},
		{"localities", map[string]any{"lb_policy": "RING_HASH", "common_lb_config": map[string]any{"locality_weighted_lb_config": map[string]any{}}},
			config.Cluster{Balancer: config.RingHash, ByLocality: true, Hashing: hashing}, func(i int, m *Member) {
				m.Weight, m.Locality, m.LocalityWeight = uint32(i+1), config.Locality{Zone: fmt.Sprint(i % 3)}, uint32(i%3)*2
			}},
		{"maglev", map[string]any{"lb_policy": "MAGLEV"}, config.Cluster{Balancer: config.Maglev, Hashing: hashing}, nil},
		{"maglev-weights", map[string]any{"lb_policy": "MAGLEV", "maglev_lb_config": map[string]any{"table_size": 1009}},
			config.Cluster{Balancer: config.Maglev, Hashing: with(func(h *config.Hashing) { h.TableSize = 1009 })}, func(i int, m *Member) { m.Weight = uint32(7 - i) }},
		{"priorities", map[string]any{"lb_policy": "MAGLEV"}, config.Cluster{Balancer: config.Maglev, Hashing: hashing}, func(i int, m *Member) {
			m.Priority = uint8(i / 4)
			if i < 2 {
				m.Health = config.HealthUnhealthy
			}
		}},
	}

	var clusters, routes []any
	members := map[string][]Member{}
	for _, c := range cases {
		list := members[c.name]
		var groups []any
		for i := range endpoints {
			m := Member{Endpoint: at(i, port), Traits: &Traits{Weight: 1}}
			if c.change != nil {
				c.change(i, &m)
			}
			list = append(list, m)
			groups = append(groups, said(&m))
		}
		members[c.name] = list
		cluster := map[string]any{"name": c.name, "load_assignment": map[string]any{"cluster_name": c.name, "endpoints": groups}}
		for k, v := range c.said {
			cluster[k] = v
		}
		clusters = append(clusters, cluster)
		routes = append(routes, map[string]any{"match": map[string]any{"path": "/" + c.name}, "route": map[string]any{"cluster": c.name,
			"hash_policy": []any{map[string]any{"header": map[string]any{"header_name": "x-key"}}}}})
	}
	address := runEnvoy(t, clusters, routes)

	for _, c := range cases {
		c.cluster.Panic = 50
		e, b := compile(&c.cluster, nil, members[c.name]), &Balancer{}
		wrong := 0
		const keys = 300
		for i := range keys {
			key := fmt.Sprintf("user-%d", i)
			body := get(t, "http://"+address+"/"+c.name, key)
			i, _ := b.Choose(&c.cluster, e, &e.choices, &ask{hash: xxHash64([]byte(key), 0)})
			if i < 0 || e.All[i].Address().String() != body {
				wrong++
			}
		}
		if wrong > 0 {
			t.Errorf("%s: %d of %d keys lead elsewhere", c.name, wrong, keys)
		}
	}
}

// addressed is a port at every address of this host where what is answered is the address.
func addressed(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// at is the endpoint of that number.
func at(i int, port uint16) *Endpoint {
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}), port)
	return &Endpoint{key: endpointKey{address: config.Address{AddrPort: to}}, Standing: &Standing{}}
}

// said is what Envoy is told of an endpoint: a locality with that one in it.
func said(m *Member) any {
	about := map[string]any{}
	for k, v := range m.Metadata {
		about[k] = v
	}
	to := m.Address().AddrPort
	group := map[string]any{"locality": map[string]any{"zone": m.Locality.Zone}, "priority": m.Priority, "lb_endpoints": []any{map[string]any{
		"load_balancing_weight": m.Weight, "health_status": [...]string{"UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"}[m.Health],
		"metadata": map[string]any{"filter_metadata": about},
		"endpoint": map[string]any{"hostname": m.Hostname, "address": map[string]any{"socket_address": map[string]any{"address": to.Addr().String(), "port_value": to.Port()}}}}}}
	if m.LocalityWeight > 0 {
		group["load_balancing_weight"] = m.LocalityWeight
	}
	return group
}

// get is what is answered; with a key, that is sent along.
func get(t *testing.T, url, key string) string {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-key", key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestSharesAreEnvoys sends the same many requests to fleets of all kinds of health through the real Envoy, and wants the parts of
// priorities, localities and states to be the ones that we give them.
func TestSharesAreEnvoys(t *testing.T) {
	port := addressed(t)
	type fleet struct {
		health  string // by priority, or with weights by zone
		weights []uint32
		panic   float64
		weigh   bool
	}
	fleets := []fleet{
		{health: "HHHH HHHH", panic: 50}, {health: "HHHHHHHUUU HH", panic: 50}, {health: "HHHHHUUUUU HHHHHUUUUU", panic: 50}, {health: "UUUU HHHH", panic: 50},
		{health: "UUUUU DDDDD", panic: 50}, {health: "HHUUUUUU HHHHHHHUUUUU", panic: 50}, {health: "HHHHUDDDDD UUUU", panic: 50}, {health: "HHUUUUUU HHUUUUUU", panic: 50},
		{health: "HUUUUUUUUU HUUUUUUUUU HUUUUUUUUU", panic: 50}, {health: "HUUUUUUUUU DDUUU", panic: 50}, {health: "HUUUUUUUUU DDDUUU", panic: 50},
		{health: "HUUUUUUUUU DDUUU", panic: 0}, {health: "HUUU UUUU", panic: 0}, {health: "HDUU HDUU", panic: 40}, {health: "HHUU HUUU", panic: 50, weigh: true},
		{health: "HH HHHHHH", weights: []uint32{1, 1}, panic: 50}, {health: "HH HU", weights: []uint32{1, 1}, panic: 50}, {health: "HH HHHHHHHUUU", weights: []uint32{3, 1}, panic: 50},
		{health: "HH HH", weights: []uint32{1, 0}, panic: 50}, {health: "HH HHHHHH", weights: []uint32{0, 0}, panic: 50}, {health: "HD HHHUUU", weights: []uint32{1, 5}, panic: 0},
	}
	var clusters, routes []any
	var all [][]Member
	for i, f := range fleets {
		list := leveled(f.health)
		var groups []any
		for k := range list {
			m := &list[k]
			m.Endpoint = at(k, port)
			if f.weigh {
				m.Weight = uint32(k%4*k%4 + 1)
			}
			m.Locality.Zone = fmt.Sprint(m.Priority)
			if f.weights != nil {
				m.LocalityWeight, m.Priority = f.weights[m.Priority], 0
			}
			groups = append(groups, said(m))
		}
		all = append(all, list)
		name := fmt.Sprint(i)
		common := map[string]any{"healthy_panic_threshold": map[string]any{"value": f.panic}}
		if f.weights != nil {
			common["locality_weighted_lb_config"] = map[string]any{}
		}
		clusters = append(clusters, map[string]any{"name": name, "lb_policy": "RANDOM", "common_lb_config": common,
			"load_assignment": map[string]any{"cluster_name": name, "endpoints": groups, "policy": map[string]any{"weighted_priority_health": f.weigh}}})
		routes = append(routes, map[string]any{"match": map[string]any{"path": "/" + name}, "route": map[string]any{"cluster": name}})
	}
	address := runEnvoy(t, clusters, routes)
	const requests = 600
	for i, f := range fleets {
		c := &config.Cluster{Balancer: config.Random, Panic: f.panic, ByLocality: f.weights != nil}
		e, b, random := compile(c, &config.Assignment{Overprovisioning: 140, WeighHealth: f.weigh}, all[i]), &Balancer{}, seeded(uint64(i))
		// Parts are told by zone and by what endpoints are said to be.
		part := func(m *Member) string { return m.Locality.Zone + string("?HU??D"[m.Health]) }
		ours, theirs, by := map[string]float64{}, map[string]float64{}, map[string]*Member{}
		for k := range e.All {
			by[e.All[k].Address().String()] = &e.All[k]
		}
		for range 100 * requests {
			if at := b.one(c, e, random); at >= 0 {
				ours[part(&e.All[at])] += 0.01 / requests
			} else {
				ours["nobody"] += 0.01 / requests
			}
		}
		for range requests {
			if m := by[get(t, fmt.Sprintf("http://%s/%d", address, i), "")]; m != nil {
				theirs[part(m)] += 1.0 / requests
			} else {
				theirs["nobody"] += 1.0 / requests
			}
		}
		for p := range ours {
			if d := ours[p] - theirs[p]; d < -0.09 || d > 0.09 || theirs[p] == 0 != (ours[p] == 0) && ours[p] > 0.02 { // 4.4 standard deviations
				t.Errorf("%+v: ours %v, Envoy's %v", f, ours, theirs)
				break
			}
		}
		for p := range theirs {
			if ours[p] == 0 {
				t.Errorf("%+v: ours %v, Envoy's %v", f, ours, theirs)
			}
		}
	}
}

// TestSubsetsAreEnvoys asks the real Envoy which endpoints serve what is asked of subsets, with every kind of fallback.
func TestSubsetsAreEnvoys(t *testing.T) {
	port := addressed(t)
	list := versions("s=a v=1", "s=a v=2", "s=b v=1", "s=b v=2,3", "")
	var groups []any
	for i := range list {
		list[i].Endpoint = at(i, port)
		groups = append(groups, said(&list[i]))
	}
	list[0].Health = config.HealthUnhealthy
	groups[0] = said(&list[0])
	selectors := map[string][]config.SubsetSelector{
		"v":    {{Keys: []string{"v"}}},
		"s-v":  {{Keys: []string{"s", "v"}}, {Keys: []string{"s"}, Fallback: config.FallbackDefault}},
		"none": {{Keys: []string{"v"}, Fallback: config.FallbackNone}, {Keys: []string{"s"}, Fallback: config.FallbackAny}},
		"keys": {{Keys: []string{"v"}}, {Keys: []string{"s", "v"}, Fallback: config.FallbackKeys, FallbackKeys: []string{"v"}}},
		"one":  {{Keys: []string{"v"}, SingleHost: true}},
	}
	words := map[config.SubsetFallback][2]string{config.FallbackNone: {"NO_FALLBACK", "NO_FALLBACK"}, config.FallbackAny: {"ANY_ENDPOINT", "ANY_ENDPOINT"},
		config.FallbackDefault: {"DEFAULT_SUBSET", "DEFAULT_SUBSET"}, config.FallbackKeys: {"", "KEYS_SUBSET"}, config.FallbackUnset: {"", "NOT_DEFINED"}}
	type asking struct {
		subsets config.Subsets
		asks    string
	}
	var all []asking
	var clusters, routes []any
	for _, name := range []string{"v", "s-v", "none", "keys", "one"} {
		for _, fallback := range []config.SubsetFallback{config.FallbackNone, config.FallbackAny, config.FallbackDefault} {
			for _, more := range []bool{false, true} {
				c := config.Subsets{Selectors: selectors[name], Fallback: fallback, ListAsAny: more, PanicAny: more, Default: *asked("s=b")}
				if more {
					c.Default = *asked("s=nowhere")
				}
				cluster := fmt.Sprintf("%s-%d-%v", name, fallback, more)
				var told []any
				for _, s := range c.Selectors {
					told = append(told, map[string]any{"keys": s.Keys, "fallback_policy": words[s.Fallback][1], "fallback_keys_subset": s.FallbackKeys, "single_host_per_subset": s.SingleHost})
				}
				var value any
				json.Unmarshal([]byte(c.Default.Values[0]), &value)
				clusters = append(clusters, map[string]any{"name": cluster, "lb_policy": "RANDOM", "load_assignment": map[string]any{"cluster_name": cluster, "endpoints": groups},
					"lb_subset_config": map[string]any{"fallback_policy": words[fallback][0], "default_subset": map[string]any{"s": value}, "list_as_any": more, "panic_mode_any": more, "subset_selectors": told}})
				for _, asks := range []string{"", "v=1", "v=2", "v=3", "v=9", "s=a v=1", "s=z v=2", "s=z", "x=1", "s=a v=1 x=1"} {
					about := map[string]any{}
					for _, word := range strings.Fields(asks) {
						k, v, _ := strings.Cut(word, "=")
						about[k] = v
					}
					route := map[string]any{"cluster": cluster}
					if asks != "" {
						route["metadata_match"] = map[string]any{"filter_metadata": map[string]any{lbMetadata: about}}
					}
					routes = append(routes, map[string]any{"match": map[string]any{"path": fmt.Sprintf("/%d", len(all))}, "route": route})
					all = append(all, asking{c, asks})
				}
			}
		}
	}
	address := runEnvoy(t, clusters, routes)
	local := &Local{Stats: telemetry.NewStore(1).Acquire(Stats, "cluster.up.").Loop(0)}
	for i, a := range all {
		c := &Cluster{Config: &config.Cluster{Balancer: config.Random, Panic: 50, Subsets: &a.subsets}}
		e, random := compile(c.Config, nil, list), seeded(uint64(i))
		ours, theirs := map[string]bool{}, map[string]bool{}
		for range 200 {
			if m := c.chooseInSubset(local, e, &Wish{Subset: asked(a.asks)}, &ask{random: random}); m != nil {
				ours[m.Address().String()] = true
			}
		}
		for range 40 {
			if body := get(t, fmt.Sprintf("http://%s/%d", address, i), ""); strings.HasPrefix(body, "127.0.0.") {
				theirs[body] = true
			}
		}
		if !maps.Equal(ours, theirs) {
			t.Errorf("%+v asked for %q: ours %v, Envoy's %v", a.subsets, a.asks, ours, theirs)
		}
	}
}

// runEnvoy serves routes with a real Envoy until the test ends, and says where.
func runEnvoy(t *testing.T, clusters, routes []any) string {
	t.Helper()
	folder := t.TempDir()
	admin := filepath.Join(folder, "admin")
	boot, err := json.Marshal(map[string]any{
		"admin": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}}},
		"static_resources": map[string]any{"clusters": clusters, "listeners": []any{map[string]any{
			"name": "l", "address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}},
			"filter_chains": []any{map[string]any{"filters": []any{map[string]any{"name": "h", "typed_config": map[string]any{
				"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix": "h", "route_config": map[string]any{"virtual_hosts": []any{map[string]any{"name": "v", "domains": []any{"*"}, "routes": routes}}},
				"http_filters": []any{map[string]any{"name": "r", "typed_config": map[string]any{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}},
			}}}}}}}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "envoy.json"), boot, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var out bytes.Buffer
	run := exec.CommandContext(ctx, envoy.Binary(t), "--disable-hot-restart", "--concurrency", "1", "-l", "error", "--admin-address-path", admin, "-c", filepath.Join(folder, "envoy.json"))
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); run.Wait() })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		at, err := os.ReadFile(admin)
		if err != nil {
			continue
		}
		r, err := http.Get("http://" + string(bytes.TrimSpace(at)) + "/listeners?format=json")
		if err != nil {
			continue
		}
		var list struct {
			Statuses []struct {
				Address struct {
					Socket struct {
						Port int `json:"port_value"`
					} `json:"socket_address"`
				} `json:"local_address"`
			} `json:"listener_statuses"`
		}
		err = json.NewDecoder(r.Body).Decode(&list)
		r.Body.Close()
		if err == nil && len(list.Statuses) == 1 && list.Statuses[0].Address.Socket.Port != 0 {
			return fmt.Sprintf("127.0.0.1:%d", list.Statuses[0].Address.Socket.Port)
		}
	}
	cancel()
	run.Wait()
	t.Fatalf("Envoy does not serve:\n%s", out.String())
	return ""
}
