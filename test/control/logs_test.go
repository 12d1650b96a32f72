package control

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Telemetry object decides which requests are logged and where, from one moment to the next.
func TestTelemetryDecidesWhatIsLogged(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			log := filepath.Join(t.TempDir(), "access.log")
			p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
			mesh, err := os.ReadFile(p.mesh)
			if err == nil {
				err = os.WriteFile(p.mesh, fmt.Appendf(mesh, "extensionProviders: [{name: file, envoyFileAccessLog: {path: %s, logFormat: {text: '%%REQ(:PATH)%% %%RESPONSE_CODE%%'}}}]\naccessLogFile: ''\n", log), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.kill()
			p.start()
			p.proxy(name)
			s.opens()
			ask := func(path, user string) {
				r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "shop.test"
				r.Header.Set("x-user", user)
				got, err := s.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got.Body.Close()
			}
			lines := func() string {
				b, err := os.ReadFile(log)
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				return string(b)
			}
			telemetry := func(more string) string {
				return "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: logs, namespace: a}\nspec: {accessLogging: [{providers: [{name: file}]" + more + "}]}\n"
			}
			change := func(more string) { // and waits until the proxy has taken it
				t.Helper()
				round := p.status().Last.Number
				p.write("logs.yaml", telemetry(more))
				eventually(t, "the change has been taken", func() bool { st := p.status(); return st.Last.Number > round && st.Proxies[0].Synced })
				s.client.CloseIdleConnections() // those of the filter chain before end with a request more
			}
			logged := func(path string) {
				t.Helper()
				eventually(t, path+" is logged", func() bool {
					ask(path, "b")
					return strings.Contains(lines(), path+" 200\n")
				})
			}
			// That a change has been taken does not say that the next connection meets it: each step is tried until it has come into force. Lines
			// stand in the order in which they were written, so that the one behind says that the one before will not come.
			n := 0
			until := func(what string, unlogged func(), marked func(path string)) {
				t.Helper()
				eventually(t, what, func() bool {
					n++
					unlogged()
					marked(fmt.Sprintf("/mark-%d", n))
					return !strings.Contains(lines(), fmt.Sprintf("/none-%d ", n))
				})
			}
			change("")
			logged("/all")
			change(", filter: {expression: \"request.headers['x-user'] == 'b'\"}")
			until("what the filter is not true of is not logged", func() { ask(fmt.Sprintf("/none-%d", n), "a") }, logged)
			until("nothing is logged that is switched off", func() {
				change(", disabled: true")
				ask(fmt.Sprintf("/none-%d", n), "b")
				change("")
			}, logged)
		})
	}
}
