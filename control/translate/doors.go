package translate

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

type doorHostKey struct {
	routeTraits
	name     string
	port     uint32
	https    bool // clients are sent there
	calls    bool // as virtualKey's
	virtuals *chain
}

// doorRoutes is a VirtualService, for a gateway.
type doorRoutes struct {
	virtual *mesh.VirtualService
	gateway string
	found   *chain
}

// hosts are the virtual hosts of doors that share a table, by name: what several VirtualServices say of a host counts one after the other.
func (w *gatewayWriter) hosts(doors []*door) (list []*host) {
	k := routeTraits{settings: w.k.settings, namespace: w.k.namespace, labels: labelsText(w.proxy.Labels)}
	keys := map[string]*doorHostKey{}
	of := func(name string, d *door) *doorHostKey {
		if keys[name] == nil {
			keys[name] = &doorHostKey{routeTraits: k, name: name, port: d.server.GetPort().GetNumber(), calls: w.proxy.Traits.Weft}
		}
		keys[name].https = keys[name].https || d.server.GetTls().GetHttpsRedirect()
		return keys[name]
	}
	for _, d := range doors {
		for v := range w.m.Routes.Seen(w.k.namespace, d.name) {
			if len(v.HTTP) == 0 {
				continue
			}
			for _, name := range w.meet(d, v) {
				key := of(name, d)
				one := doorRoutes{v, d.name, w.t.found(&k, w.scope, v, key.port)}
				if !contains(key.virtuals, one) {
					key.virtuals = w.t.chains.add(key.virtuals, one)
				}
			}
		}
		if d.server.GetTls().GetHttpsRedirect() {
			names := serverNames(d)
			if names == nil {
				names = []string{"*"}
			}
			for _, name := range names {
				of(name, d)
			}
		}
	}
	for _, key := range keys {
		h := w.t.doorHosts.get(*key, func() *host { return w.host(key) })
		if h.name != "" {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *host) int { return cmp.Compare(a.name, b.name) })
	return list
}

func contains(c *chain, item any) bool {
	for ; c != nil; c = c.before {
		if c.item == item {
			return true
		}
	}
	return false
}

// host writes one; without a name: nothing is said of it.
func (w *gatewayWriter) host(key *doorHostKey) *host {
	v := &routev3.VirtualHost{Name: key.name + ":" + portText(key.port), Domains: []string{key.name}, IncludeRequestAttemptCount: true}
	var in []doorRoutes
	for c := key.virtuals; c != nil; c = c.before {
		in = append(in, c.item.(doorRoutes))
	}
	slices.Reverse(in)
	for _, one := range in {
		v.Routes = append(v.Routes, key.virtualRoutes(w.proxy, &virtualKey{virtual: one.virtual, port: key.port, found: one.found, gateways: []string{one.gateway}, calls: key.calls})...)
	}
	if key.https {
		v.RequireTls = routev3.VirtualHost_ALL
	}
	if len(v.Routes) == 0 && !key.https {
		return &host{}
	}
	return newHost(v)
}

// nothing is the host of a door that nobody has said anything of.
func (w *gatewayWriter) nothing(port uint32) *host {
	return newHost(&routev3.VirtualHost{Name: "blackhole:" + portText(port), Domains: []string{"*"}})
}

// tls is TLS that ends at a door.
func (d *door) tls(s *mesh.Settings, from Identity) *corev3.TransportSocket {
	said := d.server.GetTls()
	common := &tlsv3.CommonTlsContext{TlsParams: &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2}, AlpnProtocols: []string{"h2", "http/1.1"}}
	c := &tlsv3.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: wrapperspb.Bool(false)}
	mode := said.GetMode()
	asks := asks(mode)
	c.RequireClientCertificate.Value = asks && mode != networking.ServerTLSSettings_OPTIONAL_MUTUAL
	names := exactly(said.GetSubjectAltNames())
	credentials := credentialNames(said)
	switch {
	case mode == networking.ServerTLSSettings_ISTIO_MUTUAL:
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secret(from, secretOwn)}
		common.ValidationContextType = verified(names, secret(from, secretRoot))
		return downstream(c)
	case len(credentials) > 0:
		for _, name := range credentials {
			common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, secret(FromPlane, secretOf(name)))
		}
	case from == FromAgent:
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secret(from, "file-cert:"+said.GetServerCertificate()+"~"+said.GetPrivateKey())}
		if asks && said.GetCaCertCredentialName() == "" {
			common.ValidationContextType = verified(names, secret(from, "file-root:"+said.GetCaCertificates()))
		}
	default: // nobody reads files for the proxy, so that it does itself
		common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(said.GetServerCertificate()), PrivateKey: file(said.GetPrivateKey())}}
		if asks && said.GetCaCertCredentialName() == "" {
			common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: file(said.GetCaCertificates()), MatchSubjectAltNames: names}} // any kind of name
		}
	}
	if asks && (len(credentials) > 0 || said.GetCaCertCredentialName() != "") {
		common.ValidationContextType = verified(names, secret(FromPlane, doorRoots(said, d.object.Namespace)))
	}
	if validation := common.GetCombinedValidationContext().GetDefaultValidationContext(); validation != nil {
		validation.VerifyCertificateSpki, validation.VerifyCertificateHash = said.GetVerifyCertificateSpki(), said.GetVerifyCertificateHash()
		if said.GetCaCrl() != "" {
			validation.Crl = file(said.GetCaCrl())
		}
	} else if validation := common.GetValidationContext(); validation != nil {
		validation.VerifyCertificateSpki, validation.VerifyCertificateHash = said.GetVerifyCertificateSpki(), said.GetVerifyCertificateHash()
		if said.GetCaCrl() != "" {
			validation.Crl = file(said.GetCaCrl())
		}
	}
	p := common.TlsParams
	if d := s.Config.GetTlsDefaults(); d != nil {
		p.CipherSuites, p.EcdhCurves = d.GetCipherSuites(), d.GetEcdhCurves()
		if v := tlsv3.TlsParameters_TlsProtocol(d.GetMinProtocolVersion()); v != 0 {
			p.TlsMinimumProtocolVersion = v + 2 // it begins with 1.2, where Envoy's begins with 1.0
		}
	}
	if v := said.GetMinProtocolVersion(); v != networking.ServerTLSSettings_TLS_AUTO {
		p.TlsMinimumProtocolVersion = tlsv3.TlsParameters_TlsProtocol(v)
	}
	if v := said.GetMaxProtocolVersion(); v != networking.ServerTLSSettings_TLS_AUTO {
		p.TlsMaximumProtocolVersion = tlsv3.TlsParameters_TlsProtocol(v)
	}
	if len(said.GetCipherSuites()) > 0 {
		p.CipherSuites = said.GetCipherSuites()
	}
	if len(said.GetEcdhCurves()) > 0 {
		p.EcdhCurves = said.GetEcdhCurves()
	}
	return downstream(c)
}

func downstream(c *tlsv3.DownstreamTlsContext) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: tlsSocketName, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: wrap(c)}}
}
