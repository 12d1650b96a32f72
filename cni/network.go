package cni

import (
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

// Capture has the traffic of a network namespace captured, as a pod wants it, and says by which means. What is captured so already stays as it is. backend is
// one of capture's, or empty.
func Capture(path string, w *Wanted, backend string) (string, error) {
	return within(path, func() (string, error) {
		o, err := w.options(backend)
		if err != nil {
			return "", err
		}
		why, err := capture.Apply(o)
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
func Check(path string, w *Wanted, backend string) (string, error) {
	return within(path, func() (string, error) {
		o, err := w.options(backend)
		if err != nil {
			return "", err
		}
		r, err := capture.Check(o)
		if err == nil && !r.OK() {
			err = fmt.Errorf("its traffic is not captured as it should be: %+v", r.Difference)
		}
		return "is captured as it should be", err
	})
}

// options are what is captured and by which means. Of what a pod's arguments say only the settings count: neither the namespace, nor the program, nor
// that nothing is to be done is for a pod to say to a node.
func (w *Wanted) options(backend string) (capture.Options, error) {
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
	o := capture.Options{Settings: said.Settings, Warnings: said.Warnings, Backend: backend, OwnLock: true}
	if backend == "" {
		o.Backend = capture.BackendAuto
	}
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
