package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// pod is what is read of a Pod, or of the template of one. Names are Kubernetes' own.
type pod struct {
	Metadata struct {
		Name            string            `json:"name"`
		GenerateName    string            `json:"generateName"`
		Namespace       string            `json:"namespace"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		OwnerReferences []struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		HostNetwork        bool              `json:"hostNetwork"`
		OS                 named             `json:"os"`
		NodeSelector       map[string]string `json:"nodeSelector"`
		Containers         []container       `json:"containers"`
		InitContainers     []container       `json:"initContainers"`
		Volumes            []named           `json:"volumes"`
		ImagePullSecrets   []named           `json:"imagePullSecrets"`
		SecurityContext    runsAs            `json:"securityContext"`
		TerminationSeconds *int64            `json:"terminationGracePeriodSeconds"`
	} `json:"spec"`
}

type named struct {
	Name string `json:"name"`
}

type runsAs struct {
	RunAsUser  *int64 `json:"runAsUser"`
	RunAsGroup *int64 `json:"runAsGroup"`
}

// container is what is read of a container.
type container struct {
	Name            string `json:"name"`
	Ports           []port `json:"ports"`
	RestartPolicy   string `json:"restartPolicy"`
	SecurityContext runsAs `json:"securityContext"`
	Liveness        *probe `json:"livenessProbe"`
	Readiness       *probe `json:"readinessProbe"`
	Startup         *probe `json:"startupProbe"`
	Lifecycle       *hooks `json:"lifecycle"`
	raw             object // as it is
}

type port struct {
	Name          string `json:"name,omitempty"`
	HostPort      int32  `json:"hostPort,omitempty"`
	ContainerPort int32  `json:"containerPort,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
	HostIP        string `json:"hostIP,omitempty"`
}

// readPod reads a pod twice: what is looked at, and all of it, to be changed.
func readPod(text []byte) (*pod, object, error) {
	p := &pod{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, nil, fmt.Errorf("is no Pod: %w", err)
	}
	all, err := parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("is no Pod: %w", err)
	}
	tree, is := all.(object)
	if !is {
		return nil, nil, fmt.Errorf("is no Pod: it is no object")
	}
	spec, _ := tree["spec"].(object)
	for key, list := range map[string][]container{"containers": p.Spec.Containers, "initContainers": p.Spec.InitContainers} {
		raw, _ := spec[key].([]any)
		if len(raw) != len(list) { // a name that is written otherwise
			return nil, nil, fmt.Errorf("is no Pod: spec.%s is no list of containers", key)
		}
		for i := range list {
			o, is := raw[i].(object)
			if !is {
				return nil, nil, fmt.Errorf("is no Pod: spec.%s[%d] is no container", key, i)
			}
			list[i].raw = o
		}
	}
	return p, tree, nil
}

// workload is what a pod belongs to, as people know it.
type workload struct{ apiVersion, kind, name string }

// owner finds the workload: a Deployment and not its ReplicaSet, a CronJob and not its Job. of is what it is a template of; nil: it stands for itself.
func (p *pod) owner(of *workload) workload {
	if of != nil {
		return *of
	}
	m := &p.Metadata
	for _, o := range m.OwnerReferences {
		if !o.Controller {
			continue
		}
		w := workload{o.APIVersion, o.Kind, o.Name}
		switch o.Kind {
		case "ReplicaSet":
			if name, is := strings.CutSuffix(o.Name, "-"+m.Labels["pod-template-hash"]); is && name != "" && m.Labels["pod-template-hash"] != "" {
				w.kind, w.name = "Deployment", name
			}
		case "Job": // one that a CronJob made is called by when it was due, in minutes
			if at := strings.LastIndexByte(o.Name, '-'); at > 0 && len(o.Name)-at > 8 && strings.Trim(o.Name[at+1:], "0123456789") == "" {
				w.kind, w.name = "CronJob", o.Name[:at]
			}
		}
		return w
	}
	name := m.Name
	if name == "" {
		name = strings.TrimSuffix(m.GenerateName, "-")
	}
	return workload{"v1", "Pod", name}
}

// apps are the pod's own containers, and those of its init containers that stay.
func (p *pod) apps() []container {
	out := slices.DeleteFunc(slices.Clone(p.Spec.Containers), isOurs)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == "Always" && !isOurs(c) {
			out = append(out, c)
		}
	}
	return out
}

// Names of the containers that are put in, by which Istio's tools find them.
const (
	proxyName = "istio-proxy"
	initName  = "istio-init"
	// validationName is that of the init container that asks whether a CNI plugin has captured. The plugin knows it by this name, too.
	validationName = "istio-validation"
)

func isOurs(c container) bool {
	return c.Name == proxyName || c.Name == initName || c.Name == validationName
}
