package source

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

func (c *checker) sidecar(s *networking.Sidecar) {
	c.selector("workloadSelector.labels", s.WorkloadSelector != nil, s.WorkloadSelector.GetLabels())
	if len(s.Egress) == 0 && len(s.Ingress) == 0 && s.OutboundTrafficPolicy == nil && s.InboundConnectionPool == nil {
		c.bad("", "sidecar: empty configuration provided")
	}
	ports := map[uint32]bool{}
	each(c, "ingress", s.Ingress, func(_ int, l *networking.IstioIngressListener) {
		if l.Port == nil {
			c.bad("port", "port is required for ingress listeners")
			return
		}
		c.sidecarPort(l.Port)
		c.fault("port.number", port(l.Port.Number))
		if l.Bind != "" {
			c.fault("bind", address(l.Bind))
		}
		if ports[l.Port.Number] {
			c.bad("port.number", "ports on IP bound listeners must be unique")
		}
		ports[l.Port.Number] = true
		c.defaultEndpoint(l.DefaultEndpoint)
		c.ingressTLS(l)
		c.connectionPool("connectionPool", l.ConnectionPool)
		if l.ConnectionPool.GetHttp() != nil && !isHTTP(l.Port.Protocol) {
			c.warn("connectionPool.http", "the protocol is not HTTP (%s); only TCP settings will apply", short(l.Port.Protocol))
		}
	})
	c.connectionPool("inboundConnectionPool", s.InboundConnectionPool)
	c.egress(s)
	if p := s.OutboundTrafficPolicy; p != nil {
		c.at("outboundTrafficPolicy")
		switch {
		case p.Mode != networking.OutboundTrafficPolicy_ALLOW_ANY && p.Mode != networking.OutboundTrafficPolicy_REGISTRY_ONLY:
			c.bad("mode", "is ALLOW_ANY or REGISTRY_ONLY in a Sidecar")
		case p.EgressProxy != nil && p.Mode != networking.OutboundTrafficPolicy_ALLOW_ANY:
			c.bad("egressProxy", "must be set only with ALLOW_ANY mode")
		case p.EgressProxy != nil:
			c.at("egressProxy")
			if c.fault("host", fqdn(p.EgressProxy.Host)); p.EgressProxy.Port == nil {
				c.bad("port", "port is required")
			}
			c.destination(p.EgressProxy)
			c.up()
		}
		c.up()
	}
}

func (c *checker) sidecarPort(p *networking.SidecarPort) {
	if p.Name != "" {
		c.fault("port.name", portName(p.Name))
	}
	c.fault("port.protocol", protocol(p.Protocol))
	if p.TargetPort > 0 { //nolint:staticcheck // people still write it
		c.bad("port.targetPort", "targetPort has no impact on Sidecars")
	}
}

// defaultEndpoint checks where the application listens.
func (c *checker) defaultEndpoint(e string) {
	if e == "" {
		return
	}
	if socket, is := strings.CutPrefix(e, unix); is {
		c.fault("defaultEndpoint", unixPath(socket))
		return
	}
	i := strings.LastIndexByte(e, ':')
	if i < 0 || !slices.Contains([]string{"", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"}, e[:i]) {
		c.bad("defaultEndpoint", "must be of form 127.0.0.1:<port>, 0.0.0.0:<port>, [::1]:<port>, [::]:<port>, unix://<path> or unset")
		return
	}
	c.fault("defaultEndpoint", portText(e[i+1:]))
}

func (c *checker) ingressTLS(l *networking.IstioIngressListener) {
	t := l.Tls
	if t == nil {
		return
	}
	for _, other := range []struct {
		field string
		set   bool
	}{{"subjectAltNames", len(t.SubjectAltNames) > 0}, {"httpsRedirect", t.HttpsRedirect}, {"credentialName", t.CredentialName != ""},
		{"credentialNames", len(t.CredentialNames) > 0}, {"tlsCertificates", len(t.TlsCertificates) > 0}} {
		if other.set {
			c.bad("tls."+other.field, "is not supported in ingress tls")
		}
	}
	if t.Mode == networking.ServerTLSSettings_ISTIO_MUTUAL || t.Mode == networking.ServerTLSSettings_AUTO_PASSTHROUGH {
		c.bad("tls.mode", "cannot set mode to %v in sidecar ingress tls", t.Mode)
	}
	if !isTLS(l.Port.Protocol) {
		c.bad("tls", "server cannot have TLS settings for non HTTPS/TLS ports")
	}
	c.serverTLS(t)
}

func (c *checker) egress(s *networking.Sidecar) {
	ports, sockets := map[uint32]bool{}, map[string]bool{}
	each(c, "egress", s.Egress, func(i int, l *networking.IstioEgressListener) {
		if l.Port == nil {
			if i != len(s.Egress)-1 {
				c.bad("port", "the egress listener with empty port should be the last listener in the list")
			}
		} else {
			c.sidecarPort(l.Port)
			socket, isSocket := strings.CutPrefix(l.Bind, unix)
			switch {
			case l.Port.Number != 0:
				c.fault("port.number", port(l.Port.Number))
				if l.Bind != "" {
					c.fault("bind", address(l.Bind))
				}
				if ports[l.Port.Number] {
					c.bad("port.number", "ports on IP bound listeners must be unique")
				}
				ports[l.Port.Number] = true
			case !isSocket:
				c.bad("bind", "ports with 0 value must have a unix domain socket bind address")
			default:
				c.fault("bind", unixPath(socket))
				if l.CaptureMode != networking.CaptureMode_DEFAULT && l.CaptureMode != networking.CaptureMode_NONE {
					c.bad("captureMode", "must be DEFAULT/NONE for unix domain socket listeners")
				}
				if sockets[l.Bind] {
					c.bad("bind", "unix domain socket values for listeners must be unique")
				}
				sockets[l.Bind] = true
			}
		}
		if len(l.Hosts) == 0 {
			c.bad("hosts", "egress listener must contain at least one host")
		}
		seen := map[string]bool{}
		each(c, "hosts", l.Hosts, func(_ int, h string) {
			c.fault("", scopedHost(h, false))
			if rest, is := strings.CutPrefix(h, "./"); is {
				h = c.object.Namespace + "/" + rest
			}
			if namespace, _, _ := strings.Cut(h, "/"); seen[h] || seen[namespace+"/*"] {
				c.warn("", "duplicated egress host: %s", short(h))
			}
			seen[h] = true
		})
		if seen["*/*"] && len(l.Hosts) > 1 {
			c.warn("hosts", "`*/*` host select all resources, no other hosts can be added")
		}
	})
}
