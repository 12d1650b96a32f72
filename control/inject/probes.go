package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// A kubelet has no certificate of the mesh, so that a probe of its own would be refused by a workload that wants one. It asks the agent instead, which asks
// the application: by paths that have the container's name and the kind of the probe.

// probe is what is read of a probe or of a hook.
type probe struct {
	HTTPGet        object          `json:"httpGet"`
	TCPSocket      object          `json:"tcpSocket"`
	GRPC           object          `json:"grpc"`
	TimeoutSeconds json.RawMessage `json:"timeoutSeconds"`
}

type hooks struct {
	PostStart *probe `json:"postStart"`
	PreStop   *probe `json:"preStop"`
}

// asked is what the agent does for a path, in its own form.
type asked struct {
	HTTPGet        object          `json:"httpGet,omitempty"`
	TCPSocket      object          `json:"tcpSocket,omitempty"`
	GRPC           object          `json:"grpc,omitempty"`
	TimeoutSeconds json.RawMessage `json:"timeoutSeconds,omitempty"`
}

// rewriteProbes has probes and hooks of the pod's containers go to the agent, and says what the agent is to do for them: JSON by path; empty: nothing.
func (b *build) rewriteProbes(p *pod) string {
	all := map[string]asked{}
	for _, c := range p.apps() {
		for _, one := range []struct {
			key, path string
			*probe
		}{{"livenessProbe", "livez", c.Liveness}, {"readinessProbe", "readyz", c.Readiness}, {"startupProbe", "startupz", c.Startup}} {
			raw, is := c.raw[one.key].(object)
			if !is || one.probe == nil {
				continue
			}
			path := fmt.Sprintf("/app-health/%s/%s", c.Name, one.path)
			if a, is := b.redirect(c, one.key, one.probe); is {
				all[path] = a
				c.raw[one.key] = b.toAgent(raw, path)
			}
		}
		lifecycle, is := c.raw["lifecycle"].(object)
		if !is || c.Lifecycle == nil {
			continue
		}
		for _, one := range []struct {
			key, path string
			*probe
		}{{"postStart", "poststartz", c.Lifecycle.PostStart}, {"preStop", "prestopz", c.Lifecycle.PreStop}} {
			raw, is := lifecycle[one.key].(object)
			if !is || one.probe == nil || one.HTTPGet == nil {
				continue
			}
			path := fmt.Sprintf("/app-lifecycle/%s/%s", c.Name, one.path)
			if a, is := b.redirect(c, "lifecycle."+one.key, one.probe); is {
				all[path] = a
				lifecycle[one.key] = b.toAgent(raw, path)
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic("inject: " + err.Error()) // it was read from JSON
	}
	return string(text)
}

// redirect says what the agent is to do instead of a kubelet; false: the probe stays as it is.
func (b *build) redirect(c container, key string, p *probe) (a asked, is bool) {
	a.TimeoutSeconds = p.TimeoutSeconds
	var what object
	switch {
	case p.HTTPGet != nil:
		what = maps.Clone(p.HTTPGet)
		a.HTTPGet = what
	case p.TCPSocket != nil:
		what = maps.Clone(p.TCPSocket)
		a.TCPSocket = what
	case p.GRPC != nil:
		a.GRPC = p.GRPC
		return a, true
	default:
		return a, false
	}
	if host, _ := what["host"].(string); host != "" && host != "localhost" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
			b.warn("container %s: %s asks %q, and not the pod: it is left as it is", c.Name, key, host)
			return a, false
		}
	}
	name, named := what["port"].(string)
	if !named {
		if n, is := what["port"].(float64); is && n == float64(b.statusPort) { // it asks the agent already, who would ask himself
			b.warn("container %s: %s is of the agent's port %d: it is left as it is", c.Name, key, b.statusPort)
			return a, false
		}
		return a, true
	}
	at := slices.IndexFunc(c.Ports, func(p port) bool { return p.Name == name })
	if at < 0 {
		b.warn("container %s: %s is of the port %q, which the container does not have: it is left as it is", c.Name, key, name)
		return a, false
	}
	what["port"] = c.Ports[at].ContainerPort
	return a, true
}

// toAgent is a probe that asks the agent. Headers stay, which the agent passes on.
func (b *build) toAgent(p object, path string) object {
	p = maps.Clone(p)
	get := object{"path": path, "port": b.statusPort}
	if was, is := p["httpGet"].(object); is && was["httpHeaders"] != nil {
		get["httpHeaders"] = was["httpHeaders"]
	}
	delete(p, "tcpSocket")
	delete(p, "grpc")
	p["httpGet"] = get
	return p
}
