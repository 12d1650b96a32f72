package control

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/source/kube"
)

// weftctl runs it, and gives what it says.
func (a *admission) weftctl(args ...string) string {
	a.t.Helper()
	out, err := exec.Command(program(a.t, "weftctl"), args...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("weftctl %q: %v: %s", args, err, out)
	}
	return string(out)
}

// mutating are the configurations of ours, as far as anybody but API servers writes them.
func (a *admission) mutating() string {
	a.t.Helper()
	var list struct {
		Items []struct {
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
			Webhooks json.RawMessage
		}
	}
	a.cluster.List("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", &list)
	for i := range list.Items { // what is empty is nothing
		if len(list.Items[i].Metadata.Annotations) == 0 {
			list.Items[i].Metadata.Annotations = nil
		}
	}
	text, _ := json.Marshal(list.Items)
	return string(text)
}

// Injection is switched off by weftd, and on again by hand and by the clock; it is said to whoever makes a pod, on /status, in metrics and in the audit log.
func TestInjectionIsSwitchedOff(t *testing.T) {
	a := newAdmission(t)
	a.cluster.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}")
	server := "--server=" + a.plane.AdminAddress.String()
	injected := func(what string, want bool) {
		t.Helper()
		eventually(t, what, func() bool {
			is, code, _ := a.pod("shop", "")
			return is == want && code == http.StatusCreated
		})
	}
	page := func(path string) string { return pageAt(a.plane.AdminAddress.(*net.TCPAddr).Port, path) }
	injected("pods get sidecars", true)
	if said := a.weftctl("break", "injection", server, "--reason", "the image does not start", "--as", "mia"); !strings.Contains(said, "Off until") {
		t.Error(said)
	}
	injected("pods get none", false)
	if text := page("/status"); !strings.Contains(text, `"what": "injection"`) && !strings.Contains(text, `"what":"injection"`) {
		t.Errorf("/status: %s", text)
	}
	if text := a.weftctl("status", server); !strings.Contains(text, "OFF until") || !strings.Contains(text, "mia: the image does not start") {
		t.Errorf("weftctl status: %s", text)
	}
	eventually(t, "a metric says so", func() bool { return strings.Contains(page("/metrics"), "weftd_breakglass_injection_off 1\n") })
	if said := a.weftctl("mend", "injection", server, "--as", "mia"); !strings.Contains(said, "On again: injection") {
		t.Error(said)
	}
	injected("pods get sidecars again", true)
	eventually(t, "the metric says so", func() bool { return strings.Contains(page("/metrics"), "weftd_breakglass_injection_off 0\n") })
	a.weftctl("break", "injection", server, "--reason", "for a moment", "--for", "2s")
	injected("pods get none", false)
	injected("it is over by itself", true)
	text, err := os.ReadFile(a.audit)
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	for line := range strings.Lines(string(text)) {
		var e struct{ What, Object, Change, Author, Reason string }
		if json.Unmarshal([]byte(line), &e) == nil && e.What == "switch" {
			done = append(done, e.Object+" "+e.Change+" "+e.Reason)
		}
	}
	if want := "[injection broken the image does not start injection mended  injection broken for a moment]"; fmt.Sprint(done) != want {
		t.Errorf("the audit log has %v: want %s", done, want)
	}
	// What is said wrongly is refused, and nothing that is not off is mended.
	for _, args := range [][]string{{"mend", "injection", server}, {"break", "injection", server}, {"break", "injection", server, "--reason", "x", "--for", "1000h"}, {"break", "injection", "--reason", "x", "--for", "1m", "--kubeconfig", "none"}} {
		if out, err := exec.Command(program(t, "weftctl"), args...).CombinedOutput(); err == nil {
			t.Errorf("weftctl %q: %s", args, out)
		}
	}
}

// When weftd does not answer, pods are refused, until the API server is told not to ask it; taken back, all is as it was, and webhooks of others have not been touched.
func TestInjectionIsSwitchedOffWithoutWeftd(t *testing.T) {
	a := newAdmission(t)
	a.cluster.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}")
	before := a.mutating()
	a.plane.Close()
	passes := func(what string, want bool) {
		t.Helper()
		eventually(t, what, func() bool {
			is, code, _ := a.pod("shop", "")
			return !is && (code == http.StatusCreated) == want
		})
	}
	passes("pods are refused without weftd", false)
	access := a.cluster.Kubeconfig
	if said := a.weftctl("break", "injection", "--kubeconfig", access, "--reason", "weftd does not answer"); strings.Count(said, "asks nobody any more") != 2 {
		t.Errorf("want both configurations of ours, of the revision and of its tag: %s", said)
	}
	passes("pods are let through", true)
	if now := a.mutating(); !strings.Contains(now, kube.SilentKey) || !strings.Contains(now, "weftd does not answer") {
		t.Errorf("the configurations do not say why: %s", now)
	}
	if said := a.weftctl("break", "injection", "--kubeconfig", access, "--reason", "again"); !strings.Contains(said, "so already") {
		t.Error(said)
	}
	if said := a.weftctl("mend", "injection", "--kubeconfig", access); strings.Count(said, "asks again") != 2 {
		t.Error(said)
	}
	if now := a.mutating(); now != before {
		t.Errorf("it is not as it was:\n%s\n%s", before, now)
	}
	passes("pods are refused again", false)
}

// Routing is switched off under load: sidecars send requests where their hosts are, nothing is lost, and then VirtualServices hold again. A weftd that starts meanwhile knows before it tells anybody anything.
func TestRoutingIsSwitchedOff(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(0)}, "--store", filepath.Join(t.TempDir(), "store"))
			p.proxy(name)
			s.opens()
			p.synced(1)
			if got := s.share(); got != 0 {
				t.Errorf("the first version has %d %%: want none", got)
			}
			end := s.load()
			halved := func(what string) {
				t.Helper()
				eventually(t, what, func() bool { got := s.share(); return got > 40 && got < 60 })
			}
			p.mustctl("", "break", "routing", "-n", "b", "--reason", "it is another's")
			p.mustctl("", "break", "routing", "-n", "a", "--reason", "nobody answers")
			halved("both versions are asked")
			if out := p.mustctl("", "status"); !strings.Contains(out, "routing by the VirtualServices of a in sidecars, by ") || !strings.Contains(out, "nobody answers (weftctl mend routing -n a switches it on)") {
				t.Errorf("status is\n%s", out)
			}
			p.kill()
			p.start()
			p.synced(1)
			if got := s.share(); got < 40 || got > 60 {
				t.Errorf("of a weftd that starts meanwhile the first version has %d %%: want half", got)
			}
			p.mustctl("", "mend", "routing", "-n", "a")
			s.leaves()
			p.mustctl("", "break", "routing", "--reason", "for a moment", "--for", "2s")
			halved("of whichever namespace")
			s.leaves()
			if n := end(); n < 100 {
				t.Errorf("only %d requests were made meanwhile", n)
			} else {
				t.Logf("%d requests, none lost", n)
			}
			if out, err := p.weftctl("", "mend", "routing", "-n", "a"); err == nil || !strings.Contains(out, "routing/a is not switched off") {
				t.Errorf("what is not off is mended: %v: %s", err, out)
			}
		})
	}
}
