package mesh

import (
	security "istio.io/api/security/v1beta1"

	"github.com/weftmesh/weft/control/source"
)

// Mode is what a workload takes of those who connect to it.
type Mode uint8

// The modes.
const (
	Permissive Mode = iota // mTLS and plain text
	Disable                // plain text
	Strict                 // mTLS
)

// PeerModes are those of a workload.
type PeerModes struct {
	Usual Mode
	Ports map[uint32]Mode // of ports that are otherwise, by the number at the workload
}

// At is the mode of a port.
func (p *PeerModes) At(port uint32) Mode {
	if m, ok := p.Ports[port]; ok {
		return m
	}
	return p.Usual
}

// Peers are the PeerAuthentications.
type Peers struct {
	settings *Settings
	objects  *Objects
}

// Disables tells whether any of them has workloads take plain text only.
func (x *Peers) Disables() bool {
	for _, space := range x.objects.spaces {
		for _, o := range space {
			spec := o.Spec.(*security.PeerAuthentication)
			if spec.GetMtls().GetMode() == security.PeerAuthentication_MutualTLS_DISABLE {
				return true
			}
			for _, m := range spec.GetPortLevelMtls() {
				if m.GetMode() == security.PeerAuthentication_MutualTLS_DISABLE {
					return true
				}
			}
		}
	}
	return false
}

// For finds the modes of a workload: that of the root namespace, which its own namespace overrides, which one for its labels overrides. Of several
// the oldest counts.
func (x *Peers) For(namespace string, labels map[string]string) *PeerModes {
	p := &PeerModes{}
	everyone := func(namespace string) {
		for _, o := range x.objects.In(namespace) {
			if spec := o.Spec.(*security.PeerAuthentication); len(spec.GetSelector().GetMatchLabels()) == 0 {
				p.Usual = modeOf(spec.GetMtls(), p.Usual)
				return
			}
		}
	}
	everyone(x.settings.RootNamespace)
	if namespace == x.settings.RootNamespace {
		return p
	}
	everyone(namespace)
	for _, o := range x.objects.In(namespace) {
		spec := o.Spec.(*security.PeerAuthentication)
		if selector := spec.GetSelector().GetMatchLabels(); len(selector) == 0 || !matches(selector, labels) {
			continue
		}
		p.Usual = modeOf(spec.GetMtls(), p.Usual)
		for port, m := range spec.GetPortLevelMtls() {
			if p.Ports == nil {
				p.Ports = map[uint32]Mode{}
			}
			p.Ports[port] = modeOf(m, p.Usual)
		}
		break
	}
	return p
}

func modeOf(m *security.PeerAuthentication_MutualTLS, inherited Mode) Mode {
	switch m.GetMode() {
	case security.PeerAuthentication_MutualTLS_DISABLE:
		return Disable
	case security.PeerAuthentication_MutualTLS_PERMISSIVE:
		return Permissive
	case security.PeerAuthentication_MutualTLS_STRICT:
		return Strict
	}
	return inherited
}

// Selects tells whether a selector of an object that holds for its namespace, or everywhere if it is of the root, is for a workload.
func (s *Settings) Selects(o *source.Object, selector map[string]string, namespace string, labels map[string]string) bool {
	return (o.Namespace == namespace || o.Namespace == s.RootNamespace) && matches(selector, labels)
}
