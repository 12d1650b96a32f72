package control

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"

	"github.com/weftmesh/weft/test/vacant"
)

const operator = "spiffe://cluster.local/ns/istio-system/sa/default"

// question asks about the control plane as istioctl does, with its node and its nonce.
func question(t *testing.T, conn *grpc.ClientConn, about string, names ...string) (*discoveryv3.DiscoveryResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	stream.Send(&discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "sidecar~1.1.1.1~test-1.default~default.svc.cluster.local"}, TypeUrl: about, ResourceNames: names, ResponseNonce: time.Now().String()})
	return stream.Recv()
}

func plainly(t *testing.T, port int) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// What istioctl proxy-status asks is answered to who is of the control plane's namespace (hazards 79 and 80): how a real Envoy stands, and what it is to have.
func TestToolsAreAnswered(t *testing.T) {
	s := newShop(t)
	p := newSecurePlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
	_, folder := p.join(sleeper)
	p.proxyAt("envoy", "NAMESPACE: a, SERVICE_ACCOUNT: sleep, CLUSTER_ID: one", p.port, socket(folder))
	s.opens()
	p.synced(1)
	own, _ := p.join(operator)
	tools := p.dial(own)
	got, err := question(t, tools, "istio.io/debug/syncz")
	if err != nil || len(got.Resources) != 1 || got.TypeUrl != "istio.io/debug/syncz" {
		t.Fatalf("%v, %v", got, err)
	}
	var who struct {
		Component, ID string
		Info          struct{ Version string }
	}
	if err := json.Unmarshal([]byte(got.GetControlPlane().GetIdentifier()), &who); err != nil || who.Component != "istiod" || who.ID == "" || who.Info.Version == "" {
		t.Errorf("who answers: %+v, %v", who, err)
	}
	var c statusv3.ClientConfig
	if err := got.Resources[0].UnmarshalTo(&c); err != nil {
		t.Fatal(err)
	}
	meta := c.Node.Metadata.AsMap()
	if c.Node.Id != p.status().Proxies[0].ID || meta["NAMESPACE"] != "a" || meta["CLUSTER_ID"] != "one" {
		t.Errorf("the node is %v", c.Node)
	}
	stands := map[string]statusv3.ConfigStatus{}
	for _, one := range c.GenericXdsConfigs {
		stands[one.TypeUrl[strings.LastIndexByte(one.TypeUrl, '.')+1:]] = one.ConfigStatus
		if one.LastUpdated == nil || one.ErrorState != nil {
			t.Errorf("%v", one)
		}
	}
	for _, kind := range []string{"Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"} {
		if stands[kind] != statusv3.ConfigStatus_SYNCED {
			t.Errorf("%s stands %v of %v", kind, stands[kind], stands)
		}
	}
	// What it is to have is what it has, but for those that it was started with.
	got, err = question(t, tools, "istio.io/debug/config_dump", c.Node.Id)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{}
	for _, one := range got.Resources {
		m, err := one.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *adminv3.ClustersConfigDump:
			for _, c := range m.DynamicActiveClusters {
				names["clusters"] = append(names["clusters"], nameIn(t, c.Cluster))
			}
		case *adminv3.ListenersConfigDump:
			for _, l := range m.DynamicListeners {
				names["listeners"] = append(names["listeners"], l.Name)
			}
		case *adminv3.RoutesConfigDump:
			for _, r := range m.DynamicRouteConfigs {
				names["routes"] = append(names["routes"], nameIn(t, r.RouteConfig))
			}
		}
	}
	if !slices.Contains(names["clusters"], fmt.Sprintf("outbound|%d|v1|shop.test", s.port)) || len(names["listeners"]) == 0 || !slices.Contains(names["routes"], fmt.Sprint(s.port)) {
		t.Errorf("it is to have %v", names)
	}
	if got, err = question(t, tools, "istio.io/debug/config_dump", "nobody.a"); err != nil || len(got.Resources) != 1 || !strings.HasPrefix(string(got.Resources[0].Value), "Proxy not connected to this Pilot instance") {
		t.Errorf("of nobody: %v, %v", got, err)
	}
	var list []map[string]any
	if got, err = question(t, tools, "istio.io/debug", "syncz"); err != nil || len(got.Resources) != 1 || json.Unmarshal(got.Resources[0].Value, &list) != nil || len(list) != 1 {
		t.Errorf("a page: %v, %v", got, err)
	}
	if n := len(p.status().Proxies); n != 1 {
		t.Errorf("%d proxies: who asks is none", n)
	}
	// Who may not.
	other, _ := p.join(sleeper)
	gone, _ := p.join("spiffe://cluster.local/ns/istio-system/sa/gone")
	before := p.dial(gone)
	if _, err := question(t, before, "istio.io/debug/syncz"); err != nil {
		t.Error(err)
	}
	if code, text := p.post("/ca/revoke", url.Values{"identity": {"spiffe://cluster.local/ns/istio-system/sa/gone"}, "reason": {"test"}}); code != http.StatusOK {
		t.Fatal(code, text)
	}
	eventually(t, "who is revoked is not answered on the connection that stands", func() bool {
		_, err := question(t, before, "istio.io/debug/syncz")
		return status.Code(err) == codes.Unauthenticated
	})
	for name, one := range map[string]struct {
		conn  *grpc.ClientConn
		about string
		want  codes.Code
	}{
		"in plain text":         {plainly(t, p.grpc), "istio.io/debug/syncz", codes.Unauthenticated},
		"without a certificate": {p.dial(nil), "istio.io/debug/syncz", codes.Unauthenticated},
		"a workload":            {p.dial(other), "istio.io/debug/syncz", codes.PermissionDenied},
		"a workload, of itself": {p.dial(other), "istio.io/debug/config_dump", codes.PermissionDenied},
		"a workload, a page":    {p.dial(other), "istio.io/debug", codes.PermissionDenied},
		"what there is not":     {tools, "istio.io/connections", codes.InvalidArgument},
	} {
		if got, err := question(t, one.conn, one.about, c.Node.Id); status.Code(err) != one.want {
			t.Errorf("%s: %v, %v: want %v", name, got, err, one.want)
		}
	}
}

func nameIn(t *testing.T, a *anypb.Any) string {
	t.Helper()
	m, err := a.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	return m.(interface{ GetName() string }).GetName()
}

// Istio's own debug pages and numbers are there, for who may see them.
func TestPagesAndNumbersOfIstiod(t *testing.T) {
	s := newShop(t)
	ports := vacant.Ports(t, 3)
	users := filepath.Join(t.TempDir(), "users")
	sum := func(token string) string { h := sha256.Sum256([]byte(token)); return hex.EncodeToString(h[:]) }
	if err := os.WriteFile(users, fmt.Appendf(nil, "users: [{name: ann, tokenSHA256: %s, roles: {'*': viewer}}, {name: ben, tokenSHA256: %s, roles: {a: admin}}]", sum("ann"), sum("ben")), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &securePlane{port: ports[0]}
	p.plane = newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)}, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", p.port), "--store", filepath.Join(t.TempDir(), "store"),
		"--http-addr", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--users", users, "--monitoring-addr", fmt.Sprintf("127.0.0.1:%d", ports[2]))
	p.proxy("envoy")
	s.opens()
	p.synced(1)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.page("/ca/roots")))
	people := &http.Client{Timeout: deadline, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}}
	ask := func(base, path, token string) (int, string) {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, base+path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		a, err := people.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, _ := io.ReadAll(a.Body)
		return a.StatusCode, string(text)
	}
	web, monitor := fmt.Sprintf("https://127.0.0.1:%d", ports[1]), fmt.Sprintf("http://127.0.0.1:%d", ports[2])
	for _, one := range []struct {
		base, path, token string
		code              int
		has               string
	}{
		{web, "/debug/syncz", "", 401, "nobody knows who asks"},
		{web, "/debug/syncz", "wrong", 401, ""},
		{web, "/debug/syncz", "ben", 403, "viewer everywhere"},
		{web, "/debug/config_dump?proxyID=one.a", "ben", 403, ""},
		{web, "/debug/syncz", "ann", 200, `"proxy_type": "sidecar"`},
		{web, "/debug/registryz", "ann", 200, `"hostname": "shop.test"`},
		{web, "/debug/configz", "ann", 200, `"kind": "VirtualService"`},
		{web, "/debug/connections", "ann", 200, `"totalClients": 1`},
		{web, "/debug/mesh", "ann", 200, `"proxyListenPort"`},
		{web, "/ready", "", 200, "ready"},
		{web, "/version", "", 200, "-Clean"},
		{monitor, "/ready", "", 200, "ready"},
		{monitor, "/version", "", 200, "-Clean"},
		{monitor, "/debug/syncz", "", 403, "--http-addr"},
		{monitor, "/debug/syncz", "ann", 403, ""},
		{monitor, "/status", "", 404, ""},
		{monitor, "/api/objects", "", 404, ""},
	} {
		if code, text := ask(one.base, one.path, one.token); code != one.code || !strings.Contains(text, one.has) {
			t.Errorf("%s as %q: %d %.200s: want %d, %q", one.path, one.token, code, text, one.code, one.has)
		}
	}
	var sync []map[string]any
	if _, text := ask(web, "/debug/syncz", "ann"); json.Unmarshal([]byte(text), &sync) != nil || len(sync) != 1 || sync[0]["cluster_sent"] == nil || sync[0]["cluster_sent"] != sync[0]["cluster_acked"] || sync[0]["listener_acked"] == nil {
		t.Errorf("syncz: %v", sync)
	}
	p.write("canary.yaml", canary(0))
	p.synced(2)
	p.join(sleeper)
	_, text := ask(monitor, "/metrics", "")
	numbers := scrape(t, text)
	at := func(name string, want func(float64) bool) {
		t.Helper()
		if v, is := numbers[name]; !is || !want(v) {
			t.Errorf("%s is %v (%v)", name, v, is)
		}
	}
	is := func(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
	some := func(v float64) bool { return v > 0 }
	at(`pilot_xds{version=""}`, is(1))
	at(`pilot_xds_pushes{type="cds"}`, some)
	at(`pilot_xds_pushes{type="rds"}`, func(v float64) bool { return v >= 2 })
	at(`pilot_total_xds_rejects{type="cds"}`, is(0))
	at(`pilot_xds_cds_reject`, is(0))
	at(`pilot_total_xds_internal_errors`, is(0))
	at(`pilot_services`, is(1))
	at(`pilot_virt_services`, is(1))
	at(`pilot_proxy_convergence_time_count`, some)
	at(`pilot_proxy_convergence_time_bucket{le="+Inf"}`, some)
	at(`pilot_proxy_convergence_time_bucket{le="0.1"}`, some)
	at(`pilot_xds_push_time_bucket{le="30"}`, some)
	at(`pilot_xds_config_size_bytes_bucket{le="10000"}`, some)
	at(`pilot_xds_config_size_bytes_sum`, func(v float64) bool { return v == numbers["weftd_xds_response_bytes_sum"] && v > 1000 })
	at(`pilot_push_triggers{type="config"}`, is(2)) // the first round, and the weight
	at(`pilot_push_triggers{type="service"}`, is(1))
	at(`pilot_k8s_cfg_events{event="add",type="VirtualService"}`, is(1))
	at(`pilot_k8s_cfg_events{event="update",type="VirtualService"}`, is(1))
	at(`citadel_server_csr_count`, is(1))
	at(`citadel_server_success_cert_issuance_count`, is(1))
	at(`citadel_server_root_cert_expiry_timestamp`, func(v float64) bool { return v > float64(time.Now().Unix()) })
	at(`galley_validation_failed`, is(0))
	at(`istio_build{component="pilot",tag="0.1.0"}`, is(1))
	at(`go_goroutines`, some)
	at(`process_resident_memory_bytes`, func(v float64) bool { return v > 1<<20 })
	at(`weftd_push_streams`, is(1))
}

// scrape reads Prometheus' text format, and finds what breaks it: a family that is there twice, a line of none, a bucket that is less than the one before.
func scrape(t *testing.T, text string) map[string]float64 {
	t.Helper()
	numbers, families, family := map[string]float64{}, map[string]bool{}, ""
	last, of := 0.0, ""
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line := s.Text()
		if words := strings.Fields(line); words[0] == "#" {
			if words[1] == "TYPE" {
				if family = words[2]; families[family] {
					t.Errorf("%s is there twice", family)
				}
				families[family] = true
			}
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[cut+1:], 64)
		if _, twice := numbers[line[:cut]]; err != nil || twice || !strings.HasPrefix(line, family) {
			t.Errorf("%q of %s: %v", line, family, err)
		}
		numbers[line[:cut]] = v
		if name, _, bucket := strings.Cut(line, `le="`); bucket {
			if name == of && v < last {
				t.Errorf("%q is less than the one before", line)
			}
			of, last = name, v
		}
	}
	return numbers
}

// Of two control planes each reads what is for it, and both what is for nobody.
func TestRevisionsReadTheirOwn(t *testing.T) {
	s := newShop(t)
	weight := func(name, revision, host string) string {
		return strings.NewReplacer("name: shop", "name: "+name+", labels: {istio.io/rev: "+revision+"}").Replace(canary(map[string]int{"v1": 100, "v2": 0}[host]))
	}
	files := map[string]string{"shop.yaml": s.entry(""), "blue.yaml": weight("blue", "blue", "v1"), "green.yaml": weight("green", "green", "v2"),
		"wrong.yaml": strings.ReplaceAll(weight("wrong", "green", "v2"), "weight", "wieght")}
	for revision, want := range map[string]string{"blue": "v1", "green": "v2"} {
		t.Run(revision, func(t *testing.T) {
			p := newPlane(t, files, "--revision", revision)
			p.proxyAt("envoy", "NAMESPACE: a, ISTIO_REVISION: blue", p.grpc, "")
			s.opens()
			eventually(t, want+" answers", func() bool { who, err := s.ask(t.Context()); return err == nil && who == want })
			st := p.status()
			if n := st.Objects["VirtualService"]; n != 1 {
				t.Errorf("%d VirtualServices", n)
			}
			if wrong := len(st.Problems) > 0; wrong != (revision == "green") {
				t.Errorf("wrong is %v", st.Problems)
			}
			if st.Proxies[0].Revision != "blue" {
				t.Errorf("its proxy: %+v", st.Proxies[0])
			}
			// What comes to another revision goes from this one.
			p.write(revision+".yaml", strings.ReplaceAll(weight(revision, "red", want), "name: shop", "name: "+revision))
			eventually(t, "it is gone", func() bool { return p.status().Objects["VirtualService"] == 0 })
		})
	}
}
