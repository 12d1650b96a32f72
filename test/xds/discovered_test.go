package xds

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
)

// aborting is a listener of which a filter's configuration comes by itself.
func (m mode) aborting(name, more string) *listenerv3.Listener {
	return parse(strings.ReplaceAll(fmt.Sprintf(`
name: %s
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
      route_config: {name: own, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: x}}}]}]}
      http_filters:
      - name: aborts
        config_discovery: {config_source: SOURCE, type_urls: [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault]%s}
      - {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`, name, more), "SOURCE", m.source), &listenerv3.Listener{})
}

func abort(status int) string {
	return fmt.Sprintf(`{"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: %d, percentage: {numerator: 100}}}`, status)
}

func extension(name, config string) *corev3.TypedExtensionConfig {
	return parse("{name: "+name+", typed_config: "+config+"}", &corev3.TypedExtensionConfig{})
}

// kept asks over one connection, and says whether it was the one of the time before.
type kept struct{ client http.Client }

func (k *kept) ask(address string) (status int, reused bool) {
	r, _ := http.NewRequest("GET", "http://"+address+"/", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}))
	a, err := k.client.Do(r)
	if err != nil {
		return 0, false
	}
	defer a.Body.Close()
	io.Copy(io.Discard, a.Body)
	return a.StatusCode, reused
}

// TestExtensions has a listener wait for a filter's configuration, and connections meet the next one from when it comes.
func TestExtensions(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			plane := NewPlane(t, m.unix)
			others := []types.Resource{m.cluster("one"), endpoints("one", 1), m.aborting("l", ""), m.aborting("d", ", default_config: "+abort(417)+", apply_default_config_without_warming: true")}
			plane.Serve(others...)
			p := Run(t, m, plane.Endpoint())
			p.Eventually("the one that does not wait", func() bool { return p.Address("d") != "" })
			k := &kept{client: http.Client{Transport: &http.Transport{}}}
			defer k.client.CloseIdleConnections()
			if got, _ := k.ask(p.Address("d")); got != 417 {
				t.Error(got)
			}
			if p.Address("l") != "" {
				t.Error("the listener does not wait for its filter's configuration")
			}
			plane.Serve(append(others, extension("aborts", abort(418)))...)
			p.Eventually("the listener", func() bool { return p.Address("l") != "" })
			for _, name := range []string{"l", "d"} {
				p.Eventually("it counts", func() bool { got, _ := k.ask(p.Address(name)); return got == 418 })
			}
			k.ask(p.Address("l"))
			plane.Serve(append(others, extension("aborts", abort(419)))...)
			p.Eventually("another one", func() bool {
				got, reused := k.ask(p.Address("l"))
				if !reused {
					t.Fatal("the connection was closed")
				}
				return got == 419
			})
			plane.Serve(append(others, extension("aborts", `{"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}`))...)
			p.Eventually("a refusal", func() bool { return len(plane.Nacks()) > 0 })
			if got := plane.Nacks()[0]; !strings.Contains(got, `TypedExtensionConfig "aborts": `) || !strings.Contains(got, "v3.Cors") || !strings.Contains(got, "v3.HTTPFault") {
				t.Error(got)
			}
			if got, _ := k.ask(p.Address("l")); got != 419 {
				t.Error(got)
			}
			if p.Stat("extension_config_discovery.http_filter.aborts.update_rejected") == 0 {
				t.Error("it is not counted")
			}
		})
	}
}

// TestNoExtension answers 500 where a filter's configuration has not come in time and nothing stands in for it: nobody passes unseen.
func TestNoExtension(t *testing.T) {
	m := modes()[1]
	m.source = strings.Replace(m.source, "0s", "0.2s", 1)
	plane := NewPlane(t, false)
	plane.Serve(m.cluster("one"), endpoints("one", 1), m.aborting("l", ""))
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	k := &kept{}
	if got, _ := k.ask(p.Address("l")); got != 500 {
		t.Error(got)
	}
	plane.Serve(m.cluster("one"), endpoints("one", 1), m.aborting("l", ""), extension("aborts", abort(418)))
	p.Eventually("it comes after all", func() bool { got, _ := k.ask(p.Address("l")); return got == 418 })
}

// TestRuntime has values of a layer come by themselves.
func TestRuntime(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			key := "test.xds." + strings.ReplaceAll(m.name, " ", ".")
			plane := NewPlane(t, m.unix)
			routes := parse(fmt.Sprintf(`{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [
			{match: {prefix: /, runtime_fraction: {default_value: {numerator: 0}, runtime_key: %s}}, direct_response: {status: 201}},
			{match: {prefix: /}, direct_response: {status: 200}}]}]}`, key), &routev3.RouteConfiguration{})
			layer := func(percent int) *runtimev3.Runtime {
				return parse(fmt.Sprintf("{name: live, layer: {%s: %d}}", key, percent), &runtimev3.Runtime{})
			}
			plane.Serve(m.cluster("one"), endpoints("one", 1), m.listener("l", "r"), routes)
			p := Run(t, m, plane.Endpoint(), "layered_runtime: {layers: [{name: base, static_layer: {"+key+": 0}}, {name: come, rtds_layer: {name: live, rtds_config: "+m.source+"}}]}")
			if _, live := p.State(); live {
				t.Error("it does not wait for its runtime values")
			}
			plane.Serve(m.cluster("one"), endpoints("one", 1), m.listener("l", "r"), routes, layer(100))
			p.Ready()
			if got := get(p.Address("l")); got != "201 " {
				t.Error(got)
			}
			plane.Serve(m.cluster("one"), endpoints("one", 1), m.listener("l", "r"), routes, layer(0))
			p.Eventually("another value", func() bool { return get(p.Address("l")) == "200 " })
			plane.Serve(m.cluster("one"), endpoints("one", 1), m.listener("l", "r"), routes, parse("{name: live, layer: {envoy.reloadable_features.x: true}}", &runtimev3.Runtime{}))
			p.Eventually("a refusal", func() bool { return len(plane.Nacks()) > 0 })
			if got := plane.Nacks()[0]; !strings.Contains(got, `Runtime "live": layer["envoy.reloadable_features.x"]: not supported`) {
				t.Error(got)
			}
			if got := get(p.Address("l")); got != "200 " {
				t.Error(got)
			}
		})
	}
}
