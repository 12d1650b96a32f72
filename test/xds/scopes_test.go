package xds

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// scoped is a listener that chooses among tables by the fields x-tenant and x-list (its element k).
func (m mode) scoped(name, scopes string, more ...string) *listenerv3.Listener {
	return parse(strings.ReplaceAll(fmt.Sprintf(`
name: %s
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
      scoped_routes:
        name: tenants
        scope_key_builder: {fragments: [{header_value_extractor: {name: x-tenant, index: 0}}, {header_value_extractor: {name: x-list, element_separator: ",", element: {separator: "=", key: k}}}]}
        rds_config_source: SOURCE
        %s
      http_filters: [%s{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]`, name, scopes, strings.Join(more, "")), "SOURCE", m.source), &listenerv3.Listener{})
}

const byStream = "scoped_rds: {scoped_rds_config_source: SOURCE}"

func scope(name, tenant, routes string, more ...string) *routev3.ScopedRouteConfiguration {
	return parse(fmt.Sprintf("{name: %s, key: {fragments: [{string_key: %s}, {string_key: v}]}, route_configuration_name: %s%s}", name, tenant, routes, strings.Join(more, "")), &routev3.ScopedRouteConfiguration{})
}

// says is a table whose every answer is that text.
func says(name, text string) *routev3.RouteConfiguration {
	return parse(fmt.Sprintf(`{name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %s}}}]}]}`, name, text), &routev3.RouteConfiguration{})
}

// ask sends a request for a host with some more lines in its head.
func ask(address, host string, lines ...string) string {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n%s\r\n", host, strings.Join(append(lines, ""), "\r\n"))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", r.StatusCode, b)
}

func tenant(p *Proxy, listener, name string) string {
	return ask(p.Address(listener), "a", "x-tenant: "+name, "x-list: u=w,k=v")
}

// TestScopes has a listener wait for its scopes and their routes, and requests meet the table of their scope.
func TestScopes(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			plane := NewPlane(t, m.way)
			l := m.scoped("l", byStream)
			serve := func(more ...types.Resource) {
				plane.Serve(append([]types.Resource{m.cluster("one"), endpoints("one", 1), l}, more...)...)
			}
			serve(scope("a", "red", "ra"), scope("b", "blue", "rb"), says("ra", "A"))
			p := Run(t, m, plane.Endpoint())
			p.Eventually("a scope's routes", func() bool { return p.Stat("http.in.rds.ra.update_success") > 0 })
			if p.Address("l") != "" {
				t.Error("the listener does not wait for the routes of its scopes")
			}
			serve(scope("a", "red", "ra"), scope("b", "blue", "rb"), says("ra", "A"), says("rb", "B"))
			p.Ready()
			for name, want := range map[string]string{"red": "200 A", "blue": "200 B", "green": "404 "} {
				if got := tenant(p, "l", name); got != want {
					t.Errorf("%s: %s", name, got)
				}
			}
			if got := ask(p.Address("l"), "a", "x-tenant: red"); got != "404 " {
				t.Errorf("without a part of its key: %s", got)
			}

			// other routes of a scope
			serve(scope("a", "red", "ra"), scope("b", "blue", "rb"), says("ra", "AA"), says("rb", "B"))
			p.Eventually("other routes", func() bool { return tenant(p, "l", "red") == "200 AA" })

			// another table for a scope, which comes late: until then the last one stays
			serve(scope("a", "red", "rc"), scope("b", "blue", "rb"), says("ra", "AA"), says("rb", "B"))
			p.Eventually("the table is asked for", func() bool { return p.Stat("http.in.rds.rc.update_attempt") > 0 })
			if got := tenant(p, "l", "red"); got != "200 AA" {
				t.Error(got)
			}
			serve(scope("a", "red", "rc"), scope("b", "blue", "rb"), says("rc", "C"), says("rb", "B"))
			p.Eventually("another table", func() bool { return tenant(p, "l", "red") == "200 C" })

			// two that nothing would tell apart
			serve(scope("a", "red", "rc"), scope("b", "blue", "rb"), scope("c", "blue", "rc"), says("rc", "C"), says("rb", "B"))
			p.Eventually("a refusal", func() bool { return len(plane.Nacks()) > 0 })
			if got := plane.Nacks()[0]; !strings.Contains(got, `ScopedRouteConfiguration "c": key: is that of scope "b"`) {
				t.Error(got)
			}
			if got := tenant(p, "l", "blue"); got != "200 B" {
				t.Error(got)
			}

			// keys change hands
			serve(scope("a", "blue", "rc"), scope("b", "red", "rb"), says("rc", "C"), says("rb", "B"))
			p.Eventually("an exchange of keys", func() bool { return tenant(p, "l", "red") == "200 B" && tenant(p, "l", "blue") == "200 C" })

			// a scope goes, one with its own table comes
			serve(scope("a", "blue", "rc"), parse(`{name: own, key: {fragments: [{string_key: green}, {string_key: v}]}, route_configuration: {name: x, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: own}}}]}]}}`, &routev3.ScopedRouteConfiguration{}), says("rc", "C"))
			p.Eventually("one is gone", func() bool { return tenant(p, "l", "red") == "404 " })
			p.Eventually("one has come", func() bool { return tenant(p, "l", "green") == "200 own" })
			p.Eventually("they are counted", func() bool {
				return p.Stat("http.in.scoped_rds.tenants.all_scopes") == 2 && p.Stat("http.in.scoped_rds.tenants.active_scopes") == 2
			})
			for _, name := range []string{"update_success", "update_rejected", "config_reload"} {
				if p.Stat("http.in.scoped_rds.tenants."+name) == 0 {
					t.Errorf("%s is not counted", name)
				}
			}

			var dump bytes.Buffer
			if err := p.Feed.Dump(&dump, p.boot, url.Values{"resource": {"dynamic_scoped_route_configs"}}); err != nil {
				t.Fatal(err)
			}
			if text := dump.String(); !strings.Contains(text, `"tenants"`) || !strings.Contains(text, `"own"`) || strings.Contains(text, `"b"`) {
				t.Error(text)
			}
		})
	}
}

// TestScopesLate has a listener be served when its scopes have been waited for long enough.
func TestScopesLate(t *testing.T) {
	m := modes()[1]
	m.source = strings.Replace(m.source, "0s", "0.2s", 1)
	plane := NewPlane(t, OverTCP)
	plane.Serve(m.cluster("one"), endpoints("one", 1), m.scoped("l", byStream))
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	if got := tenant(p, "l", "red"); got != "404 " {
		t.Error(got)
	}
	plane.Serve(m.cluster("one"), endpoints("one", 1), m.scoped("l", byStream), scope("a", "red", "ra"), says("ra", "A"))
	p.Eventually("they come after all", func() bool { return tenant(p, "l", "red") == "200 A" })
}

// TestScopesInline has scopes stand in the listener.
func TestScopesInline(t *testing.T) {
	m := modes()[0]
	plane := NewPlane(t, OverTCP)
	l := m.scoped("l", "scoped_route_configurations_list: {scoped_route_configurations: [{name: a, key: {fragments: [{string_key: red}, {string_key: v}]}, route_configuration_name: ra}]}")
	plane.Serve(m.cluster("one"), endpoints("one", 1), l, says("ra", "A"))
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	if got := tenant(p, "l", "red") + tenant(p, "l", "blue"); got != "200 A404 " {
		t.Error(got)
	}
	var dump bytes.Buffer
	if err := p.Feed.Dump(&dump, p.boot, url.Values{"resource": {"inline_scoped_route_configs"}}); err != nil || !strings.Contains(dump.String(), `"route_configuration_name": "ra"`) && !strings.Contains(dump.String(), `"route_configuration_name":  "ra"`) {
		t.Error(err, dump.String())
	}
}

// TestScopesInFiles has scopes and their routes come from files, which change.
func TestScopesInFiles(t *testing.T) {
	m := modes()[0]
	dir := t.TempDir()
	put := func(name string, lines ...string) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", []byte("resources:\n"+strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	table := func(name, text string) string {
		return fmt.Sprintf(`- {"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %s}}}]}]}`, name, text)
	}
	one := func(name, tenant, routes string) string {
		return fmt.Sprintf(`- {"@type": type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration, name: %s, key: {fragments: [{string_key: %s}, {string_key: v}]}, route_configuration_name: %s}`, name, tenant, routes)
	}
	put("rds.yaml", table("ra", "A"), table("rb", "B"))
	put("srds.yaml", one("a", "red", "ra"))
	files := m
	files.source = "{path_config_source: {path: " + filepath.Join(dir, "rds.yaml") + "}}"
	l := files.scoped("l", "scoped_rds: {scoped_rds_config_source: {path_config_source: {path: "+filepath.Join(dir, "srds.yaml")+"}}}")
	plane := NewPlane(t, OverTCP)
	plane.Serve(m.cluster("one"), endpoints("one", 1), l)
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	if got := tenant(p, "l", "red") + tenant(p, "l", "blue"); got != "200 A404 " {
		t.Error(got)
	}
	put("srds.yaml", one("a", "red", "rb"), one("b", "blue", "ra"))
	p.Eventually("other scopes", func() bool { return tenant(p, "l", "red") == "200 B" && tenant(p, "l", "blue") == "200 A" })
	put("srds.yaml", one("a", "red", "rb"), one("b", "red", "ra"))
	p.Eventually("a refusal", func() bool { return p.Stat("http.in.scoped_rds.tenants.update_rejected") > 0 })
	if got := tenant(p, "l", "red") + tenant(p, "l", "blue"); got != "200 B200 A" {
		t.Error(got)
	}
	put("srds.yaml", one("b", "blue", "rb"))
	p.Eventually("one is gone", func() bool { return tenant(p, "l", "red") == "404 " && tenant(p, "l", "blue") == "200 B" })
}
