package cni

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/weftmesh/weft/capture"
	"golang.org/x/sys/unix"
)

// errSettings is what is wrong with what a pod says.
var errSettings = errors.New("what is to be captured")

// Means are those by which a node captures.
type Means struct {
	Backend   string // one of capture's; empty: auto
	ShortCuts bool   // with programs (ebpf): sidecars of the node have short cuts to each other, and their applications to them
	Cgroups   string // where the node's control groups are, for programs; empty: Cgroups
	UID       string // the pod's identity, as its kubelet has it, for programs
}

// Capture has the traffic of a network namespace captured, as a pod wants it, and says by which means. What is captured so already stays as it is. Where programs
// are asked for and cannot do it, rules do, and it says why.
func Capture(path string, w *Wanted, m Means) (string, error) {
	return within(path, func() (string, error) {
		o, err := w.options(m)
		if err != nil {
			return "", err
		}
		without := ""
		if o.Backend == capture.BackendEBPF {
			if o.Cgroup, err = PodCgroup(cmp.Or(m.Cgroups, Cgroups), m.UID); err != nil {
				without, o.Backend = fmt.Sprintf(" (not by ebpf: %v)", err), capture.BackendAuto
			}
		}
		why, err := capture.Apply(o)
		if errors.Is(err, capture.ErrPrograms) {
			without, o.Backend = fmt.Sprintf(" (not by ebpf: %v)", err), capture.BackendAuto
			why, err = capture.Apply(o)
		}
		why += without
		if err != nil {
			return "", fmt.Errorf("its traffic is not captured, so that it is not started: %w", err)
		}
		why = "is captured by " + why
		for _, w := range o.Warnings {
			why += "; warning: " + w
		}
		return why, nil
	})
}

// Check says what is not captured in a network namespace, as a pod wants it.
func Check(path string, w *Wanted, m Means) (string, error) {
	return within(path, func() (string, error) {
		o, err := w.options(m)
		if err != nil {
			return "", err
		}
		programs := o.Backend == capture.BackendEBPF && capture.ByPrograms()
		if o.Backend == capture.BackendEBPF && !programs { // rules have carried on
			o.Backend = capture.BackendAuto
		}
		r, err := capture.Check(o)
		if programs {
			r.Held = "" // whether the proxy listens is not for capture to say
		}
		if err == nil && !r.OK() {
			err = fmt.Errorf("its traffic is not captured as it should be: %+v", r.Difference)
		}
		return "is captured as it should be", err
	})
}

// options are what is captured and by which means. Of what a pod's arguments say only the settings count: neither the namespace, nor the program, nor
// that nothing is to be done is for a pod to say to a node.
func (w *Wanted) options(m Means) (capture.Options, error) {
	h, err := capture.ThisHost()
	if err != nil {
		return capture.Options{}, err
	}
	h.Env = func(name string) (string, bool) { v, is := w.Env[name]; return v, is }
	h.Resolvers = nil                                                                               // the node's: a pod's are not known here
	said, err := capture.Parse(append(slices.Clip(w.Args), "--capture-all-dns"), h, io.Discard, "") // as Istio's plugin does
	if err != nil {
		return capture.Options{}, fmt.Errorf("%w is not good in the container %s: %w", errSettings, ValidationName, err)
	}
	o := capture.Options{Settings: said.Settings, Warnings: said.Warnings, Backend: cmp.Or(m.Backend, capture.BackendAuto), ShortCuts: m.ShortCuts, OwnLock: true}
	o.AllDNS = o.DNS
	return o, nil
}

// within has something done in another network namespace than this program's, on a goroutine that stays there and ends.
func within(path string, do func() (string, error)) (string, error) {
	type result struct {
		why string
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if r.err = elsewhere(path); r.err == nil {
			if r.err = capture.Enter(path); r.err == nil {
				r.why, r.err = do()
			}
		}
		done <- r
	}()
	r := <-done
	return r.why, r.err
}

// elsewhere refuses the node's own namespace: rules in it would take the node's traffic.
func elsewhere(path string) error {
	var own, other unix.Stat_t
	if err := unix.Stat(path, &other); err != nil {
		return fmt.Errorf("its network namespace %s: %w", path, err)
	}
	for _, of := range []string{"/proc/self/ns/net", "/proc/1/ns/net"} {
		if err := unix.Stat(of, &own); err != nil {
			if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
				continue
			}
			return err
		}
		if own.Dev == other.Dev && own.Ino == other.Ino {
			return fmt.Errorf("its network namespace %s is this program's own or the node's: a pod on its node's network cannot be captured", path)
		}
	}
	return nil
}
