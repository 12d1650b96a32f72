package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	plane "github.com/weftmesh/weft/control"
)

var update = flag.Bool("update", false, "write goldens")

// TestMachineFiles holds what a host is told against goldens, and units against systemd, where that is.
func TestMachineFiles(t *testing.T) {
	analyze, _ := exec.LookPath("systemd-analyze")
	made := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	for name, m := range map[string]*machine{
		"group": {Group: "vm", Namespace: "shop", Account: "web", Domain: "cluster.local", Address: "10.0.0.7", Plane: "weftd.test:15012", Network: "n1", Locality: "eu/one", Labels: map[string]string{"app": "web", "version": "v1"},
			Probe: json.RawMessage(`{"exec":{"command":["sh","-c","test 'a' = a"]}}`), Capture: true, Exclude: "22", Life: time.Hour, Made: made},
		"identity": {Namespace: "shop", Account: "sleep", Domain: "cluster.local", Plane: "[2001:db8::1]:15012", Life: 15 * time.Minute, Made: made},
	} {
		folder := filepath.Join("testdata", "vm", name)
		for _, f := range m.files() {
			path := filepath.Join(folder, f.name)
			if *update {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(f.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || string(want) != f.text {
				t.Errorf("%s is not as it was (%v; -update writes it):\n%s", path, err, f.text)
			}
			if f.name != "weft.service" || analyze == "" {
				continue
			}
			unit := filepath.Join(t.TempDir(), "weft.service") // programs that are there, or each is complained of
			if err := os.WriteFile(unit, []byte(strings.ReplaceAll(f.text, "/usr/local/bin/weft", "/bin/true")), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "weft.service:") {
				t.Errorf("systemd says of %s: %v\n%s", path, err, out)
			}
		}
	}
}

// TestVM writes folders for hosts, and says what is wrong with how that is asked for.
func TestVM(t *testing.T) {
	weftdWith(t, map[string]string{"groups.yaml": `
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: vm, namespace: shop}, spec: {metadata: {labels: {app: web}}, template: {serviceAccount: web, network: n2, locality: eu/one, labels: {app: other, tier: front}}, probe: {tcpSocket: {port: 8080}}}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: plain, namespace: shop}, spec: {template: {}}}
`}, plane.Options{SecureGRPC: "127.0.0.1:0"})
	dir := t.TempDir()
	good := []string{"vm", "vm", "-n", "shop", "--plane", "weftd.test:15012"}
	with := func(name string, more ...string) []string {
		return append(append(good[:len(good):len(good)], "-o", filepath.Join(dir, name)), more...)
	}
	for _, c := range []struct {
		line      []string
		code      int
		file, say string // what is in weft.env, in a folder; what is said
	}{
		{with("one"), exitDone, "one", `ISTIO_METAJSON_LABELS='{"app":"web","istio-locality":"eu/one","tier":"front"}'`},
		{with("one"), exitUsage, "", "is there: want another folder, or --force"},
		{with("one", "--force", "--network", "n1"), exitDone, "one", "ISTIO_META_NETWORK=n1\n"},
		{with("two", "--address", "2001:db8::1"), exitDone, "two", "INSTANCE_IP=2001:db8::1\n"},
		{with("two", "--force"), exitDone, "two", `PROXY_CONFIG='{"readinessProbe":{"tcpSocket":{"port":8080}}}'`},
		{with("two", "--force"), exitDone, "two", "ISTIO_META_NETWORK=n2\n"},
		{with("two", "--force"), exitDone, "two", "ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15020\n"},
		{with("two", "--force", "--exclude-inbound-ports", ""), exitDone, "two", "ISTIO_LOCAL_EXCLUDE_PORTS=15090,15021,15020\n"},
		{with("two", "--force", "--capture=false"), exitDone, "two", "ISTIO_META_INTERCEPTION_MODE=NONE\n"},
		{[]string{"vm", "plain", "-n", "shop", "--plane", "10.0.0.1:15012", "-o", filepath.Join(dir, "three")}, exitDone, "three", "SERVICE_ACCOUNT=default\n"},
		{[]string{"vm", "--identity", "shop/sleep", "--plane", "10.0.0.1:15012", "-o", filepath.Join(dir, "four")}, exitDone, "four", "SERVICE_ACCOUNT=sleep\n"},
		{[]string{"vm", "none", "-n", "shop", "--plane", "weftd.test:15012", "-o", filepath.Join(dir, "five")}, exitFailed, "", "404"},
		{[]string{"vm"}, exitUsage, "", "of which group?"},
		{[]string{"vm", "V M"}, exitUsage, "", "is no name of an object"},
		{good, exitUsage, "", "into which folder?"},
		{with("five", "--identity", "shop/sleep"), exitUsage, "", "want one of the two"},
		{with("five", "--address", "vm.test"), exitUsage, "", "want the IP"},
		{with("five", "--address", "0.0.0.0"), exitUsage, "", "want the IP"},
		{with("five", "--plane", "weftd.test"), exitUsage, "", "want HOST:PORT"},
		{with("five", "--plane", "weftd.test:x"), exitUsage, "", "want HOST:PORT"},
		{with("five", "--plane", "a'b:1"), exitUsage, "", "want HOST:PORT"},
		{with("five", "--network", "N 1"), exitUsage, "", "small letters"},
		{with("five", "--exclude-inbound-ports", "ssh"), exitUsage, "", "want ports"},
		{with("five", "--life", "25h"), exitUsage, "", "at most"},
		{with("five", "--trust-domain", "other.test"), exitFailed, "", `want "cluster.local"`},
	} {
		code, out, wrong := control(c.line...)
		if code != c.code {
			t.Errorf("weftctl %q: exit code %d, %s%s: want %d", c.line, code, out, wrong, c.code)
			continue
		}
		if c.file == "" {
			if !strings.Contains(wrong, c.say) {
				t.Errorf("weftctl %q: %q: want %q", c.line, wrong, c.say)
			}
			continue
		}
		if !strings.Contains(out, "until 20") {
			t.Errorf("weftctl %q does not say how long the token is good: %s", c.line, out)
		}
		text, err := os.ReadFile(filepath.Join(dir, c.file, "weft.env"))
		if err != nil || !strings.Contains(string(text), c.say) {
			t.Errorf("weftctl %q: %v: want %q in\n%s", c.line, err, c.say, text)
		}
		token, err := os.ReadFile(filepath.Join(dir, c.file, "token"))
		if err != nil || !strings.HasPrefix(string(token), "weft-join-") {
			t.Errorf("weftctl %q: the token is %q, %v", c.line, token, err)
		}
		if i, err := os.Stat(filepath.Join(dir, c.file, "token")); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("weftctl %q: the token's rights are %v, %v", c.line, i.Mode(), err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "five")); err == nil {
		t.Error("who asked wrongly has got a folder")
	}
}
