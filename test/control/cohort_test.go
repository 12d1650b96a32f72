package control

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// Gateways are tried here: each listens at a port of its own, so that there is room for several on a host.

// street is a weftd with gateways of a shop.
type street struct {
	*plane
	shop  *shop
	doors string         // their Gateways, and routes from them
	ports map[string]int // by gateway
}

func newStreet(t testing.TB, files map[string]string, more []string, ids ...string) *street {
	t.Helper()
	st := &street{shop: newShop(t), ports: map[string]int{}}
	var names []string
	for i, port := range vacant.Ports(t, len(ids)) {
		st.ports[ids[i]] = port
		names = append(names, ids[i])
		st.doors += fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %s, namespace: a}
spec:
  selector: {door: %[1]s}
  servers: [{port: {number: %d, name: http, protocol: HTTP}, hosts: ["*"]}]
---`, ids[i], port)
	}
	st.doors += strings.Replace(canary(100), "spec:", "spec:\n  gateways: ["+strings.Join(names, ", ")+"]", 1)
	all := map[string]string{"shop.yaml": st.shop.entry(""), "doors.yaml": st.doors}
	for name, text := range files {
		all[name] = text
	}
	st.plane = newPlane(t, all, more...)
	return st
}

// node is what a gateway says of itself.
func node(id string) string { return fmt.Sprintf("router~127.0.0.1~%s.a~a.svc.cluster.local", id) }

// resident is a proxy of a zone. What it has been told it says itself.
type resident struct {
	admin string
	*process
}

// resident starts an Envoy or a weft.
func (p *street) resident(name, id, zone string) *resident {
	p.t.Helper()
	boot := strings.Replace(bootstrap("NAMESPACE: a, LABELS: {door: "+id+"}", p.grpc, ""), "sidecar~127.0.0.1~one.a~a.svc.cluster.local", node(id), 1)
	boot = strings.Replace(boot, "node: {", fmt.Sprintf("node: {locality: {region: r, zone: %q}, ", zone), 1)
	if name == "envoy" {
		return &resident{admin: envoy.Start(p.t, boot)}
	}
	port := vacant.Ports(p.t, 1)[0]
	boot = strings.Replace(boot, "port_value: 0", fmt.Sprint("port_value: ", port), 1)
	return &resident{admin: fmt.Sprint("127.0.0.1:", port), process: weft(p.t, boot)}
}

func (r *resident) page(path string) string {
	got, err := http.Get("http://" + r.admin + path)
	if err != nil {
		return ""
	}
	defer got.Body.Close()
	b, _ := io.ReadAll(got.Body)
	return string(b)
}

// has says whether it has something of that name in force.
func (r *resident) has(text string) bool { return strings.Contains(r.page("/config_dump"), text) }

// refused is how often it has refused listeners.
func (r *resident) refused() string {
	for line := range strings.Lines(r.page("/stats?filter=update_rejected")) {
		if n, is := strings.CutPrefix(line, "listener_manager.lds.update_rejected: "); is {
			return strings.TrimSpace(n)
		}
	}
	return ""
}

// puppet is a stream of a proxy that answers when the test says so.
type puppet struct {
	t      testing.TB
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	got    chan *discoveryv3.DeltaDiscoveryResponse
}

func (p *street) puppet(id, zone string) *puppet {
	p.t.Helper()
	conn, err := grpc.NewClient(fmt.Sprint("127.0.0.1:", p.grpc), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	c := &puppet{t: p.t, got: make(chan *discoveryv3.DeltaDiscoveryResponse, 16)}
	if c.stream, err = discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		for {
			m, err := c.stream.Recv()
			if err != nil {
				return // the test is over
			}
			c.got <- m
		}
	}()
	meta, _ := structpb.NewStruct(map[string]any{"NAMESPACE": "a", "LABELS": map[string]any{"door": id}})
	c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: node(id), Metadata: meta, Locality: &corev3.Locality{Region: "r", Zone: zone}}, TypeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener"})
	c.takes()
	return c
}

// takes waits for something and answers that it has it.
func (c *puppet) takes() {
	c.t.Helper()
	select {
	case m := <-c.got:
		c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce})
	case <-time.After(deadline):
		c.t.Fatal("nothing has come")
	}
}

// marked is an EnvoyFilter that adds a filter to the listeners of all gateways.
func marked(name, typed string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: %s, namespace: a}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: GATEWAY, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}
    patch: {operation: INSERT_BEFORE, value: {name: %[1]s, typed_config: %s}}
---`, name, typed)
}

const (
	harmless   = `{"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}`
	incomplete = `{"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer}` // without the bound that it must have
)

// A change is told to one, to its zone, and to all, each when those before have answered.
func TestAChangeGoesByCohorts(t *testing.T) {
	p := newStreet(t, nil, []string{"--rollout", "cohorts"}, "a-first", "near", "far", "z-neighbour")
	s := p.shop
	first := p.puppet("a-first", "z1")
	near, far := p.resident("envoy", "near", "z1"), p.resident("weft", "far", "z2")
	neighbour := p.puppet("z-neighbour", "z1")
	eventually(t, "all are told", func() bool {
		st := p.status()
		return len(st.Proxies) == 4 && !slices.ContainsFunc(st.Proxies, func(one push.Proxy) bool { return !one.Synced })
	})
	step := func(step, waits string) {
		t.Helper()
		eventually(t, step+" waits for "+waits, func() bool {
			st := p.status()
			return len(st.Rollouts) == 1 && st.Rollouts[0].Step == step && strings.Join(st.Rollouts[0].Waits, " ") == waits && st.Rollouts[0].First == "a-first.a"
		})
	}
	p.write("filter.yaml", marked("careful", harmless))
	step("one", "a-first.a")
	if near.has("careful") || far.has("careful") {
		t.Error("others than the first have it")
	}
	p.write("shop.yaml", s.entry(fmt.Sprintf("- {address: 127.0.0.1, ports: {http: %d}, labels: {version: v1}}", s.one))) // endpoints do not wait
	eventually(t, "an endpoint is there", func() bool {
		return p.status().Last.Number > 2 && strings.Count(near.page("/clusters"), "outbound|"+fmt.Sprint(s.port)+"|v1|shop.test::127.0.0.1") > 0 && len(p.status().Rollouts) == 1
	})
	first.takes()
	step("zone", "z-neighbour.a")
	eventually(t, "the zone has it", func() bool { return near.has("careful") })
	if far.has("careful") {
		t.Error("the other zone has it")
	}
	neighbour.takes()
	eventually(t, "all have it, and it is over", func() bool { return far.has("careful") && len(p.status().Rollouts) == 0 })
	if st := p.status(); len(st.HeldBack)+len(st.Refused)+len(st.Problems) > 0 {
		t.Errorf("%+v", st)
	}
}

// What a proxy refuses is told to nobody else, and taken back from it.
func TestARefusedChangeIsHeldBack(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			p := newStreet(t, map[string]string{"filter.yaml": marked("careful", harmless)}, []string{"--rollout", "cohorts"}, "a", "b", "c")
			all := []*resident{p.resident(name, "a", "z1"), p.resident("envoy", "b", "z1"), p.resident("weft", "c", "z2")}
			p.shop.port = p.ports["a"]
			p.shop.opens()
			whole := func(what string) {
				t.Helper()
				eventually(t, what, func() bool {
					st := p.status()
					return len(st.Proxies) == 3 && len(st.Rollouts) == 0 && !slices.ContainsFunc(st.Proxies, func(one push.Proxy) bool { return !one.Synced }) &&
						!slices.ContainsFunc(all, func(r *resident) bool { return !r.has("careful") })
				})
			}
			whole("all have what there is")
			end := p.shop.load()
			p.write("filter.yaml", marked("careful", incomplete)+marked("other", harmless))
			const object = "EnvoyFilter a/careful"
			eventually(t, "it is held back, and the other is told", func() bool {
				st := p.status()
				return len(st.HeldBack) == 1 && st.HeldBack[0].Object == object && st.HeldBack[0].Proxy == "a.a" && strings.Contains(st.HeldBack[0].Because, "listeners of ") &&
					!slices.ContainsFunc(all, func(r *resident) bool { return !r.has("other") })
			})
			whole("all have what was there before")
			if st := p.status(); len(st.Refused) > 0 || len(st.RefusedObjects) > 0 {
				t.Errorf("refused: %+v of %+v", st.Refused, st.RefusedObjects)
			}
			if a, b, c := all[0].refused(), all[1].refused(), all[2].refused(); a == "0" || a == "" || b != "0" || c != "0" {
				t.Errorf("listeners were refused %q, %q and %q times: want some by the first, and none by the others", a, b, c)
			}
			ctl := func(args ...string) string {
				out, _ := exec.Command(program(t, "weftctl"), append(args, "--server", fmt.Sprint("127.0.0.1:", p.admin))...).CombinedOutput()
				return string(out)
			}
			if out := ctl("status"); !strings.Contains(out, "HELD BACK") || !strings.Contains(out, "a.a refuses listeners of ") {
				t.Errorf("weftctl status says\n%s", out)
			}
			before := all[0].refused()
			if out := ctl("rollout", "resume", "envoyfilter", "careful", "-n", "a"); out != "resumed\n" {
				t.Errorf("weftctl rollout resume says %q", out)
			}
			eventually(t, "it is refused once more", func() bool {
				st := p.status()
				return all[0].refused() != before && len(st.HeldBack) == 1 && len(st.Rollouts) == 0
			})
			p.write("filter.yaml", marked("careful", harmless)+marked("third", harmless))
			eventually(t, "what was put right is told to all", func() bool {
				return len(p.status().HeldBack) == 0 && !slices.ContainsFunc(all, func(r *resident) bool { return !r.has("third") || r.has("other") })
			})
			if b, c := all[1].refused(), all[2].refused(); b != "0" || c != "0" {
				t.Errorf("the others have refused %q and %q listeners", b, c)
			}
			if end() == 0 {
				t.Error("nothing was asked meanwhile")
			}
		})
	}
}

// Who does not answer holds a step until it is over, which is said, and no change after that.
func TestWhoDoesNotAnswerHoldsAStep(t *testing.T) {
	p := newStreet(t, nil, []string{"--rollout", "cohorts", "--rollout-wait", "2s"}, "a", "b", "c")
	silent, second, third := p.resident("weft", "a", "z1"), p.resident("envoy", "b", "z1"), p.resident("envoy", "c", "z2")
	eventually(t, "all are told", func() bool {
		st := p.status()
		return len(st.Proxies) == 3 && !slices.ContainsFunc(st.Proxies, func(one push.Proxy) bool { return !one.Synced })
	})
	silent.cmd.Process.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { silent.cmd.Process.Signal(syscall.SIGCONT) })
	began := time.Now()
	p.write("filter.yaml", marked("careful", harmless))
	eventually(t, "it is said who is waited for", func() bool {
		st := p.status()
		return len(st.Rollouts) == 1 && strings.Join(st.Rollouts[0].Waits, " ") == "a.a" && !second.has("careful")
	})
	eventually(t, "the others have it", func() bool { return second.has("careful") && third.has("careful") && len(p.status().Rollouts) == 0 })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was not waited for: %v", took)
	}
	began = time.Now()
	p.write("filter.yaml", marked("next", harmless))
	eventually(t, "the next one is told", func() bool { return second.has("next") && third.has("next") && len(p.status().Rollouts) == 0 })
	if took := time.Since(began); took > time.Second {
		t.Errorf("who has not answered for so long was waited for again: %v", took)
	}
	silent.cmd.Process.Signal(syscall.SIGCONT)
	eventually(t, "it has the last", func() bool { return silent.has("next") && !silent.has("careful") })
}

// A refused resource is said with the objects that it was made of, also where changes go to all at once.
func TestWhatIsRefusedIsSaidByObject(t *testing.T) {
	p := newStreet(t, map[string]string{"other.yaml": marked("other", harmless)}, nil, "a")
	p.resident("envoy", "a", "z1")
	eventually(t, "it is told", func() bool { st := p.status(); return len(st.Proxies) == 1 && st.Proxies[0].Synced })
	p.write("filter.yaml", marked("careful", incomplete))
	eventually(t, "the object is named", func() bool {
		return slices.ContainsFunc(p.status().RefusedObjects, func(o push.RefusedObject) bool { return o.Object == "EnvoyFilter a/careful" && o.Proxies == 1 })
	})
	text, _ := json.Marshal(p.status().RefusedObjects)
	if strings.Contains(string(text), "VirtualService") || strings.Contains(string(text), "PeerAuthentication") {
		t.Errorf("of what the listener is not made of it is said, too: %s", text)
	}
	p.write("filter.yaml", marked("careful", harmless))
	eventually(t, "nothing is refused", func() bool { st := p.status(); return len(st.Refused)+len(st.RefusedObjects) == 0 })
}
