package netns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weftmesh/weft/capture"
	"github.com/weftmesh/weft/test/kube"
)

// byPrograms says whether programs capture in the pod.
func (p *pod) byPrograms() (is bool) {
	p.t.Helper()
	p.do(func() error { is = capture.ByPrograms(); return nil })
	return is
}

// A node that captures by programs finds the pod's control group, which its kubelet has made before, in either layout; the pod's istio-validation finds itself captured, and
// when the pod goes nothing of it is left. Pods of which programs cannot do what they want are captured by rules.
func TestCNICapturesByPrograms(t *testing.T) {
	api := kube.Start(t)
	n := newNode(t, api, "1.0.0")
	write(t, filepath.Join(n.networks, "10-first.conflist"), strings.ReplaceAll(list, "VERSION", "1.0.0"))
	groups := filepath.Join(unified(t), fmt.Sprintf("weft-netns-%d-node", os.Getpid()))
	if err := os.Mkdir(groups, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(groups) })
	n.start("--backend", "ebpf", "--short-cuts", "--cgroups", groups)
	runtime, ctx := n.runtime(), t.Context()
	for _, one := range []struct {
		name, of, layout string
		dns, programs    bool
	}{
		{"burstable", "", "kubepods/burstable/podUID/c1", true, true},
		{"systemd", "", "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podSLICE.slice/cri-c1.scope", false, true},
		{"elsewhere", "", "other/podUID/c1", true, false},
		{"interfaces", `, "annotations": {"traffic.sidecar.istio.io/excludeInterfaces": "eth9"}`, "kubepods/podUID/c1", false, false},
	} {
		t.Run(one.name, func(t *testing.T) {
			p := newPod(t)
			meta := map[string]string{}
			if one.dns {
				meta["ISTIO_META_DNS_CAPTURE"] = "true"
			}
			m := n.create(one.name, one.of, "cni: true, dualStack: true", meta)
			at := strings.NewReplacer("UID", m.Metadata.UID, "SLICE", strings.ReplaceAll(m.Metadata.UID, "-", "_")).Replace(one.layout)
			p.place(t, filepath.Join(groups, strings.Split(at, "/")[0]), filepath.Join(groups, at))
			sandbox := n.sandbox(p, "shop", one.name, m.Metadata.UID)
			if code, said := n.validate(p, m); code != 126 {
				t.Fatalf("before: %d %s", code, said)
			}
			for range 2 { // a runtime may call again
				if _, err := runtime.AddNetworkList(ctx, n.network(), sandbox); err != nil {
					t.Fatal(err)
				}
			}
			if code, said := n.validate(p, m); code != 0 {
				t.Errorf("after: %d %s", code, said)
			}
			if got := p.byPrograms(); got != one.programs {
				t.Errorf("by programs: %v", got)
			}
			if err := runtime.CheckNetworkList(ctx, n.network(), sandbox); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			if one.programs {
				p.weft(p.sidecar(false))
				go whence((*pod)(nil).listen(t, ":7001"))
				if own, peer, told := p.program(t, root, p.world+":7001"); told == own || peer != p.world+":7001" {
					t.Errorf("out, as %s to %s: %s", own, peer, told)
				}
				if from, err := came(net.DialTimeout("tcp", fmt.Sprintf("%s:%d", p.ip, application), deadline)); err == nil {
					t.Errorf("in, where nobody of the application listens: %s", from)
				}
			}
			if err := runtime.DelNetworkList(ctx, n.network(), sandbox); err != nil {
				t.Errorf("DEL: %v", err)
			}
			if got := p.byPrograms(); got {
				t.Error("programs are left")
			}
		})
	}
	// One that was started too early, and is mended; and goes without a word: what has captured it goes with the next pod that does.
	p := newPod(t)
	m := n.create("early", "", "cni: true", nil)
	group := filepath.Join(groups, "kubepods/pod"+m.Metadata.UID+"/c1")
	p.place(t, filepath.Join(groups, "kubepods"), group)
	waiting := exec.Command("sleep", "1000")
	waiting.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.cgroup.Fd())}
	p.do(waiting.Start)
	end := func() { waiting.Process.Kill(); waiting.Wait() }
	t.Cleanup(end)
	api.ApplyStatus(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "early", "namespace": "shop"}, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "image": "a:1", "imageID": "", "ready": false, "restartCount": 0,
		"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 126}}}]}}`)
	eventually(t, "one of its attempts finds it captured", func() bool { code, _ := n.validate(p, m); return code == 0 })
	if !p.byPrograms() {
		t.Error("it is mended by other means")
	}
	end()
	for _, at := range []string{group, filepath.Dir(group)} {
		eventually(t, "the group has gone", func() bool { return os.Remove(at) == nil })
	}
	other := n.sandbox(newPod(t), "shop", "another", "")
	eventually(t, "programs of a pod that has gone go", func() bool { // the kernel lets go of a group some time after it was removed
		if err := runtime.DelNetworkList(ctx, n.network(), other); err != nil {
			t.Fatal(err)
		}
		return !p.byPrograms()
	})
}
