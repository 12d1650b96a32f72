package rules

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weftmesh/weft/"

// order is a statement of policy: "a < b" says that b may import a, and with it all that a may import. What is not listed is
// forbidden. It is the text of ARCHITECTURE.md; a change here is a change of the plan, not a way to make the build pass.
const order = `
NONE < control/lease, memory, config, telemetry, api, wire/http, wire/hello, wire/proxyproto, wire/dubbo, wire/dns, proxy/handover
wire/http < wire/http1, wire/http2, wire/http3
config, telemetry, wire/http < telemetry/accesslog < telemetry/expression
config, telemetry < tls/batch < tls
tls, rpc < tls/issuer
capture/bpf < capture
config, telemetry < capture
wire/dns, telemetry < capture/dns
config, telemetry, telemetry/accesslog, tls, wire/http < filters < filters/* < filters/builtin
config, telemetry, tls, wire/* < proxy/loop
config < match
match < tls, filters
config, match, wire/http < proxy/route
proxy/loop, match, tls, wire/dns, wire/dubbo < proxy/upstream
proxy/upstream, filters < proxy/l4
proxy/route, proxy/upstream, filters < proxy/l7
proxy/route, proxy/upstream, filters < proxy/dubbo
proxy/l4, proxy/l7, proxy/dubbo, capture < proxy/listener < proxy/admin
api/dubbo/v1, config, wire/hello, filters, telemetry/expression < xds/decode < xds
config, telemetry, tls < rpc < xds/stream, xds/load, telemetry/remote
config, telemetry < xds/stream, xds/load < xds
wire/http2 < rpc/line < rpc, rpc/serve
telemetry < rpc/serve < xds/server
telemetry/accesslog < telemetry/remote < proxy
xds/decode < filters/*
wire/dubbo < filters/dubbo, control/source
proxy/*, filters/builtin, xds, tls/issuer < proxy < cmd/weft
api, telemetry < xds/server, control/store, control/source < control/source/*
api/dubbo/v1, control/source < control/mesh < control/translate
xds/server < control/translate
control/translate, control/store, control/secrets, xds/server < control/push
api, telemetry, tls, control/store < control/ca, control/inject
control/source < control/inject
control/ca, control/mesh, xds/server < control/secrets
control/store, control/source < control/history
control/lease < control/store, control/source/kube
control/mesh, control/push, control/store, control/history, control/source/stored < control/console
control/translate, control/ca, control/lease, xds/server < control/register
control/push, control/mesh, xds/server < control/istiod
control/*, control/source/* < control < cmd/weftd
memory < control/push, cmd/weft
telemetry < sidecar/status
tls/issuer, sidecar/status, capture/dns, xds/server < sidecar < cmd/weft
capture < cmd/weft
capture, telemetry < cni < cni/node < cmd/weft
control, proxy, capture < cmd/weftctl
ground < cmd/weftctl/demo < cmd/weftctl
`

// policy reads order: for each room, the rooms that it may import directly, closed over the rooms that those may import. A room that does not
// exist yet has others follow from it all the same.
func policy(rooms []string) map[string]map[string]bool {
	for word := range strings.FieldsFuncSeq(order, func(r rune) bool { return strings.ContainsRune("<, \n", r) }) {
		if !strings.Contains(word, "*") && !slices.Contains(rooms, word) {
			rooms = append(rooms, word)
		}
	}
	expand := func(pattern string) []string {
		var match []string
		for _, r := range rooms {
			if ok, _ := path.Match(pattern, r); ok {
				match = append(match, r)
			}
		}
		return match
	}
	may := map[string]map[string]bool{}
	for _, r := range rooms {
		may[r] = map[string]bool{}
	}
	for line := range strings.Lines(order) {
		steps := strings.Split(strings.TrimSpace(line), " < ")
		for i := 1; i < len(steps); i++ {
			for _, left := range strings.Split(steps[i-1], ", ") {
				for _, from := range expand(left) {
					for _, right := range strings.Split(steps[i], ", ") {
						for _, to := range expand(right) {
							// A room never imports its siblings by a pattern that covers both.
							if from != to && left != right {
								may[to][from] = true
							}
						}
					}
				}
			}
		}
	}
	for range rooms {
		for _, m := range may {
			for from := range m {
				for further := range may[from] {
					m[further] = true
				}
			}
		}
	}
	return may
}

func list(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		imports[strings.TrimPrefix(words[0], module)] = words[1:]
	}
	return imports
}

func TestImportsFollowThePlan(t *testing.T) {
	imports := list(t)
	var rooms []string
	for room := range imports {
		rooms = append(rooms, room)
	}
	may := policy(rooms)
	for room, list := range imports {
		if top, _, _ := strings.Cut(room, "/"); top == "test" || top == "bench" {
			continue // may see everything
		}
		for _, i := range list {
			if other, ours := strings.CutPrefix(i, module); ours && !may[room][other] {
				t.Errorf("%s imports %s: the plan does not allow it (ARCHITECTURE.md, \"Who may import whom\")", room, other)
			}
		}
	}
}

// foreign are libraries that stay in few rooms.
var foreign = []struct {
	prefixes []string
	rooms    []string // path.Match patterns
	why      string
}{
	{[]string{"google.golang.org/protobuf", "github.com/envoyproxy", "github.com/cncf"},
		[]string{"rpc", "api", "api/*", "api/*/*", "xds", "xds/*", "control", "control/*", "control/*/*", "tls/issuer", "filters/*", "telemetry/remote"},
		"protobuf stays where configurations come in"},
	{[]string{"google.golang.org/grpc"}, []string{"rpc", "rpc/*", "xds", "xds/*", "control", "control/*", "tls/issuer", "telemetry/*", "filters/*"}, "gRPC is not for the data path"},
	{[]string{"k8s.io", "sigs.k8s.io/controller-runtime"}, []string{"control/source/kube", "control/inject", "cmd/weftctl"}, "Kubernetes stays at its door"},
	{[]string{"cel.dev/cel-go", "cel.dev/expr", "github.com/antlr4-go"}, []string{"telemetry/expression"}, "one room knows the library of expressions"},
	{[]string{"github.com/quic-go"}, []string{"wire/http3"}, "QUIC is HTTP/3's"},
	{[]string{"net/http"}, []string{"proxy/admin", "sidecar/status", "cni", "cni/node", "cmd/*", "cmd/weftctl/*", "control", "control/*", "control/source/kube", "xds", "xds/stream"}, "net/http must stay off the data path"},
	{[]string{"github.com/google/nftables", "github.com/vishvananda/netlink", "github.com/mdlayher/netlink"}, []string{"capture", "ground"}, "one room tells the kernel of rules and routes, and one makes namespaces"},
	{[]string{"golang.org/x/net/http2"}, []string{"wire/http2"}, "only HPACK may be used of it, and only there"},
}

func TestForeignImportsStayInTheirRooms(t *testing.T) {
	for room, list := range list(t) {
		if top, _, _ := strings.Cut(room, "/"); top == "test" || top == "bench" {
			continue
		}
		for _, i := range list {
			for _, f := range foreign {
				within := slices.ContainsFunc(f.prefixes, func(p string) bool { return i == p || strings.HasPrefix(i, p+"/") })
				allowed := slices.ContainsFunc(f.rooms, func(p string) bool { ok, _ := path.Match(p, room); return ok })
				if within && !allowed {
					t.Errorf("%s imports %s: %s", room, i, f.why)
				}
			}
		}
	}
}
