package cni

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Cgroups is where the unified hierarchy of control groups is on a node.
const Cgroups = "/sys/fs/cgroup"

// PodCgroup is the folder of a pod's control group (v2), below which its containers' will be: kubelets make it before they have a runtime start the pod. It is
// found by the pod's identity, in the layouts of both of the kubelet's drivers, for all classes of service, and below a --cgroup-root:
//
//	kubepods/burstable/podUID
//	kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice, with underscores for dashes
func PodCgroup(root, uid string) (string, error) {
	if uid == "" || strings.Trim(uid, "0123456789abcdefABCDEF-") != "" {
		return "", fmt.Errorf("%.64q is no identity of a pod", uid)
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		return "", fmt.Errorf("%s is not the unified hierarchy of control groups (v2)", root)
	}
	var found []string
	search(root, "pod"+uid, "-pod"+strings.ReplaceAll(uid, "-", "_")+".slice", maxLayers, &found)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("the pod has no control group below %s (kubelets make none without cgroupsPerQOS)", root)
	}
	return "", fmt.Errorf("the pod has several control groups: %s", strings.Join(found, ", "))
}

// maxLayers is how deep a pod's group may be: below a root of two layers, kubepods and a class.
const maxLayers = 5

// search looks for a pod's group. It does not go into groups of pods: what is in there is made by those, who may call it as they like.
func search(dir, name, slice string, layers int, found *[]string) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, one := range all {
		is := one.Name()
		switch {
		case !one.IsDir():
		case is == name, strings.HasSuffix(is, slice):
			*found = append(*found, filepath.Join(dir, is))
		case strings.HasPrefix(is, "pod"), strings.Contains(is, "-pod"):
		case layers > 1 && (strings.Contains(is, "kube") || is == "burstable" || is == "besteffort"):
			search(filepath.Join(dir, is), name, slice, layers-1, found)
		}
	}
}
