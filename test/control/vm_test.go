package control

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/test/vacant"
)

// unit is what a host makes of the files of weftctl vm, where there is no systemd: the unit's commands with what the environment's file says, and with folders of the test in the place of the host's.
type unit struct {
	lines map[string][]string // by the name of the setting
	env   []string
	place *strings.Replacer
}

// unitOf reads them.
func unitOf(t *testing.T, folder, state string) *unit {
	t.Helper()
	u := &unit{lines: map[string][]string{}, place: strings.NewReplacer("/usr/local/bin/weft", program(t, "weft"), "/etc/weft", folder, "/var/lib/weft", state)}
	read := func(name string, f func(key, value string)) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			key, value, is := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if is && !strings.HasPrefix(line, "#") {
				f(key, value)
			}
		}
	}
	read("weft.service", func(key, value string) { u.lines[key] = append(u.lines[key], u.place.Replace(value)) })
	read(filepath.Base(u.lines["EnvironmentFile"][0]), func(key, value string) {
		if inner, is := strings.CutPrefix(value, "'"); is {
			value = strings.TrimSuffix(inner, "'")
		}
		u.env = append(u.env, key+"="+u.place.Replace(value))
	})
	return u
}

// command is one of the unit's, of a word each: systemd's quoting is that of a shell where there is any.
func (u *unit) command(t *testing.T, key string, more ...string) *exec.Cmd {
	t.Helper()
	line := strings.TrimLeft(u.lines[key][0], "+-")
	c := exec.Command("/bin/sh", "-c", "exec "+strings.ReplaceAll(line, "$$", "$"))
	if !strings.Contains(line, "'") {
		words := strings.Fields(line)
		c = exec.Command(words[0], words[1:]...)
	}
	c.Dir, c.Env = u.lines["WorkingDirectory"][0], append(append(os.Environ(), u.env...), more...)
	return c
}

// What weftctl vm writes for a host has weft join there, be registered, and serve what comes by mTLS; started again it comes back by its certificate, when its token is worth nothing any more.
func TestWeftctlMakesAMachine(t *testing.T) {
	p := newMachines(t, sources[0])
	folder, state := filepath.Join(t.TempDir(), "host"), t.TempDir()
	out, err := exec.Command(program(t, "weftctl"), "vm", "vm", "-n", "shop", "-o", folder, "--capture=false", "--address", "127.0.0.1", "--plane", fmt.Sprintf("127.0.0.1:%d", p.plane.port),
		"--server", fmt.Sprintf("127.0.0.1:%d", p.plane.admin)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u := unitOf(t, folder, state)
	if len(u.lines["ExecStartPre"])+len(u.lines["ExecStopPost"]) > 0 {
		t.Errorf("nothing is to be captured: %v", u.lines)
	}
	ports := vacant.Ports(t, 4) // the usual ones may be others' here
	own := []string{fmt.Sprintf(`PROXY_CONFIG={"proxyAdminPort":%d,"statusPort":%d,"terminationDrainDuration":"1s"}`, ports[0], ports[1]), fmt.Sprintf("ENVOY_STATUS_PORT=%d", ports[2]), fmt.Sprintf("ENVOY_PROMETHEUS_PORT=%d", ports[3])}
	weft := runs(t, u.command(t, "ExecStart", own...))
	post := u.command(t, "ExecStartPost")
	post.Args = append(post.Args, "--url", fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", ports[2]))
	if out, err := post.CombinedOutput(); err != nil {
		t.Fatalf("it does not become ready: %v: %s", err, out)
	}
	if strings.Contains(weft.said.String(), "is set and does nothing") {
		t.Errorf("it is told what it does not run: %s", weft.said.String())
	}
	p.plane.joins("envoy", "client", "client")
	p.opens() // by mTLS, strictly
	if is := p.entry(); is["istio.io/autoRegistrationGroup"] != "vm" || is["istio.io/connectedAt"] == "" {
		t.Errorf("its entry: %v", is)
	}
	weft.kill()
	if err := os.Remove(filepath.Join(folder, "token")); err != nil { // it was good once
		t.Fatal(err)
	}
	weft = runs(t, u.command(t, "ExecStart", own...))
	p.client.CloseIdleConnections()
	p.opens()
	host, _ := os.Hostname()
	eventually(t, "it has come back by its certificate", func() bool {
		return slices.ContainsFunc(p.plane.status().Proxies, func(one push.Proxy) bool { return one.ID == host+".shop" && one.By == "certificate" })
	})
	weft.kill()
}

// The health that a host says is that of its group's probe, which weftctl vm takes from the group; what it captures spares SSH; and only a stop that was asked for takes capture away.
func TestWeftctlTakesWhatTheGroupSays(t *testing.T) {
	p := newMachines(t, sources[0])
	folder, state := filepath.Join(t.TempDir(), "host"), t.TempDir()
	text, err := os.ReadFile(filepath.Join(p.plane.dir, "group.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	well := filepath.Join(t.TempDir(), "well")
	p.plane.write("group.yaml", string(text)+fmt.Sprintf("  probe: {periodSeconds: 1, failureThreshold: 1, exec: {command: [sh, -c, \"test 'a' = a && test -e %s\"]}}\n", well))
	vm := func() ([]byte, error) {
		return exec.Command(program(t, "weftctl"), "vm", "vm", "-n", "shop", "-o", folder, "--force", "--address", "127.0.0.1", "--plane", fmt.Sprintf("127.0.0.1:%d", p.plane.port),
			"--server", fmt.Sprintf("127.0.0.1:%d", p.plane.admin)).CombinedOutput()
	}
	eventually(t, "the group's probe is in what is written", func() bool {
		out, err := vm()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		env, _ := os.ReadFile(filepath.Join(folder, "weft.env"))
		return strings.Contains(string(env), "readinessProbe")
	})
	u := unitOf(t, folder, state)
	rules, err := u.command(t, "ExecStartPre", "DRY_RUN=true").CombinedOutput() // says what it would do, and does nothing
	if err != nil || !strings.Contains(string(rules), "--dport 22 -j RETURN") || !strings.Contains(string(rules), "--to-ports 15001") || !strings.Contains(string(rules), "--to-ports 15053") || !strings.Contains(string(rules), "--uid-owner 1337") {
		t.Errorf("capture: %v\n%s", err, rules)
	}
	for result, clean := range map[string]bool{"success": true, "exit-code": false} {
		stub := filepath.Join(t.TempDir(), "weft")
		done := stub + ".done"
		if err := os.WriteFile(stub, fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" > %s\n", done), 0o755); err != nil {
			t.Fatal(err)
		}
		stop := u.command(t, "ExecStopPost", "SERVICE_RESULT="+result)
		stop.Args[2] = strings.ReplaceAll(stop.Args[2], program(t, "weft"), stub)
		if out, err := stop.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", result, err, out)
		}
		if said, _ := os.ReadFile(done); (strings.TrimSpace(string(said)) == "capture clean") != clean {
			t.Errorf("after %s weft was called with %q", result, said)
		}
	}
	// The same host, with ports of its own, and where nobody captures.
	var config map[string]any
	ports := vacant.Ports(t, 4)
	for _, one := range u.env {
		if value, is := strings.CutPrefix(one, "PROXY_CONFIG="); is {
			if err := json.Unmarshal([]byte(value), &config); err != nil {
				t.Fatal(err)
			}
		}
	}
	config["proxyAdminPort"], config["statusPort"] = ports[0], ports[1]
	whole, _ := json.Marshal(config)
	runs(t, u.command(t, "ExecStart", "PROXY_CONFIG="+string(whole), fmt.Sprintf("ENVOY_STATUS_PORT=%d", ports[2]), fmt.Sprintf("ENVOY_PROMETHEUS_PORT=%d", ports[3]), "ISTIO_META_INTERCEPTION_MODE=NONE", "ISTIO_META_DNS_CAPTURE="))
	p.plane.joins("envoy", "client", "client")
	eventually(t, "it is registered", func() bool { return p.entry() != nil })
	if _, err := p.ask(t.Context()); err == nil {
		t.Error("who is not well gets requests")
	}
	if err := os.WriteFile(well, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.opens()
}
