package cni

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What injection puts into pods, by its names, which are Istio's.
const (
	annotationStatus = "sidecar.istio.io/status"
	proxyName        = "istio-proxy"
	initName         = "istio-init"
	// ValidationName is that of the container that ends with 126 if nothing was captured. What is to be captured is in its arguments.
	ValidationName = "istio-validation"
	program        = "istio-iptables"
)

// Pod is what is read of one.
type Pod struct {
	Metadata struct {
		Namespace   string            `json:"namespace"`
		Name        string            `json:"name"`
		UID         string            `json:"uid"`
		Version     string            `json:"resourceVersion"`
		Annotations map[string]string `json:"annotations"`
		Labels      map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		HostNetwork    bool        `json:"hostNetwork"`
		NodeName       string      `json:"nodeName"`
		InitContainers []container `json:"initContainers"`
		Containers     []container `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase          string `json:"phase"`
		InitContainers []struct {
			Name     string `json:"name"`
			Restarts int    `json:"restartCount"`
			State    ended  `json:"state"`
			Last     ended  `json:"lastState"`
		} `json:"initContainerStatuses"`
	} `json:"status"`
}

type container struct {
	Name string   `json:"name"`
	Args []string `json:"args"`
	Env  []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// ended is a container's state, as far as it has ended.
type ended struct {
	Terminated *struct {
		ExitCode int `json:"exitCode"`
	} `json:"terminated"`
}

// Identity is the pod's, as its kubelet has it: of a pod of the node's own file, that of the file.
func (p *Pod) Identity() string { return cmp.Or(p.Metadata.Annotations[staticPod], p.Metadata.UID) }

// Wanted is what a pod wants to be captured: a command line of istio-iptables, and the variables that complete it.
type Wanted struct {
	Args []string
	Env  map[string]string
}

// Wanted is what the pod wants; or nil, and why there is nothing to do. Injection writes it into the arguments of istio-validation, as it writes it into those of
// istio-init where there is no plugin: Istio's own injection does the same.
func (p *Pod) Wanted() (w *Wanted, not string, err error) {
	named := func(list []container, name string) *container {
		if i := slices.IndexFunc(list, func(c container) bool { return c.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	proxy := named(p.Spec.Containers, proxyName)
	if proxy == nil {
		proxy = named(p.Spec.InitContainers, proxyName)
	}
	_, injected := p.Metadata.Annotations[annotationStatus]
	validation := named(p.Spec.InitContainers, ValidationName)
	switch {
	case p.Spec.HostNetwork:
		return nil, "it is on its node's network", nil
	case !injected || proxy == nil:
		return nil, "no sidecar was put into it", nil
	case named(p.Spec.InitContainers, initName) != nil:
		return nil, "its container " + initName + " captures", nil
	case validation == nil:
		return nil, "it has no container " + ValidationName + " that says what is to be captured", nil
	}
	at := slices.Index(validation.Args, program)
	if at < 0 {
		return nil, "", fmt.Errorf("the arguments of its container %s are not those of %s: let the pod be injected anew", ValidationName, program)
	}
	w = &Wanted{Args: validation.Args[at+1:], Env: map[string]string{}}
	for _, c := range []*container{validation, proxy} { // what the proxy is told counts: it is what answers
		for _, e := range c.Env {
			if e.Value != "" {
				w.Env[e.Name] = e.Value
			}
		}
	}
	return w, "", w.check()
}

// check says what a pod may not want of a node. Names are looked up where a program runs, and the pod's own are not there.
func (w *Wanted) check() error {
	var errs []error
	for _, name := range []string{"ISTIO_OUTBOUND_OWNER_GROUPS", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"} {
		for one := range strings.FieldsFuncSeq(w.Env[name], func(r rune) bool { return r == ',' || r == ' ' }) {
			if _, err := strconv.ParseUint(one, 10, 32); err != nil && one != "*" {
				errs = append(errs, fmt.Errorf("%s: %.64q: want a group's number, since its name means something in the pod's image alone", name, one))
			}
		}
	}
	return errors.Join(errs...)
}

// Uncaptured says that the pod's container istio-validation has ended because nothing was captured, and how often it was started before.
func (p *Pod) Uncaptured() (attempt int, is bool) {
	for _, c := range p.Status.InitContainers {
		if c.Name != ValidationName {
			continue
		}
		for _, e := range []ended{c.State, c.Last} {
			if e.Terminated != nil {
				return c.Restarts, e.Terminated.ExitCode == validationFailed && p.Status.Phase == "Pending"
			}
		}
	}
	return 0, false
}

// validationFailed is the exit code of istio-validation by which it says so.
const validationFailed = 126
