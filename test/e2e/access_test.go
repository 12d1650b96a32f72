package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// accessRules is the network filter.
func accessRules(fields string) string {
	return networkFilter + "rbac.v3.RBAC, stat_prefix: r, " + fields + "}}"
}

const fromHome = "policies: {p: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}}"

// Whose connection may not stand, hears nothing of what the upstream says first, which is not even dialled, and logs say why: the TCP proxy's, and the
// listener's, whatever stands behind the rules.
func TestConnectionsThatRulesDeny(t *testing.T) {
	dir := t.TempDir()
	log := func(name string) string {
		return fmt.Sprintf(`access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "%s", format: "%%CONNECTION_TERMINATION_DETAILS%% %%DOWNSTREAM_LOCAL_CLOSE_REASON%% %%DYNAMIC_METADATA(envoy.filters.network.rbac)%%\n"}}]`, filepath.Join(dir, name))
	}
	up := Serve(t, func(_ *Upstream, c *Conn) { c.Send("welcome"); c.Rest() })
	const tcp = "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, "
	const http = `http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`
	for _, test := range []struct {
		name, rules, last   string
		hears               string
		tcpLog, listenerLog string
		least               time.Duration
	}{
		{"allowed", "rules: {" + fromHome + "}, shadow_rules: {action: DENY, " + fromHome + "}", tcp + log("tcp") + "}}", "welcome",
			`- - {"shadow_effective_policy_id":"p","shadow_engine_result":"denied"}`, `- - {"shadow_effective_policy_id":"p","shadow_engine_result":"denied"}`, 0},
		{"denied", "rules: {action: DENY, " + fromHome + "}", tcp + log("tcp") + "}}", "", "rbac_access_denied_matched_policy[p] rbac_deny_close -", "rbac_access_denied_matched_policy[p] rbac_deny_close -", 0},
		{"late", "rules: {}, delay_deny: 0.2s", tcp + log("tcp") + "}}", "", "rbac_access_denied_matched_policy[none] rbac_deny_close -", "rbac_access_denied_matched_policy[none] rbac_deny_close -", 150 * time.Millisecond},
		{"HTTP", "rules: {}", http, "", "", "rbac_access_denied_matched_policy[none] - -", 0},
		{"HTTP, late", "rules: {}, delay_deny: 0.2s", http, "", "", "rbac_access_denied_matched_policy[none] - -", 150 * time.Millisecond},
		{"echo", "rules: {}", "echo.v3.Echo}}", "", "", "rbac_access_denied_matched_policy[none] - -", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			os.Remove(filepath.Join(dir, "tcp"))
			os.Remove(filepath.Join(dir, "listener"))
			dialled := up.Connections()
			p := Start(t, Bootstrap(strings.Replace(answers(accessRules(test.rules), networkFilter+test.last), "  filter_chains:", "  "+log("listener")+"\n  filter_chains:", 1), Cluster("up", up.Port)))
			began := time.Now()
			c := p.Dial()
			if test.hears != "" {
				c.says(test.hears)
				c.Conn.Close()
			} else if got, _ := c.Rest(); got != "" {
				t.Errorf("hears %q", got)
			}
			if d := time.Since(began); d < test.least {
				t.Errorf("closed after %v", d)
			}
			if n := up.Connections() - dialled; (n > 0) != (test.hears != "") {
				t.Errorf("%d connections to the upstream", n)
			}
			for name, want := range map[string]string{"tcp": test.tcpLog, "listener": test.listenerLog} {
				if want == "" {
					continue
				}
				var line []byte
				p.Eventually("a line in the log "+name, func() bool {
					line, _ = os.ReadFile(filepath.Join(dir, name))
					return len(line) > 0
				})
				if got := strings.TrimSpace(string(line)); got != want {
					t.Errorf("the log %s says %q, want %q", name, got, want)
				}
			}
		})
	}
}
