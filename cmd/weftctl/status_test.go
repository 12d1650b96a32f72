package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	plane "github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/control/push"
)

// patience bounds every wait for weftd.
const patience = 20 * time.Second

// weftdWith runs a weftd in this process over a directory of these files, and has commands ask it.
func weftdWith(t *testing.T, files map[string]string, o plane.Options) *plane.Plane {
	t.Helper()
	o.ConfigDir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(o.ConfigDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.GRPC, o.Admin, o.Log, o.Level = "127.0.0.1:0", "127.0.0.1:0", slog.New(slog.DiscardHandler), &slog.LevelVar{}
	p, err := plane.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	select {
	case <-p.Readied():
	case <-time.After(patience):
		t.Fatal("weftd does not become ready")
	}
	t.Setenv(planeEnv, p.AdminAddress.String())
	return p
}

// asked is a proxy that has asked for clusters, and answers when the test says so.
type asked struct {
	t      *testing.T
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	got    *discoveryv3.DeltaDiscoveryResponse
}

func askClusters(t *testing.T, p *plane.Plane, name string) *asked {
	t.Helper()
	conn, err := grpc.NewClient(p.GRPCAddress.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	a := &asked{t: t}
	if a.stream, err = discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "sidecar~127.0.0.1~" + name + "~a.svc.cluster.local"}, TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"})
	if a.got, err = a.stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return a
}

// answer takes what came and what comes. With a reason it refuses the cluster of the shop and takes the rest: weftd sends halves of what was refused
// until it knows which it was.
func (a *asked) answer(because string) {
	go func() {
		for m := a.got; ; {
			q := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce}
			for _, r := range m.Resources {
				if because != "" && strings.Contains(r.Name, "shop.test") {
					q.ErrorDetail = &rpcstatus.Status{Code: 3, Message: because}
				}
			}
			err := a.stream.Send(q)
			if err == nil {
				m, err = a.stream.Recv()
			}
			if err != nil {
				return // the test is over
			}
		}
	}()
}

// says waits until a command's output has a text, and gives it.
func says(t *testing.T, text string, args ...string) string {
	t.Helper()
	end := time.Now().Add(patience)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		code, out, wrong := control(args...)
		if code != exitDone || wrong != "" {
			t.Fatalf("weftctl %v: exit code %d, errors %q", args, code, wrong)
		}
		if out = asTold(out); strings.Contains(out, text) {
			return out
		}
		if time.Now().After(end) {
			t.Fatalf("weftctl %v does not say %q, but\n%s", args, text, out)
		}
	}
}

func TestStatus(t *testing.T) {
	p := weftdWith(t, map[string]string{"good.yaml": goodEntry, "route.yaml": wrongRoute, "plug.yaml": warnedPlugin}, plane.Options{})
	out := says(t, "2 objects, 1 problems, 1 warnings; 0 proxies, 0 synced, 0 refused\n", "status")
	if !strings.Contains(out, "wrong route.yaml:8: VirtualService a/shop: spec.http[0].route[0].wieght: ") || !strings.Contains(out, "warning plug.yaml:2: WasmPlugin a/plug") {
		t.Errorf("what is wrong with objects is not said:\n%s", out)
	}

	if code, out, wrong := control("analyze", "--live", "--server", p.AdminAddress.String()); code != exitFailed || !strings.Contains(out, "spec.http[0].route[0].wieght") || !strings.Contains(out, "WasmPlugin a/plug") || !strings.Contains(wrong, "1 objects are wrong") {
		t.Errorf("analyze --live: exit code %d, %q, %q", code, out, wrong)
	}

	one, two := askClusters(t, p, "one.a"), askClusters(t, p, "two.b")
	out = says(t, "2 proxies, 0 synced, 0 refused", "status")
	if !strings.Contains(out, "PROXY NAMESPACE PEER SINCE CLUSTERS STATE\none.a a PLACE ") || strings.Count(out, "waits ") != 4 {
		t.Errorf("who has not answered is not said to wait:\n%s", out)
	}
	one.answer("")
	two.answer("it is \x1b[31mred\ntoo")
	out = says(t, "2 proxies, 2 synced, 1 refused", "status") // to refuse is to answer
	if !strings.Contains(out, "answered synced\n") || !strings.Contains(out, "REFUSED BY KIND NAME AT BECAUSE\ntwo.b clusters outbound|80||shop.test ") || !strings.Contains(out, "it is [31mred too\n") {
		t.Errorf("what was answered is not said:\n%q", out)
	}

	out = says(t, "proxy two.b\nnamespace b\npeer PLACE\n", "status", "two")
	if !strings.Contains(out, "KIND ASKED FOR TOLD STATE LAST REFUSAL\nclusters all ") || !strings.Contains(out, "REFUSED BY") || strings.Contains(out, "one.a") {
		t.Errorf("of one proxy it is said:\n%s", out)
	}
	if code, _, wrong := control("status", "three"); code != exitFailed || !strings.Contains(wrong, `no proxy with "three" in its name is connected`) || !strings.Contains(wrong, "of 2 that are") {
		t.Errorf("of a proxy that is not there: exit code %d, %q", code, wrong)
	}

	var all, part push.Status
	_, text, _ := control("status", "-o", "json")
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all.Proxies) != 2 || len(all.Problems) != 2 || all.Objects["ServiceEntry"] != 1 {
		t.Errorf("as JSON: %v, %s", err, text)
	}
	_, text, _ = control("status", "one", "-o", "json")
	if err := json.Unmarshal([]byte(text), &part); err != nil || len(part.Proxies) != 1 || part.Proxies[0].ID != "one.a" || !part.Proxies[0].Synced || len(part.Refused) != 0 {
		t.Errorf("of one proxy as JSON: %v, %s", err, text)
	}
	says(t, "\nproxies:\n - id: one.a\n", "status", "-o", "yaml")
}

// What nobody sees for long in a running mesh is tried by hand.
func TestStatesOfAProxy(t *testing.T) {
	for _, c := range []struct {
		name        string
		proxy       push.Proxy
		state, kind string
	}{
		{"before there is a mesh", push.Proxy{Kinds: []push.Kind{{Kind: "routes", All: true}}}, "no view yet", "to come"},
		{"a kind that waits for another one", push.Proxy{View: "2", Kinds: []push.Kind{{Kind: "clusters", Version: "2", Waits: 1500 * time.Millisecond}, {Kind: "routes", Version: "1"}}}, "waits 1.5s", "to come"},
		{"a kind that is done before others", push.Proxy{View: "2", Kinds: []push.Kind{{Kind: "routes", Version: "2"}, {Kind: "listeners", Version: "2", Waits: 2}}}, "waits 1ms", "answered"},
		{"long ago", push.Proxy{View: "2", Kinds: []push.Kind{{Kind: "routes", Waits: 90*time.Second + time.Millisecond}}}, "waits 1m30s", "waits 1m30s"},
		{"nothing under way", push.Proxy{View: "2"}, "to come", ""},
		{"all answered, and one refused", push.Proxy{View: "2", Synced: true, Kinds: []push.Kind{{Kind: "routes", Version: "2", Refused: "no"}}}, "synced", "refused"},
	} {
		if state, kind := proxyState(&c.proxy), kindState(&c.proxy, "routes"); state != c.state || kind != c.kind {
			t.Errorf("%s: %q, routes %q: want %q, %q", c.name, state, kind, c.state, c.kind)
		}
	}
	kinds := kindsOf([]push.Proxy{{Kinds: []push.Kind{{Kind: "clusters"}, {Kind: "routes"}}}, {Kinds: []push.Kind{{Kind: "endpoints"}, {Kind: "routes"}, {Kind: "secrets"}}}, {Kinds: []push.Kind{{Kind: "clusters"}, {Kind: "listeners"}}}})
	if len(kinds) != 5 || kinds[0] != "endpoints" && kinds[0] != "clusters" || kinds[4] != "secrets" {
		t.Errorf("the columns are %q", kinds)
	}
}

func TestWeftdThatIsNotThere(t *testing.T) {
	for _, line := range []string{"status", "token a/b", "ca roots", "ca rotate", "ca revoke --serial 1 --reason lost"} {
		code, out, wrong := control(append(strings.Fields(line), "--server", "127.0.0.1:1")...)
		if code != exitFailed || out != "" || !strings.Contains(wrong, "nobody answers at the admin address 127.0.0.1:1: is weftd running? weftd --config-dir DIR starts it") {
			t.Errorf("weftctl %s: exit code %d, output %q, errors %q", line, code, out, wrong)
		}
	}
}
