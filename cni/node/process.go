package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/cni"
)

// capture does what the plugin would have done, in the network namespace of one of the pod's processes.
func (a *Agent) capture(p *cni.Pod, w *cni.Wanted) (string, error) {
	ns, err := a.namespace(p.Identity())
	if err != nil {
		return "", err
	}
	defer ns.Close()
	return cni.Capture(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), w, cni.Means{Backend: a.o.Backend, ShortCuts: a.o.ShortCuts, Cgroups: a.o.Cgroups, UID: p.Identity()})
}

// namespace is the network namespace of a pod, by one of its processes, which is known by its control group: kubelets put the pod's identity into the group's name,
// with dashes or, under systemd, with underscores. A process may end meanwhile, and another one get its number: so that it is looked at again when the namespace
// is open.
func (a *Agent) namespace(uid string) (*os.File, error) {
	if uid == "" {
		return nil, errors.New("it has no identity")
	}
	all, err := os.ReadDir(a.o.Proc)
	if err != nil {
		return nil, err
	}
	names := []string{"pod" + uid, "pod" + strings.ReplaceAll(uid, "-", "_")}
	of := func(process string) bool {
		text, err := os.ReadFile(filepath.Join(a.o.Proc, process, "cgroup"))
		if err != nil {
			return false
		}
		for part := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '/' || r == '\n' }) {
			part = strings.TrimSuffix(part, ".slice")
			for _, name := range names {
				if part == name || strings.HasSuffix(part, "-"+name) {
					return true
				}
			}
		}
		return false
	}
	for _, one := range all {
		if _, err := strconv.Atoi(one.Name()); err != nil || !of(one.Name()) {
			continue
		}
		ns, err := os.Open(filepath.Join(a.o.Proc, one.Name(), "ns", "net"))
		if err != nil {
			continue // it has ended, or the next one says the same
		}
		if of(one.Name()) {
			return ns, nil
		}
		ns.Close()
	}
	return nil, fmt.Errorf("none of its processes is seen in %s: the agent wants hostPID, and the capability SYS_PTRACE", a.o.Proc)
}
