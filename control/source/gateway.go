package source

import (
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

func (c *checker) gateway(g *networking.Gateway) {
	if !isLabel(c.object.Name) {
		c.steps = c.steps[:0]
		c.bad("metadata.name", "invalid gateway name: %q: no dots, at most 63 letters", short(c.object.Name))
		c.at("spec")
	}
	if len(g.Servers) == 0 {
		c.bad("servers", "gateway must have at least one server")
	}
	names := map[string]bool{}
	each(c, "servers", g.Servers, func(_ int, s *networking.Server) {
		c.server(s)
		if s.Port == nil {
			return
		}
		if names[s.Port.Name] {
			c.bad("port.name", "port names in servers must be unique: duplicate name %s", short(s.Port.Name))
		}
		names[s.Port.Name] = true
		if s.Tls.GetHttpsRedirect() && !isHTTP(s.Port.Protocol) {
			c.warn("tls.httpsRedirect", "should only be used with http servers")
		}
	})
	c.labels("selector", g.Selector)
}

func (c *checker) server(s *networking.Server) {
	if len(s.Hosts) == 0 {
		c.bad("hosts", "server config must contain at least one host")
	}
	each(c, "hosts", s.Hosts, func(_ int, h string) { c.fault("", scopedHost(h, true)) })
	if s.DefaultEndpoint != "" {
		c.warn("defaultEndpoint", "has no impact: nothing reads it")
	}
	socket, isSocket := strings.CutPrefix(s.Bind, unix)
	switch {
	case isSocket:
		c.fault("bind", unixPath(socket))
	case s.Bind != "":
		c.fault("bind", address(s.Bind))
	}
	p := s.Port
	if p == nil {
		c.bad("port", "port is required")
		return
	}
	switch {
	case isSocket && p.Number != 0:
		c.bad("port.number", "port number must be 0 for unix domain socket")
	case !isSocket:
		c.fault("port.number", port(p.Number))
	}
	if p.Protocol == "" {
		c.bad("port.protocol", "port must have a protocol: HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, REDIS, MYSQL, TCP, TLS")
	} else {
		c.fault("port.protocol", protocol(p.Protocol))
	}
	if p.TargetPort > 0 { //nolint:staticcheck // people still write it
		c.bad("port.targetPort", "targetPort has no impact on Gateways")
	}
	if p.Name == "" {
		c.bad("port.name", "port name must be set")
	}
	c.serverTLS(s.Tls)
	t := s.Tls
	switch tls := isTLS(p.Protocol); {
	case tls && t == nil:
		c.bad("tls", "server must have TLS settings for HTTPS/TLS protocols")
	case tls || t == nil:
	case !isHTTP(p.Protocol):
		c.bad("tls", "server cannot have TLS settings for non HTTPS/TLS ports")
	case t.Mode != networking.ServerTLSSettings_PASSTHROUGH && t.Mode != networking.ServerTLSSettings_AUTO_PASSTHROUGH,
		t.CaCertificates != "" || t.PrivateKey != "" || t.ServerCertificate != "":
		// A redirect is all that there may be.
		c.bad("tls", "server cannot have TLS settings for plain text HTTP ports")
	}
}

// ciphers are what a gateway can be told to use.
var ciphers = []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA",
	"ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"}

// serverTLS checks how downstreams speak to us.
func (c *checker) serverTLS(t *networking.ServerTLSSettings) {
	if t == nil {
		return
	}
	c.at("tls")
	defer c.up()
	if (t.MinProtocolVersion == networking.ServerTLSSettings_TLSV1_0 || t.MinProtocolVersion == networking.ServerTLSSettings_TLSV1_1) && len(t.CipherSuites) == 0 {
		c.warn("minProtocolVersion", "TLS version below TLSV1_2 require setting compatible ciphers as by default they no longer include compatible ciphers")
	}
	if t.MaxProtocolVersion != networking.ServerTLSSettings_TLS_AUTO && t.MinProtocolVersion > t.MaxProtocolVersion {
		c.bad("maxProtocolVersion", "is below minProtocolVersion")
	}
	seen := map[string]bool{}
	each(c, "cipherSuites", t.CipherSuites, func(_ int, s string) {
		switch {
		case seen[s]:
			c.warn("", "duplicate cipher suite %s is ignored", short(s))
		case s == "" || s == "ALL" || !alphanumeric(s[0]): // an expression
		case !slices.Contains(ciphers, s):
			c.warn("", "invalid cipher suite %s is ignored", short(s))
		}
		seen[s] = true
	})
	certificate := t.ServerCertificate != "" || t.PrivateKey != ""
	switch t.Mode {
	case networking.ServerTLSSettings_ISTIO_MUTUAL:
		for _, other := range []struct {
			field string
			set   bool
		}{{"serverCertificate", t.ServerCertificate != ""}, {"privateKey", t.PrivateKey != ""}, {"caCertificates", t.CaCertificates != ""},
			{"tlsCertificates", len(t.TlsCertificates) > 0}, {"credentialName", t.CredentialName != ""}, {"credentialNames", len(t.CredentialNames) > 0}} {
			if other.set {
				c.bad(other.field, "ISTIO_MUTUAL TLS cannot have associated %s", other.field)
			}
		}
		return
	case networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		if t.CaCrl != "" || certificate || t.CaCertificates != "" || len(t.TlsCertificates) > 0 || t.CredentialName != "" || len(t.CredentialNames) > 0 {
			c.warn("mode", "%v mode does not use certificates, they will be ignored", t.Mode)
		}
	}
	if oneOf(t.ServerCertificate != "" && t.PrivateKey != "", t.CredentialName != "", len(t.CredentialNames) > 0, len(t.TlsCertificates) > 0) > 1 {
		c.bad("", "only one of credentialName, credentialNames, serverCertificate/privateKey, tlsCertificates should be specified")
	}
	if t.CaCrl != "" {
		if t.CredentialName != "" || len(t.CredentialNames) > 0 {
			c.bad("caCrl", "CRL is not supported with credentialName. CRL has to be specified in the credential")
		}
		if t.Mode == networking.ServerTLSSettings_SIMPLE {
			c.bad("caCrl", "CRL is not supported with SIMPLE TLS")
		}
	}
	mutual := t.Mode == networking.ServerTLSSettings_MUTUAL || t.Mode == networking.ServerTLSSettings_OPTIONAL_MUTUAL
	if t.Mode != networking.ServerTLSSettings_SIMPLE && !mutual || t.CredentialName != "" || len(t.CredentialNames) > 0 {
		return
	}
	if mutual && t.CaCertificates == "" && t.CaCertCredentialName == "" {
		c.bad("caCertificates", "MUTUAL TLS requires a client CA bundle")
	}
	both := func(certificate, key string) {
		if certificate == "" {
			c.bad("serverCertificate", "%v TLS requires a server certificate", t.Mode)
		}
		if key == "" {
			c.bad("privateKey", "%v TLS requires a private key", t.Mode)
		}
	}
	if len(t.TlsCertificates) == 0 {
		both(t.ServerCertificate, t.PrivateKey)
	}
	if len(t.TlsCertificates) > 2 {
		c.warn("tlsCertificates", "%v TLS can support up to 2 server certificates", t.Mode)
	}
	each(c, "tlsCertificates", t.TlsCertificates, func(_ int, one *networking.ServerTLSSettings_TLSCertificate) {
		both(one.ServerCertificate, one.PrivateKey)
	})
}

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
				c.bad("port", "port must be non-nil")
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

func (c *checker) serviceEntry(e *networking.ServiceEntry) {
	c.selector("workloadSelector.labels", e.WorkloadSelector != nil, e.WorkloadSelector.GetLabels())
	if e.WorkloadSelector != nil && len(e.Endpoints) > 0 {
		c.bad("endpoints", "only one of workloadSelector or endpoints is allowed in Service Entry")
	}
	if len(e.Hosts) == 0 {
		c.bad("hosts", "service entry must have at least one host")
	}
	dynamic := e.Resolution == networking.ServiceEntry_DYNAMIC_DNS
	each(c, "hosts", e.Hosts, func(_ int, h string) {
		if h == "*" {
			c.bad("", "invalid host *")
			return
		}
		c.fault("", wildcardDomain(h))
		if err := partialWildcard(h); err != nil && !dynamic {
			c.warn("", "%v", err)
		}
		if dynamic && !strings.HasPrefix(h, "*") {
			c.bad("", "host must be wildcarded for resolution mode DYNAMIC_DNS")
		}
	})
	static := e.Resolution == networking.ServiceEntry_NONE || e.Resolution == networking.ServiceEntry_STATIC
	each(c, "addresses", e.Addresses, func(_ int, a string) {
		if c.fault("", subnet(a)); strings.Contains(a, "/") && !static {
			c.bad("", "CIDR addresses are allowed only for NONE/STATIC resolution types")
		}
	})
	numbers, names := map[uint32]bool{}, map[string]bool{}
	each(c, "ports", e.Ports, func(_ int, p *networking.ServicePort) {
		if names[p.Name] {
			c.bad("name", "service entry port name %q already defined", short(p.Name))
		}
		if numbers[p.Number] {
			c.bad("number", "service entry port %d already defined", p.Number)
		}
		numbers[p.Number], names[p.Name] = true, true
		c.fault("name", portName(p.Name))
		c.fault("protocol", protocol(p.Protocol))
		c.fault("number", port(p.Number))
		if p.TargetPort != 0 {
			c.fault("targetPort", port(p.TargetPort))
		}
		// A name alone does not tell connections apart that say none.
		if len(e.Hosts) > 1 && e.Resolution != networking.ServiceEntry_NONE && !isHTTP(p.Protocol) && !isTLS(p.Protocol) {
			c.bad("protocol", "multiple hosts provided with non-HTTP, non-TLS ports")
		}
		if dynamic && !slices.Contains([]string{"http", "tls", "grpc", "http2"}, strings.ToLower(p.Protocol)) {
			c.bad("protocol", "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for resolution type DYNAMIC_DNS")
		}
	})
	c.resolution(e, names)
	c.exportTo(e.ExportTo, true)
}

// resolution checks endpoints against how they are found.
func (c *checker) resolution(e *networking.ServiceEntry, ports map[string]bool) {
	if _, known := networking.ServiceEntry_Resolution_name[int32(e.Resolution)]; !known {
		c.bad("resolution", "unsupported resolution type %v", e.Resolution)
	}
	switch e.Resolution {
	case networking.ServiceEntry_NONE:
		if len(e.Endpoints) > 0 {
			c.bad("endpoints", "no endpoints should be provided for resolution type none")
		}
		if e.WorkloadSelector != nil {
			c.warn("workloadSelector", "should not be set when resolution mode is NONE")
		}
	case networking.ServiceEntry_STATIC:
		each(c, "endpoints", e.Endpoints, func(_ int, w *networking.WorkloadEntry) { c.workloadEntry(w, ports, false) })
	case networking.ServiceEntry_DNS, networking.ServiceEntry_DNS_ROUND_ROBIN:
		if len(e.Endpoints) == 0 {
			each(c, "hosts", e.Hosts, func(_ int, h string) {
				if fqdn(h) != nil {
					c.bad("", "hosts must be FQDN if no endpoints are provided for resolution mode %v", e.Resolution)
				}
			})
		}
		if e.Resolution == networking.ServiceEntry_DNS_ROUND_ROBIN && len(e.Endpoints) > 1 {
			c.bad("endpoints", "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN")
		}
		each(c, "endpoints", e.Endpoints, func(_ int, w *networking.WorkloadEntry) {
			if !isAddress(w.Address) && fqdn(w.Address) != nil {
				c.bad("address", "endpoint address %q is not a valid FQDN or an IP address", short(w.Address))
			}
			c.labels("labels", w.Labels)
			c.endpointPorts(w.Ports, ports)
		})
		if len(e.Addresses) > 0 && len(e.Hosts) > 1 && slices.ContainsFunc(e.Ports, func(p *networking.ServicePort) bool { return isTCP(p.Protocol) }) {
			c.warn("hosts", "service entry can not have more than one host specified simultaneously with address and tcp port")
		}
	case networking.ServiceEntry_DYNAMIC_DNS:
		if len(e.Addresses) > 0 {
			c.bad("addresses", "addresses cannot be set for resolution type DYNAMIC_DNS: the hosts say what is meant")
		}
		if len(e.Endpoints) > 0 {
			c.bad("endpoints", "endpoints cannot be set for resolution type DYNAMIC_DNS: the hosts say where requests go")
		}
	}
}

func (c *checker) endpointPorts(ports map[string]uint32, defined map[string]bool) {
	eachKey(c, "ports", ports, func(name string, n uint32) {
		if defined != nil && !defined[name] {
			c.bad("", "endpoint port %d is not defined by the service entry", n)
		}
		c.fault("", portName(name))
		c.fault("", port(n))
	})
}

func (c *checker) workloadEntry(w *networking.WorkloadEntry, ports map[string]bool, domain bool) {
	socket, isSocket := strings.CutPrefix(w.Address, unix)
	switch {
	case w.Address == "" && w.Network == "":
		c.bad("address", "address is required")
	case w.Address == "":
		c.warn("address", "address is unset with network %q", short(w.Network))
	case isSocket:
		if c.fault("address", unixPath(socket)); len(w.Ports) > 0 {
			c.bad("ports", "unix endpoint must not include ports")
		}
		if ports != nil && len(ports) != 1 {
			c.bad("address", "exactly 1 service port required for unix endpoints")
		}
	case isAddress(w.Address):
	case !domain:
		c.bad("address", "endpoint address %q is not a valid IP address", short(w.Address))
	case fqdn(w.Address) != nil:
		c.bad("address", "endpoint address %q is not a valid FQDN or an IP address", short(w.Address))
	}
	c.endpointPorts(w.Ports, ports)
	c.labels("labels", w.Labels)
}

func (c *checker) workloadGroup(g *networking.WorkloadGroup) {
	// What a workload's entry is made of: its address comes with the workload.
	if g.Template == nil {
		c.bad("template", "template is required")
	} else {
		c.at("template")
		c.endpointPorts(g.Template.Ports, nil)
		c.labels("labels", g.Template.Labels)
		c.up()
	}
	c.labels("metadata.labels", g.Metadata.GetLabels())
	c.readiness("probe", g.Probe)
}

func (c *checker) readiness(field string, p *networking.ReadinessProbe) {
	if p == nil {
		return
	}
	c.at(field)
	defer c.up()
	for _, n := range []struct {
		field string
		value int32
	}{{"periodSeconds", p.PeriodSeconds}, {"initialDelaySeconds", p.InitialDelaySeconds}, {"timeoutSeconds", p.TimeoutSeconds},
		{"successThreshold", p.SuccessThreshold}, {"failureThreshold", p.FailureThreshold}} {
		if n.value < 0 {
			c.bad(n.field, "must be non-negative")
		}
	}
	switch m := p.HealthCheckMethod.(type) {
	case *networking.ReadinessProbe_HttpGet:
		c.fault("httpGet.port", port(m.HttpGet.Port))
		if s := m.HttpGet.Scheme; s != "" && s != "HTTP" && s != "HTTPS" {
			c.bad("httpGet.scheme", "must be one of HTTP, HTTPS")
		}
		for i, h := range m.HttpGet.HttpHeaders {
			c.fault("httpGet.httpHeaders["+strconv.Itoa(i)+"].name", headerName(h.Name))
		}
	case *networking.ReadinessProbe_TcpSocket:
		c.fault("tcpSocket.port", port(m.TcpSocket.Port))
	case *networking.ReadinessProbe_Exec:
		if len(m.Exec.Command) == 0 {
			c.bad("exec.command", "is required")
		}
	case *networking.ReadinessProbe_Grpc:
		c.fault("grpc.port", port(m.Grpc.Port))
	default:
		c.bad("", "must say what is asked: httpGet, tcpSocket, exec or grpc")
	}
}

// service checks what an API server would have.
func (c *checker) service(s *ServiceSpec) {
	names, numbers := map[string]bool{}, map[string]bool{}
	each(c, "ports", s.Ports, func(_ int, p ServicePort) {
		c.fault("port", port(p.Port))
		if p.Name != "" || len(s.Ports) > 1 {
			c.fault("name", portName(p.Name))
		}
		protocol := p.Protocol
		if protocol == "" {
			protocol = "TCP"
		}
		if protocol != "TCP" && protocol != "UDP" && protocol != "SCTP" {
			c.bad("protocol", "%q is not TCP, UDP or SCTP", short(p.Protocol))
		}
		if number := protocol + strconv.Itoa(int(p.Port)); numbers[number] {
			c.bad("port", "%d is there twice", p.Port)
		} else {
			numbers[number] = true
		}
		if names[p.Name] {
			c.bad("name", "%q is there twice", short(p.Name))
		}
		names[p.Name] = true
		if t := p.TargetPort; t != (TargetPort{}) && t.Name == "" {
			c.fault("targetPort", port(t.Number))
		}
	})
	for _, ip := range append([]string{s.ClusterIP}, s.ClusterIPs...) {
		if ip != "" && ip != "None" && !isAddress(ip) {
			c.bad("clusterIP", "%s is not a valid IP, and not None", short(ip))
		}
	}
	if s.Type == "ExternalName" {
		c.fault("externalName", fqdn(s.ExternalName))
	}
}

func (c *checker) endpointSlice(e *EndpointSliceSpec) {
	if !slices.Contains([]string{"IPv4", "IPv6", "FQDN"}, e.AddressType) {
		c.bad("addressType", "%q is not IPv4, IPv6 or FQDN", short(e.AddressType))
	}
	each(c, "endpoints", e.Endpoints, func(_ int, one SliceEndpoint) {
		if len(one.Addresses) == 0 {
			c.bad("addresses", "endpoint has no address")
		}
		each(c, "addresses", one.Addresses, func(_ int, a string) {
			if e.AddressType == "FQDN" {
				c.fault("", fqdn(a))
			} else {
				c.fault("", address(a))
			}
		})
	})
	each(c, "ports", e.Ports, func(_ int, p SlicePort) {
		if p.Port != 0 { // or all
			c.fault("port", port(p.Port))
		}
	})
}
