package fields

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/xds/decode"
)

// trial flips a field. paths are the ends of the paths that it stands for, of which each must differ between the two configurations;
// site puts a piece of YAML where it belongs; want is what probe tells of the base and of the flip. In pieces @PORT@ is the upstream's
// port and @DIR@ a folder.
type trial struct {
	paths      string
	site       func(piece string) string
	base, flip string
	up         func(testing.TB) *e2e.Upstream // nil: echo
	probe      func(*world) string
	want       [2]string
	process    bool              // run the program itself, not its proxy in this process
	loops      int               // 0: one
	files      map[string]string // in the folder, as pieces are written
	identities bool              // the folder has certificates, and the upstream of such a trial speaks TLS
	resource   proto.Message     // the piece is a resource of this kind in the file "piece", and site is what names that
}

var trials = slices.Concat(managerTrials, routeTrials, retryTrials, clusterTrials, originalTrials, dnsTrials, healthTrials, balanceTrials, outlierTrials, listenerTrials, filterTrials, processTrials, replyTrials, metadataTrials,
	runtimeTrials, matcherTrials, redirectTrials, tallyTrials, mutationTrials, detectionTrials, leadTrials, closingTrials, eventTrials, tlsTrials, transportTrials, grpcTrials, http2Trials, streamTrials, discoveredTrials, scopeTrials, demandTrials, pollTrials, reportTrials, statisticsTrials, meshTrials, accessTrials, dubboTrials, dubboMoreTrials, dubboHTTPTrials)

// unseen are the run paths whose effect no test sees, and why.
var unseen = map[string]string{
	"envoy.config.core.v3.CelExpressionConfig.enable_string_conversion":                                      "without it an expression that converts is refused, as the verdicts in xds show",
	"envoy.config.core.v3.HealthCheck.initial_jitter":                                                        "a process waits for the first checks before it serves; proxy/upstream tests it",
	"envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.use_resolvers_as_fallback":        "is a matter of the machine's own name servers; proxy/upstream tests it",
	"envoy.config.core.v3.DnsResolverOptions.no_default_search_domain":                                       "is a matter of the machine's own search domains; proxy/upstream tests it",
	"envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension.typed_config":            "random UUIDs are what there is without one",
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.request_id_extension": "random UUIDs are what there is without one",
	"envoy.config.bootstrap.v3.Bootstrap.bootstrap_extensions":                                               "none of them does anything",
	"envoy.config.core.v3.TypedExtensionConfig@bootstrap.typed_config":                                       "none of them does anything",
	"envoy.config.cluster.v3.Cluster.filters":                                                                "none of them does anything",
	"envoy.config.cluster.v3.Filter.typed_config":                                                            "none of them does anything",
	"envoy.extensions.filters.http.on_demand.v3.OnDemandCds.source":                                          "there has to be a control plane; test/xds has one",
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.OnDemand.odcds_config":                           "there has to be a control plane; test/xds has one",
	"envoy.config.route.v3.RouteConfiguration.vhds":                                                          "there has to be a control plane; test/xds has one",
	"envoy.config.route.v3.ScopedRouteConfiguration.on_demand":                                               "there has to be a control plane: a table of a file is read at once; test/xds has one",
	"envoy.config.route.v3.Vhds.config_source":                                                               "there has to be a control plane; test/xds has one",
	"envoy.config.listener.v3.Listener.use_original_dst":                                                     "it shows where the kernel redirects, in test/netns",
}

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "weft"); err != nil {
		panic(err)
	}
	os.Setenv("WEFT_FIELDS_A", "a")
	os.Setenv("WEFT_FIELDS_B", "b")
	if err := serveNames(); err != nil {
		panic(err)
	}
	code := m.Run()
	names.Close()
	os.RemoveAll(folder)
	os.Exit(code)
}

// TestEveryRunFieldShows runs every trial.
func TestEveryRunFieldShows(t *testing.T) {
	for _, c := range trials {
		t.Run(c.paths, func(t *testing.T) {
			t.Parallel()
			for i, piece := range []string{c.base, c.flip} {
				up := c.up
				if up == nil {
					up = echo
				}
				dir := t.TempDir()
				var keys *identities
				filling := []string{"@DIR@", dir}
				if c.identities {
					keys = issue(t, dir)
					filling = append(filling, keys.sums()...)
					if c.up == nil {
						up = keys.upstream
					}
				}
				u := up(t)
				fill := strings.NewReplacer(append(filling, "@PORT@", strconv.Itoa(u.Port))...).Replace
				for name, text := range c.files {
					write(t, filepath.Join(dir, name), fill(text))
				}
				if c.resource != nil {
					write(t, filepath.Join(dir, "piece.yaml"), fill("resources:\n- \"@type\": type.googleapis.com/"+string(c.resource.ProtoReflect().Descriptor().FullName())+"\n  "+strings.ReplaceAll(piece, "\n", "\n  ")))
					piece = ""
				}
				run := start
				if c.process {
					run = startProcess
				}
				w := run(t, u, fill(c.site(piece)), dir, max(c.loops, 1))
				w.keys = keys
				if got := c.probe(w); got != c.want[i] {
					t.Errorf("%s: %s\n got %q\nwant %q (%v)", []string{"base", "flip"}[i], piece, got, c.want[i], w.err)
				}
			}
		})
	}
}

// TestEveryRunFieldIsFlipped wants a trial for every field and enum value that the table runs.
func TestEveryRunFieldIsFlipped(t *testing.T) {
	run := decode.RunPaths()
	covered := map[string]bool{}
	for _, c := range trials {
		fill := strings.NewReplacer("@PORT@", "1", "@DIR@", "/d").Replace
		set := func(piece string) map[string]string {
			if c.resource != nil {
				return decode.RunPathsIn(read(t, fill(piece), proto.CloneOf(c.resource)))
			}
			return decode.RunPathsIn(parse(t, fill(c.site(piece))))
		}
		base, flip := set(c.base), set(c.flip)
		var differ []string
		for p := range run {
			if base[p] != flip[p] {
				differ = append(differ, p)
			}
		}
		if c.want[0] == c.want[1] {
			t.Errorf("%s: nothing differs", c.paths)
		}
		for _, end := range strings.Fields(c.paths) {
			found := 0
			for _, p := range differ {
				if strings.HasSuffix(p, "."+end) {
					covered[p] = true
					found++
				}
			}
			if found != 1 {
				t.Errorf("%s: %q is the end of %d paths in which the two differ: %v", c.paths, end, found, differ)
			}
		}
		for _, p := range differ {
			covered[p] = covered[p] || run[p] // what holds a flipped field is flipped with it
		}
	}
	n := 0
	for _, p := range slices.Sorted(maps.Keys(run)) {
		switch {
		case covered[p] && unseen[p] != "":
			t.Errorf("%s is seen after all", p)
		case covered[p]:
			n++
		case unseen[p] == "":
			t.Errorf("%s is run, and no trial flips it", p)
		}
	}
	for p := range unseen {
		if _, ok := run[p]; !ok {
			t.Errorf("%s is not run", p)
		}
	}
	t.Logf("%d run paths, %d flipped, %d unseen", len(run), n, len(unseen))
}
