package fields

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

// runtimeTrials run processes, for each of them has one set of runtime values.
var runtimeTrials = []trial{
	{paths: "LayeredRuntime.layers RuntimeLayer.static_layer", process: true, site: layer, base: "name: a, static_layer: {k: 100}", flip: "name: a, static_layer: {k: 0}", probe: met, want: [2]string{"200", "418"}},
	{paths: "RuntimeLayer.name", process: true, site: layer, base: "name: a, admin_layer: {}", flip: "name: b, admin_layer: {}", probe: func(w *world) string {
		_, rest, _ := strings.Cut(strings.ReplaceAll(w.ask("/runtime"), "\n", ""), `"layers": [`)
		name, _, _ := strings.Cut(strings.TrimSpace(rest), `]`)
		return strings.TrimSpace(name)
	}, want: [2]string{`"a"`, `"b"`}},
	{paths: "RuntimeLayer.admin_layer", process: true, site: layer, base: "name: a, static_layer: {k: 100}", flip: "name: a, admin_layer: {}", probe: func(w *world) string {
		c := e2e.Dial(w.t, w.admin)
		c.Send("POST /runtime_modify?k=0 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
		return fmt.Sprint(c.Read("POST").Status, " ", met(w))
	}, want: [2]string{"503 200", "200 418"}},
	{paths: "RuntimeFractionalPercent.runtime_key", process: true, site: func(p string) string {
		return match("prefix: /, runtime_fraction: {"+p+", default_value: {numerator: 100}}") + layers("name: a, static_layer: {k: 0}")
	}, base: "runtime_key: k", flip: "runtime_key: l", probe: met, want: [2]string{"418", "200"}},
	{paths: "RuntimeFeatureFlag.runtime_key", process: true, site: func(p string) string {
		return guarded("stat_prefix: a, max_connections: 1, runtime_enabled: {default_value: false, "+p+"}") + layers("name: a, static_layer: {k: true}")
	}, base: "runtime_key: k", flip: "runtime_key: l", probe: func(w *world) string {
		w.eventually("a listener", func() bool { return w.listener() != "" })
		first := e2e.Dial(w.t, w.listener())
		first.Send("x")
		hears(first.Conn)
		second := e2e.Dial(w.t, w.listener())
		second.Send("y")
		return hears(second.Conn)
	}, want: [2]string{"closed", "y"}},
	{paths: "RuntimeUInt32.runtime_key", process: true, site: func(p string) string {
		return filteredLog("status_code_filter: {comparison: {value: {default_value: 1, "+p+"}}}") + layers("name: a, static_layer: {k: 200}")
	}, base: "runtime_key: k", flip: "runtime_key: l", probe: noted200, want: [2]string{"xy", "y"}},
	{paths: "RuntimeFilter.runtime_key", process: true, site: func(p string) string {
		return filteredLog("runtime_filter: {"+p+", percent_sampled: {numerator: 0, denominator: TEN_THOUSAND}}") + layers("name: a, static_layer: {k: 10000}")
	}, base: "runtime_key: k", flip: "runtime_key: l", probe: noted200, want: [2]string{"xy", "y"}},
}

// layers are the admin and these runtime layers, at the end of a bootstrap.
func layers(piece string) string {
	return "\nadmin: {" + adminAt + "}\nlayered_runtime: {layers: [{" + piece + "}]}"
}

// layer is one runtime layer; what k says is the share of requests that are not answered with 418.
func layer(piece string) string {
	return match("prefix: /, runtime_fraction: {runtime_key: k, default_value: {numerator: 100}}") + layers(piece)
}

// met is the status of a request through a process.
func met(w *world) string {
	w.eventually("a listener", func() bool { return w.listener() != "" })
	return fmt.Sprint(e2e.Dial(w.t, w.listener()).Get("/").Status)
}

// noted200 is what a request that is answered with 200 leaves in the log.
func noted200(w *world) string {
	met(w)
	text := ""
	w.eventually("a line", func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, "log"))
		text = string(b)
		return strings.HasSuffix(text, "\n")
	})
	return strings.TrimSpace(text)
}
