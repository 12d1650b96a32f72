package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/sidecar"
	"github.com/weftmesh/weft/xds"
)

// TestAgentWords has the program be called as Istio's agent is.
func TestAgentWords(t *testing.T) {
	t.Chdir(t.TempDir())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.Error(w, "not here", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, r.Method, " ", r.URL)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"pilot-agent", "--help"}, 0, "pilot-agent proxy sidecar|router"},
		{[]string{"pilot-agent", "proxy", "--help"}, 0, "pilot-agent proxy sidecar|router"},
		{[]string{"pilot-agent", "version"}, 0, version},
		{[]string{"version"}, 0, version},
		{[]string{"pilot-agent", "fly"}, 1, `"fly" is no command`},
		{[]string{"pilot-agent", "proxy", "waypoint"}, 1, `"waypoint" is no role that is served: want sidecar or router`},
		{[]string{"pilot-agent", "proxy", "sidecar", "--stsPort", "15463"}, 1, "no security token service"},
		{[]string{"pilot-agent", "proxy", "sidecar", "--templateFile=/a"}, 1, "ISTIO_BOOTSTRAP_OVERRIDE"},
		{[]string{"pilot-agent", "proxy", "sidecar", "--log_target=/var/log/a"}, 1, "standard error"},
		{[]string{"pilot-agent", "proxy", "sidecar", "--concurrency=many"}, 1, "--concurrency"},
		{[]string{"pilot-agent", "proxy", "sidecar", "--proxyLogLevel=loud"}, 1, "--log-level"},
		{[]string{"pilot-agent", "proxy", "sidecar", "--colour=red", "--stsPort=1"}, 1, "--colour is not known, and does nothing"},
		{[]string{"pilot-agent", "proxy", "sidecar"}, 1, "there is nothing to show who this is"},
		{[]string{"pilot-agent", "request", "--debug-port=" + u.Port(), "get", "a/b?c"}, 0, "GET /a/b?c"},
		{[]string{"pilot-agent", "request", "--debug-port", u.Port(), "POST", "/drain"}, 0, "POST /drain"},
		{[]string{"pilot-agent", "request", "--debug-port", u.Port(), "GET", "missing"}, 1, "the answer is 404"},
		{[]string{"pilot-agent", "request", "GET"}, 1, "want a method and a path"},
		{[]string{"pilot-agent", "wait", "--url", s.URL + "/ready"}, 0, "the sidecar is ready"},
		{[]string{"pilot-agent", "wait", "--timeoutSeconds=1", "--periodMillis=10", "--url", s.URL + "/missing"}, 1, "not ready within 1 s: 404 Not Found: not here"},
		{[]string{"sidecar", "--help"}, 0, "weft sidecar is a workload's sidecar"},
		{[]string{"gateway", "--help"}, 0, "weft gateway is a gateway"},
		{[]string{"sidecar", "web"}, 1, "the application's command stands behind --"},
		{[]string{"sidecar", "--label", "web"}, 1, "want NAME=VALUE"},
		{[]string{"sidecar", "--admin-port", "web"}, 1, "admin-port"},
		{[]string{"sidecar", "--discovery", "weftd"}, 1, "want HOST:PORT"},
	} {
		var out, errs strings.Builder
		code := run(c.args, &out, &errs)
		if code != c.code || !strings.Contains(out.String()+errs.String(), c.want) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", strings.Join(c.args, " "), code, c.code, c.want, out.String(), errs.String())
		}
	}
}

// TestSidecarsFlags has flags of the agent and of weft's own mean what they say.
func TestSidecarsFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("roots", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &agentFlags{env: map[string]string{"INSTANCE_IP": "10.0.0.1", "WEFT_JOIN_TOKEN": "x"}, concurrency: -1, logLevel: "warning", agentLevel: "info"}
	for _, f := range [][2]string{{"domain", "a.test"}, {"serviceCluster", "web"}, {"proxyLogLevel", "debug,upstream:trace"}, {"proxyComponentLogLevel", "misc:error,http:info"}, {"concurrency", "1"},
		{"log_output_level", "xds:debug,default:warn"}, {"log_as_json", ""}, {"outlierLogPath", "/dev/stderr"}} {
		if err := a.take(f[0], f[1], os.Stderr); err != nil {
			t.Fatal(f, err)
		}
	}
	f, s, err := a.settings(sidecar.Sidecar, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if s.Domain != "a.test" || f.concurrency != 1 || f.logLevel != "debug" || f.componentLogLevel != "agent:warning,upstream:trace,misc:error,http:info" || f.logFormat != jsonLog || f.drainTime != 45 || f.baseID != 15000 || !f.sidecar {
		t.Errorf("%+v, %+v", f, s)
	}
	for _, want := range []string{`"cluster":"web"`, `"OUTLIER_LOG_PATH":"/dev/stderr"`, `sidecar~10.0.0.1~`} {
		if !strings.Contains(string(f.made), want) {
			t.Errorf("the bootstrap has no %s", want)
		}
	}
	// A piece of a bootstrap is merged over the one that is made.
	if err := os.WriteFile("over.json", []byte(`{"static_resources": {"clusters": [{"name": "more", "load_assignment": {"cluster_name": "more"}}]}, "admin": {"profile_path": "mine"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.env["ISTIO_BOOTSTRAP_OVERRIDE"], a.env["XDS_ROOT_CA"] = "over.json", "SYSTEM"
	if f, _, err = a.settings(sidecar.Sidecar, os.Stderr); err != nil {
		t.Fatal(err)
	}
	boot, err := xds.ReadBootstrap(f.source(), builtin.All())
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, c := range boot.Static.Clusters {
		names += c.Name + " "
	}
	if names != "prometheus_stats agent sds-grpc xds-grpc more " || boot.Node.Cluster != "web" || boot.Admin.Profile != "mine" {
		t.Errorf("clusters %s, node %+v, admin %+v", names, boot.Node.Cluster, boot.Admin)
	}
	// Each flag of weft's stands for a variable that is known.
	for _, v := range sidecarVariables {
		known := slices.ContainsFunc(sidecar.Variables, func(one sidecar.Variable) bool {
			begin, all := strings.CutSuffix(one.Name, "*")
			return one.Name == v.variable || all && strings.HasPrefix(v.variable, begin)
		})
		if !known {
			t.Errorf("--%s stands for %s, which is none of sidecar.Variables", v.flag, v.variable)
		}
	}
}
