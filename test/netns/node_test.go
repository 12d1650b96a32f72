package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/cni"
	agent "github.com/weftmesh/weft/cni/node"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/test/kube"
)

// types are the plugins of the network that a runtime takes; nil while a file is none.
func (n *node) types() (list []string) {
	all, err := os.ReadDir(n.networks)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, one := range all {
		if ext := filepath.Ext(one.Name()); ext != ".conf" && ext != ".conflist" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(n.networks, one.Name()))
		var file struct {
			Type    string
			Plugins []struct{ Type string }
		}
		if err != nil || json.Unmarshal(text, &file) != nil {
			return nil
		}
		if file.Type != "" {
			return []string{file.Type}
		}
		for _, p := range file.Plugins {
			list = append(list, p.Type)
		}
		return list
	}
	return nil
}

// folderOf is all that is in a folder, by name.
func folderOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, one := range all {
		text, err := os.ReadFile(filepath.Join(dir, one.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[one.Name()] = string(text)
	}
	return files
}

// Others write the network's configuration anew, in one step and in several, again and again: the plugin is in it in the end, and all of theirs is as they have written it last.
func TestNodeKeepsItsPlace(t *testing.T) {
	api := kube.Start(t)
	n := newNode(t, api, "1.0.0")
	path := filepath.Join(n.networks, "10-first.conflist")
	whole := strings.ReplaceAll(list, "VERSION", "1.0.0")
	write(t, path, whole)
	write(t, filepath.Join(n.networks, "99-other.conflist"), `{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "other"}]}`)
	write(t, filepath.Join(n.programs, "weft-cni"), "an older one")
	other := folderOf(t, n.networks)["99-other.conflist"]
	n.start("--repair", "off")
	placed := func() bool { return slices.Equal(n.types(), []string{"first", "weft-cni"}) }
	if !placed() {
		t.Fatalf("%q", n.types())
	}
	if is, err := os.Stat(filepath.Join(n.networks, "weft-cni-kubeconfig")); err != nil || is.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig: %v %v", is, err)
	}
	for i := range 40 {
		next := strings.Replace(whole, `"mtu": 9007199254740993`, fmt.Sprintf(`"mtu": %d`, 9007199254740993+i), 1)
		if i%2 == 0 {
			write(t, path, next) // empty for a moment
		} else {
			write(t, path+".tmp", next)
			if err := os.Rename(path+".tmp", path); err != nil {
				t.Fatal(err)
			}
		}
		if i%8 == 7 { // between, it may or may not have been there
			eventually(t, "the plugin is back", placed)
			if text := folderOf(t, n.networks)["10-first.conflist"]; !strings.Contains(text, fmt.Sprint(9007199254740993+i)) || !strings.Contains(text, "1.50") {
				t.Fatalf("what was written is lost:\n%s", text)
			}
		}
	}
	// Somebody comes behind it, and it keeps its place.
	text := folderOf(t, n.networks)["10-first.conflist"]
	var file map[string]any
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	file["plugins"] = append(file["plugins"].([]any), map[string]any{"type": "last"})
	behind, _ := json.Marshal(file)
	write(t, path, string(behind))
	// Somebody takes away what it needs, and it comes back; the one who came behind is still there.
	for _, gone := range []string{filepath.Join(n.networks, "weft-cni-kubeconfig"), filepath.Join(n.programs, "weft-cni")} {
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		eventually(t, gone+" is back", func() bool { _, err := os.Stat(gone); return err == nil })
	}
	if got := n.types(); !slices.Equal(got, []string{"first", "weft-cni", "last"}) {
		t.Errorf("%q", got)
	}
	// A file comes before: it is the network now.
	write(t, filepath.Join(n.networks, "00-new.conflist"), `{"cniVersion": "1.0.0", "name": "new", "plugins": [{"type": "new"}]}`)
	eventually(t, "the plugin is in the new one", func() bool { return slices.Equal(n.types(), []string{"new", "weft-cni"}) })
	if got := folderOf(t, n.networks)["99-other.conflist"]; got != other {
		t.Errorf("another network was changed: %s", got)
	}
	for name := range folderOf(t, n.networks) {
		if strings.HasSuffix(name, ".new") {
			t.Errorf("%s is left", name)
		}
	}
}

// The agent ends: all stays while its DaemonSet is there, and goes, to the byte, when that is gone. What was a single plugin is one again.
func TestNodeGoes(t *testing.T) {
	api := kube.Start(t)
	for name, file := range map[string]struct{ name, text string }{
		"list":   {"10-first.conflist", strings.ReplaceAll(list, "VERSION", "1.0.0")},
		"single": {"10-first.conf", "{\"cniVersion\": \"0.4.0\", \"name\": \"one\",\n \"type\": \"first\", \"mtu\": 9007199254740993}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, api, "1.0.0")
			api.Apply(daemonSet)
			write(t, filepath.Join(n.networks, file.name), file.text)
			n.start("--repair", "off")
			if got := n.types(); !slices.Equal(got, []string{"first", "weft-cni"}) {
				t.Fatalf("%q", got)
			}
			before, sandbox := n.network(), n.sandbox(newPod(t), "mesh", "weft-cni-1", "")
			if _, err := n.runtime().AddNetworkList(t.Context(), before, sandbox); err != nil {
				t.Error(err)
			}
			placed := folderOf(t, n.networks)
			n.stop()
			after := folderOf(t, n.networks)
			if !reflect.DeepEqual(after, placed) || !slices.Equal(n.types(), []string{"first", "weft-cni"}) {
				t.Errorf("a new agent is to come, and there is\n%q", after)
			}
			n.start("--repair", "off")
			api.Delete("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: weft-cni, namespace: mesh}}")
			n.stop()
			now := folderOf(t, n.networks)
			var was, is any
			if len(now) != 1 || json.Unmarshal([]byte(file.text), &was) != nil || json.Unmarshal([]byte(now[file.name]), &is) != nil || !reflect.DeepEqual(was, is) || name == "single" && now[file.name] != file.text {
				t.Errorf("networks:\n%q", now)
			}
			// Pods of before end, by the configuration that they have begun with, as CRI-O keeps it; their namespace may be gone.
			for _, namespace := range []string{"", "/proc/none"} {
				sandbox.NetNS = namespace
				if err := n.runtime().DelNetworkList(t.Context(), before, sandbox); err != nil {
					t.Errorf("DEL after all is gone: %v", err)
				}
			}
		})
	}
	t.Run("unknown", func(t *testing.T) { // whether it is gone: fails closed
		n := newNode(t, api, "1.0.0")
		write(t, filepath.Join(n.networks, "10-first.conflist"), strings.ReplaceAll(list, "VERSION", "1.0.0"))
		n.start("--repair", "off")
		api.Stop()
		n.stop()
		if got := n.types(); !slices.Equal(got, []string{"first", "weft-cni"}) {
			t.Errorf("%q", got)
		}
		if out, err := exec.Command(program(t), "node", "--remove", "--programs", n.programs, "--networks", n.networks).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if got := n.types(); !slices.Equal(got, []string{"first"}) {
			t.Errorf("after --remove: %q", got)
		}
		if _, err := os.Stat(filepath.Join(n.programs, cni.Name)); !os.IsNotExist(err) {
			t.Errorf("the program is still there: %v", err)
		}
	})
}

// Pods that were started without the plugin are found by what became of their istio-validation, and captured by way of one of their processes, or labelled.
func TestNodeMendsPods(t *testing.T) {
	api := kube.Start(t)
	n := newNode(t, api, "1.0.0")
	token, err := os.ReadFile(filepath.Join(n.account, "token"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(n.account, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := cni.Dial(api.URL, ca, func() (string, error) { return string(token), nil })
	if err != nil {
		t.Fatal(err)
	}
	// A process of a pod, as the host's /proc shows it. A kubelet, which would put it there, there is not.
	proc := filepath.Join(n.dir, "proc")
	process := func(number int, group string, of *pod) {
		dir := filepath.Join(proc, fmt.Sprint(number))
		if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "cgroup"), "0::"+group+"\n")
		at := "/proc/1/ns/net"
		if of != nil {
			at = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), of.ns.Fd())
		}
		if err := os.Symlink(at, filepath.Join(dir, "ns", "net")); err != nil {
			t.Fatal(err)
		}
	}
	run := func(repair string) (stats *telemetry.Store, stop func()) {
		stats = telemetry.NewStore(0)
		a, err := agent.New(agent.Options{Program: program(t), Programs: n.programs, Networks: n.networks, Server: server, Namespace: "mesh", DaemonSet: "weft-cni", Account: "weft-cni-plugin", Node: "one",
			TokenLife: time.Hour, Repair: repair, Proc: proc, Stats: stats, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		return stats, func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	count := func(stats *telemetry.Store, name string) string {
		var b strings.Builder
		telemetry.WritePrometheus(&b, stats.Read(telemetry.Filter{}))
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, name) && !strings.HasPrefix(line, "#") {
				return strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
			}
		}
		return ""
	}
	failed := func(name string, code, restarts int) {
		api.ApplyStatus(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %q, "namespace": "shop"}, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "image": "a:1", "imageID": "", "ready": false, "restartCount": %d,
			"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": %d}}}]}}`, name, restarts, code))
	}
	early, systemd, well, lost := newPod(t), newPod(t), newPod(t), "lost"
	mEarly, mSystemd, mWell := n.create("early", "", "cni: true", nil), n.create("systemd", "", "cni: true", nil), n.create("well", "", "cni: true", nil)
	n.create(lost, "", "cni: true", nil)
	process(1, "/init.scope", nil)
	process(4711, "/kubepods/besteffort/pod"+mEarly.Metadata.UID+"/c1", early)
	process(4712, "/../kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod"+strings.ReplaceAll(mSystemd.Metadata.UID, "-", "_")+".slice/cri-c2.scope", systemd)
	process(4713, "/kubepods/besteffort/pod"+mWell.Metadata.UID+"/c3", well)
	failed("early", 126, 1) // before the agent is there
	failed("well", 1, 1)    // for another reason
	stats, stop := run(agent.RepairCapture)
	eventually(t, "a pod that was there is captured", func() bool { return count(stats, "pods_captured") == "1" })
	if code, said := n.validate(early, mEarly); code != 0 {
		t.Errorf("after: %d %s", code, said)
	}
	failed("systemd", 126, 0)
	eventually(t, "a pod that comes is captured", func() bool { return count(stats, "pods_captured") == "2" })
	if !systemd.ours() || well.ours() {
		t.Error("one that was to be captured is not, or one that was not is")
	}
	failed(lost, 126, 3)
	eventually(t, "one without a process is said to be lost", func() bool { return count(stats, "repair_failures") == "1" })
	failed(lost, 126, 3)
	failed(lost, 126, 4)
	eventually(t, "each attempt counts once", func() bool { return count(stats, "repair_failures") == "2" })
	if got := count(stats, "pods_uncaptured"); got != "4" {
		t.Errorf("%s uncaptured", got)
	}
	stop()
	stats, stop = run(agent.RepairLabel)
	defer stop()
	eventually(t, "they get a label", func() bool { return count(stats, "pods_labelled") == "3" })
	var m made
	api.Get("{apiVersion: v1, kind: Pod, metadata: {name: lost, namespace: shop}}", &m)
	if m.Metadata.Labels["cni.istio.io/uninitialized"] != "true" {
		t.Errorf("labels %v", m.Metadata.Labels)
	}
}
