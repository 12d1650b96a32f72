package cni

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A pod's group is found in all layouts that kubelets make, and nowhere else.
func TestPodCgroup(t *testing.T) {
	const uid = "0a1b2c3d-1111-2222-3333-444455556666"
	under := strings.ReplaceAll(uid, "-", "_")
	for name, c := range map[string]struct {
		dirs []string
		want string // of dirs; or a part of the error
	}{
		"guaranteed":                   {[]string{"kubepods/pod" + uid}, ""},
		"burstable":                    {[]string{"kubepods/burstable/pod" + uid, "kubepods/burstable/pod0a1b2c3d-0000"}, ""},
		"best effort":                  {[]string{"kubepods/besteffort/pod" + uid + "/c1"}, ""},
		"guaranteed, systemd":          {[]string{"kubepods.slice/kubepods-pod" + under + ".slice/cri-c1.scope"}, ""},
		"burstable, systemd":           {[]string{"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under + ".slice"}, ""},
		"below a root":                 {[]string{"kubelet/kubepods/burstable/pod" + uid}, ""},
		"below a root, systemd":        {[]string{"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + under + ".slice"}, ""},
		"none":                         {[]string{"kubepods/burstable/pod0a1b2c3d-0000", "system.slice"}, "no control group below"},
		"made by another pod":          {[]string{"kubepods/burstable/pod0a1b2c3d-0000/kubepods/pod" + uid}, "no control group below"},
		"made by another pod, systemd": {[]string{"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0.slice/kubepods-pod" + under + ".slice"}, "no control group below"},
		"several":                      {[]string{"kubepods/burstable/pod" + uid, "kubepods/besteffort/pod" + uid}, "several control groups"},
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, dir := range c.dirs {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		got, err := PodCgroup(root, uid)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %q %v", name, got, err)
			}
			continue
		}
		if base := filepath.Base(got); err != nil || base != "pod"+uid && !strings.HasSuffix(base, "-pod"+under+".slice") || !strings.HasPrefix(filepath.Join(root, c.dirs[0]), got) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := PodCgroup(t.TempDir(), uid); err == nil || !strings.Contains(err.Error(), "is not the unified hierarchy") {
		t.Errorf("another hierarchy: %v", err)
	}
	for _, wrong := range []string{"", "../..", "a/b", "*"} {
		if _, err := PodCgroup("/", wrong); err == nil || !strings.Contains(err.Error(), "no identity") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
