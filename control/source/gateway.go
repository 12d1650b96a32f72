package source

import (
	"slices"
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
		c.bad("port.protocol", "port must have a protocol: HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, REDIS, MYSQL, DUBBO, TCP, TLS")
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
	case t != nil && isDubbo(p.Protocol) && (t.GetMode() == networking.ServerTLSSettings_PASSTHROUGH || t.GetMode() == networking.ServerTLSSettings_AUTO_PASSTHROUGH || t.GetHttpsRedirect()):
		c.bad("tls", "TLS of a DUBBO server ends here, or no call can be seen: want a mode such as SIMPLE, MUTUAL or ISTIO_MUTUAL, or protocol TLS to pass it on")
	case tls || t == nil || isDubbo(p.Protocol):
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
