package xds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/config"
)

const clusterURL = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// ask waits for a request of the state of the world about a kind of resources that answers a nonce.
func (r *Raw) ask(kind, nonce string) *discoveryv3.DiscoveryRequest {
	r.t.Helper()
	for end := time.After(deadline); ; {
		select {
		case m := <-r.Asked:
			if strings.HasSuffix(m.GetTypeUrl(), "."+kind) && m.GetResponseNonce() == nonce {
				return m
			}
		case <-end:
			r.t.Fatalf("nobody has asked for %s with nonce %q", kind, nonce)
		}
	}
}

// bad is a cluster that Envoy and weft refuse.
func bad(name string) *clusterv3.Cluster {
	return parse("name: "+name+"\nconnect_timeout: 1s\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: nowhere, port_value: 1}}}}]}]}", &clusterv3.Cluster{})
}

// TestEachByItself takes what is good of a response and says of the rest what is wrong with it, and keeps that to be looked at.
func TestEachByItself(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			a, b := upstream(t, "a"), upstream(t, "b")
			plane := NewPlane(t, m.way)
			plane.Serve(m.listener("l", "r"), m.cluster("one"), m.cluster("two"), table("r", "one"), endpoints("one", a), endpoints("two", b))
			p := Run(t, m, plane.Endpoint())
			p.Ready()

			// One that was good is bad, one is bad from the beginning, and one is new and good.
			broken := table("r", "three")
			broken.VirtualHosts[0].Domains = append(broken.VirtualHosts[0].Domains, "*")
			plane.Serve(m.listener("l", "r"), m.cluster("one"), bad("two"), bad("worse"), m.cluster("three"), broken, endpoints("one", a), endpoints("two", b), endpoints("three", b))
			for _, want := range []string{
				`Cluster "two": load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: `,
				`Cluster "worse": load_assignment`, `RouteConfiguration "r": virtual_hosts[0].domains[1]: `,
			} {
				p.Eventually(want, func() bool { return strings.Contains(strings.Join(plane.Nacks(), "\n"), want) })
			}
			p.Eventually("the good one", func() bool { return p.has("three") })
			if !p.has("two") || p.has("worse") {
				t.Error("the last good one is gone, or a bad one is there")
			}
			if got := get(p.Address("l")); got != "200 a" {
				t.Error(got)
			}
			p.Eventually("what was refused is counted", func() bool {
				return p.Stat("cluster_manager.cds.update_rejected") >= 1 && p.Stat("http.in.rds.r.update_rejected") >= 1
			})

			dump := p.dump("")
			active := map[string]*adminv3.ClustersConfigDump_DynamicCluster{}
			clusters := &adminv3.ClustersConfigDump{}
			routes := &adminv3.RoutesConfigDump{}
			for _, c := range dump.Configs {
				if c.MessageIs(clusters) {
					unpack(t, c, clusters)
				}
				if c.MessageIs(routes) {
					unpack(t, c, routes)
				}
			}
			for _, c := range clusters.DynamicActiveClusters {
				one := &clusterv3.Cluster{}
				if c.GetCluster() != nil {
					unpack(t, c.GetCluster(), one)
				} else {
					unpack(t, c.GetErrorState().GetFailedConfiguration(), one)
				}
				active[one.Name] = c
			}
			two, worse := active["two"], active["worse"]
			if two.GetVersionInfo() == "" || two.GetErrorState().GetVersionInfo() == two.GetVersionInfo() || !strings.Contains(two.GetErrorState().GetDetails(), `Cluster "two": load`) ||
				two.GetCluster() == nil || two.GetLastUpdated() == nil || two.GetClientStatus() != adminv3.ClientResourceStatus_NACKED {
				t.Errorf("%v", two)
			}
			if worse.GetCluster() != nil || worse.GetErrorState().GetFailedConfiguration() == nil || active["one"].GetErrorState() != nil {
				t.Errorf("%v", worse)
			}
			if r := routes.DynamicRouteConfigs[0]; !strings.Contains(r.GetErrorState().GetDetails(), "domains[1]") || r.GetRouteConfig() == nil {
				t.Errorf("%v", r)
			}

			// repaired
			plane.Serve(m.listener("l", "r"), m.cluster("one"), m.cluster("two"), table("r", "two"), endpoints("one", a), endpoints("two", b))
			p.Eventually("b answers", func() bool { return get(p.Address("l")) == "200 b" })
			p.Eventually("nothing is wrong any more", func() bool {
				for _, s := range p.Feed.States() {
					if s.Failure != nil {
						return false
					}
					for _, m := range s.Members {
						if m.Failure != nil {
							return false
						}
					}
				}
				return true
			})
		})
	}
}

func (p *Proxy) has(cluster string) bool {
	for _, c := range p.Feed.Snapshot().Clusters {
		if c.Name == cluster {
			return true
		}
	}
	return false
}

func (p *Proxy) dump(query string) *adminv3.ConfigDump {
	p.t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	raw, err := proto.Marshal(&bootstrapv3.Bootstrap{})
	if err == nil {
		err = p.Feed.Dump(&b, &config.Bootstrap{Raw: raw}, values)
	}
	out := &adminv3.ConfigDump{}
	if err == nil {
		err = protojson.Unmarshal(b.Bytes(), out)
	}
	if err != nil || !json.Valid(b.Bytes()) {
		p.t.Fatal(err)
	}
	return out
}

func unpack(t *testing.T, a *anypb.Any, m proto.Message) {
	t.Helper()
	if err := a.UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
}

// TestListenerThatCannotBeBound is refused by itself.
func TestListenerThatCannotBeBound(t *testing.T) {
	m := modes()[1]
	a := upstream(t, "a")
	plane := NewPlane(t, OverTCP)
	taken := m.listener("taken", "r")
	taken.Address.GetSocketAddress().PortSpecifier = m.listener("x", "r", "").Address.GetSocketAddress().PortSpecifier
	*taken = *parse(strings.Replace(protojsonOf(taken), `"portValue":0`, fmt.Sprintf(`"portValue":%d`, a), 1), taken)
	plane.Serve(m.listener("l", "r"), taken, m.cluster("one"), table("r", "one"), endpoints("one", a))
	p := Run(t, m, plane.Endpoint())
	p.Eventually("the other listener", func() bool { return p.Address("l") != "" })
	if got := get(p.Address("l")); got != "200 a" {
		t.Error(got)
	}
	if p.Address("taken") != "" {
		t.Error("it is bound")
	}
	p.Eventually("its error is shown", func() bool {
		for _, s := range p.Feed.States() {
			for _, m := range s.Members {
				if m.Name == "taken" && m.Failure != nil && strings.Contains(m.Failure.Details, "address already in use") {
					return true
				}
			}
		}
		return false
	})
}

func protojsonOf(m proto.Message) string {
	b, err := protojson.Marshal(m)
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(string(b), " ", "")
}

// TestNonsense sends what no control plane should: the proxy lives, keeps what it has, says why, and takes what comes after.
func TestNonsense(t *testing.T) {
	a := upstream(t, "a")
	m := mode{boot: modes()[0].boot, source: fromADS}
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address))
	raw.ask("Cluster", "")
	one := m.cluster("one")
	raw.Say(World("1", "c1", one))
	if got := raw.ask("ClusterLoadAssignment", "").GetResourceNames(); len(got) != 1 || got[0] != "one" {
		t.Fatal(got)
	}
	raw.ask("Cluster", "c1")
	raw.Say(World("1", "e1", endpoints("one", a)))
	raw.ask("Listener", "")
	raw.Say(World("1", "l1", m.listener("l", "r")))
	raw.ask("RouteConfiguration", "")
	raw.Say(World("1", "r1", table("r", "one")))
	p.Ready()
	snapshot := p.Feed.Snapshot()

	packed := func(m proto.Message) *anypb.Any {
		out, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for i, c := range []struct {
		says *discoveryv3.DiscoveryResponse
		want string // in the refusal
	}{
		{World("2", "", one, one), `Cluster "one": is in the response 2 times`},
		{&discoveryv3.DiscoveryResponse{TypeUrl: clusterURL, VersionInfo: "2", Resources: []*anypb.Any{packed(one), {TypeUrl: clusterURL, Value: []byte("\xff\xff garbage")}}}, "not in protobuf's wire format"},
		{&discoveryv3.DiscoveryResponse{TypeUrl: clusterURL, VersionInfo: "2", Resources: []*anypb.Any{packed(one), packed(table("r", "one"))}}, "want a resource of type type.googleapis.com/envoy.config.cluster.v3.Cluster, not"},
		{&discoveryv3.DiscoveryResponse{TypeUrl: clusterURL, VersionInfo: "2", Resources: []*anypb.Any{packed(one), {TypeUrl: clusterURL}}}, `Cluster "": name: `},
		{&discoveryv3.DiscoveryResponse{TypeUrl: clusterURL, VersionInfo: "2", Resources: []*anypb.Any{packed(one), {TypeUrl: clusterURL, Value: append([]byte("\x0a\x03bad"), 0xfa, 0xff, 0x07, 0)}}}, `Cluster "bad": unknown field number`},
		{&discoveryv3.DiscoveryResponse{TypeUrl: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", VersionInfo: "2", Resources: []*anypb.Any{
			packed(parse(`{cluster_name: one, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}, load_balancing_weight: 4294967295},
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}, load_balancing_weight: 4294967295}]}]}`, endpoints("one")))}}, `ClusterLoadAssignment "one": endpoints`},
	} {
		c.says.Nonce = fmt.Sprint("n", i)
		raw.Say(c.says)
		kind := c.says.TypeUrl[strings.LastIndexByte(c.says.TypeUrl, '.')+1:]
		if got := raw.ask(kind, c.says.Nonce); !strings.Contains(got.GetErrorDetail().GetMessage(), c.want) || got.GetVersionInfo() != "1" {
			t.Errorf("%d: %v", i, got)
		}
		if p.Feed.Snapshot() != snapshot {
			t.Errorf("%d: another configuration", i)
		}
	}

	// types that nobody has asked for, and resources that nobody needs
	raw.Say(&discoveryv3.DiscoveryResponse{TypeUrl: "type.googleapis.com/istio.networking.nds.v1.NameTable", Nonce: "x"})
	raw.Say(World("3", "y", endpoints("nobody", 1)))
	if got := raw.ask("ClusterLoadAssignment", "y"); got.GetErrorDetail() != nil {
		t.Errorf("%v", got)
	}
	// too much, after which the conversation is begun again, with what was known
	<-raw.Opened
	huge := World("4", "z", one)
	huge.Resources = append(huge.Resources, &anypb.Any{TypeUrl: clusterURL, Value: make([]byte, 65<<20)})
	raw.Say(huge)
	if got := raw.ask("Cluster", ""); got.GetVersionInfo() != "1" {
		t.Errorf("%v", got)
	}
	if p.Stat("control_plane.response_too_large") != 1 {
		t.Error("it is not counted")
	}
	if p.Feed.Snapshot() != snapshot || get(p.Address("l")) != "200 a" {
		t.Error("another configuration")
	}
	raw.Say(World("5", "c5", one, m.cluster("two")))
	raw.ask("Cluster", "c5")
}

// TestOrder asks as Envoy does: for endpoints before clusters are answered, for listeners after them, and for routes before listeners are.
func TestOrder(t *testing.T) {
	for _, m := range modes()[:2] {
		a := upstream(t, "a")
		plane := NewPlane(t, OverTCP)
		plane.Serve(m.listener("l", "r"), m.cluster("one"), table("r", "one"), endpoints("one", a))
		p := Run(t, m, plane.Endpoint())
		p.Ready()
		p.Eventually("all is answered", func() bool { return len(plane.Requests()) >= 8 })
		want := "Cluster, ClusterLoadAssignment, Cluster ack, Listener, ClusterLoadAssignment ack, RouteConfiguration, Listener ack, RouteConfiguration ack"
		if got := strings.Join(plane.Requests(), ", "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", m.name, got, want)
		}
		if got := plane.Nodes(); got[0].GetId() != "sidecar~127.0.0.1~a.b~b.svc.cluster.local" || got[0].GetMetadata().GetFields()["NAMESPACE"].GetStringValue() != "b" ||
			got[0].GetLocality().GetZone() != "z" || got[0].GetUserAgentName() != "weft" {
			t.Errorf("%v", got)
		}
	}
}
