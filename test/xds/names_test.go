package xds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds"
)

// TestNames has a feed hand tables of names on, refuse what is none, and not be ready before there is one.
func TestNames(t *testing.T) {
	for i := range 4 {
		m, empty := modes()[i%2], i >= 2
		t.Run(fmt.Sprint(m.name, " without names: ", empty), func(t *testing.T) {
			raw := NewRaw(t)
			boot, err := xds.ReadBootstrap(xds.Source{YAML: fmt.Sprintf(`
node: {id: me, cluster: us}
dynamic_resources: %s
static_resources:
  clusters:
  - name: plane
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [%s]}]}
`, m.boot, endpoint(raw.Address))}, nil)
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan string, 10)
			feed, err := xds.Open(boot, xds.Options{Names: func(table []byte) error {
				if string(table) == "\x0a\x01x" {
					return errors.New("an entry has no end")
				}
				told <- string(table)
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer feed.Close()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				feed.Watch(ctx, func(*config.Snapshot) error { return nil })
			}()
			defer func() { cancel(); <-done }()
			delta := m.name == "delta"
			// say sends a table, or nothing of a kind, and gives what it is answered with.
			say := func(kind, nonce string, table *string) (refused string) {
				t.Helper()
				url := "type.googleapis.com/" + kind
				var anys []*anypb.Any
				if table != nil {
					anys = append(anys, &anypb.Any{TypeUrl: url, Value: []byte(*table)})
				}
				if !delta {
					raw.Say(&discoveryv3.DiscoveryResponse{VersionInfo: nonce, Nonce: nonce, TypeUrl: url, Resources: anys})
					return raw.ask(kind[strings.LastIndexByte(kind, '.')+1:], nonce).GetErrorDetail().GetMessage()
				}
				r := &discoveryv3.DeltaDiscoveryResponse{Nonce: nonce, TypeUrl: url}
				for _, a := range anys {
					r.Resources = append(r.Resources, &discoveryv3.Resource{Name: "names", Version: nonce, Resource: a})
				}
				raw.Say(r)
				return raw.changes(kind[strings.LastIndexByte(kind, '.')+1:], nonce).GetErrorDetail().GetMessage()
			}
			asked := func(kind string) {
				t.Helper()
				if delta {
					if names := raw.changes(kind, "").GetResourceNamesSubscribe(); len(names) > 0 {
						t.Fatalf("%s are asked for by name: %v", kind, names)
					}
				} else if names := raw.ask(kind, "").GetResourceNames(); len(names) > 0 {
					t.Fatalf("%s are asked for by name: %v", kind, names)
				}
			}
			const clusters, listeners, names = "envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener", "istio.networking.nds.v1.NameTable"
			asked("Cluster")
			asked("NameTable")
			say(clusters, "c1", nil)
			say(listeners, "l1", nil)
			if empty {
				if why := say(names, "n1", nil); why != "" || <-told != "" {
					t.Errorf("a control plane without names: %s", why)
				}
				select {
				case <-feed.Readied():
				case <-time.After(deadline):
					t.Error("it is not ready, though there are none")
				}
				return
			}
			if bad := "\x0a\x01x"; say(names, "n1", &bad) == "" {
				t.Error("what is no table is taken")
			}
			select {
			case <-feed.Readied():
				t.Error("it is ready without a table")
			default:
			}
			for i, table := range []string{"\x0a\x03\x0a\x01a", ""} {
				if why := say(names, fmt.Sprintf("n%d", 2+i), &table); why != "" {
					t.Errorf("a table is refused: %s", why)
				}
				if got := <-told; got != table {
					t.Errorf("told %q, want %q", got, table)
				}
			}
			select {
			case <-feed.Readied():
			case <-time.After(deadline):
				t.Error("it is not ready with a table")
			}
			if why := say(names, "n4", nil); why != "" {
				t.Errorf("to have no table is refused: %s", why)
			}
			select {
			case table := <-told:
				t.Errorf("told %q, though nothing was said", table)
			default:
			}
		})
	}
}
