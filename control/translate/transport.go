package translate

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// Secrets of a proxy's own, by the names that Istio's agent serves them under.
const (
	secretOwn  = "default"
	secretRoot = "ROOTCA"
)

// What peers of the mesh tell each other by ALPN: that it is mTLS of the mesh, and, from filters that see requests, which HTTP is inside. The exchange
// is neither offered nor chosen here: who chooses it begins with a preamble, and not all proxies take one.
const (
	alpnMesh     = "istio"
	alpnExchange = "istio-peer-exchange"
	alpnHTTP10   = "istio-http/1.0"
	alpnHTTP11   = "istio-http/1.1"
	alpnHTTP2    = "istio-h2"
	alpnDubbo    = "weft-dubbo" // by weft only
)

// secret is where a secret of a name is had from.
func secret(from Identity, name string) *tlsv3.SdsSecretConfig {
	if from == FromAgent {
		return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
				ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
				GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "sds-grpc"}}}},
			}},
			InitialFetchTimeout: durationpb.New(0), ResourceApiVersion: corev3.ApiVersion_V3,
		}}
	}
	// Over the stream a secret may be one that the proxy may not have: then its listeners go on after the usual time, and only handshakes fail.
	c := fromStream()
	c.InitialFetchTimeout = nil
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: c}
}

func exactly(values []string) (list []*matcherv3.StringMatcher) {
	for _, v := range values {
		list = append(list, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v}})
	}
	return list
}

func versions() *tlsv3.TlsParameters {
	return &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
}

// verified are names that a peer must have one of, and the secret that its certificate is checked with.
func verified(names []*matcherv3.StringMatcher, root *tlsv3.SdsSecretConfig) *tlsv3.CommonTlsContext_CombinedValidationContext {
	return &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchSubjectAltNames: names}, // any kind of name, which typed ones cannot say
		ValidationContextSdsSecretConfig: root,
	}}
}

func tlsSocket(name string, c *tlsv3.UpstreamTlsContext) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: name, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: wrap(c)}}
}

const tlsSocketName = "envoy.transport_sockets.tls"

func rawSocket() *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.raw_buffer", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: wrap(&rawv3.RawBuffer{})}}
}

// meshTLS is mTLS between workloads.
func meshTLS(k *clusterTraits, protocol mesh.Protocol, http2 bool, names []string, sni string) *corev3.TransportSocket {
	c := &tlsv3.UpstreamTlsContext{Sni: sni, CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsParams:                      versions(),
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secret(k.identity, secretOwn)},
		ValidationContextType:          verified(exactly(names), secret(k.identity, secretRoot)),
	}}
	switch {
	case k.traits.Istio: // a filter says which HTTP it is
		c.CommonTlsContext.AlpnProtocols = []string{alpnMesh}
	case http2: // nobody but the cluster can say it, and it is known
		c.CommonTlsContext.AlpnProtocols = []string{alpnHTTP2, alpnMesh}
	case protocol == mesh.HTTP:
		c.CommonTlsContext.AlpnProtocols = []string{alpnHTTP11, alpnMesh}
	default:
		c.CommonTlsContext.AlpnProtocols = []string{alpnMesh}
	}
	if http2 {
		c.CommonTlsContext.AlpnProtocols = append(c.CommonTlsContext.AlpnProtocols, "h2")
	}
	return tlsSocket(tlsSocketName, c)
}

// originate is TLS to somebody who need not be in the mesh. autoSNI and autoNames: names are those of the request's host.
func originate(k *clusterTraits, tls *networking.ClientTLSSettings, rule *mesh.DestinationRule, http2 bool, accounts []string, external bool) (socket *corev3.TransportSocket, autoSNI, autoNames bool) {
	names := tls.GetSubjectAltNames()
	if len(names) == 0 && external {
		names = accounts
	}
	common := &tlsv3.CommonTlsContext{TlsParams: versions()}
	c := &tlsv3.UpstreamTlsContext{Sni: tls.GetSni(), CommonTlsContext: common}
	if d := k.settings.Config.GetTlsDefaults(); d != nil {
		common.TlsParams.CipherSuites, common.TlsParams.EcdhCurves = d.GetCipherSuites(), d.GetEcdhCurves()
	}
	skip, named := tls.GetInsecureSkipVerify().GetValue(), tls.GetCredentialName() != ""
	if verify := k.settings.Config.GetVerifyCertificateAtClient(); verify != nil && !verify.GetValue() && tls.GetInsecureSkipVerify() == nil && tls.GetCaCertificates() == "" && len(names) == 0 {
		skip = true // the mesh's author trusts whoever answers; who says names or an authority, does not
	}
	if tls.GetMode() == networking.ClientTLSSettings_MUTUAL && !named {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{fileSecret(k.identity, "file-cert:"+tls.GetClientCertificate()+"~"+tls.GetPrivateKey())}
		if k.identity != FromAgent {
			common.TlsCertificateSdsSecretConfigs = nil
			common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(tls.GetClientCertificate()), PrivateKey: file(tls.GetPrivateKey())}}
		}
	}
	ca := tls.GetCaCertificates()
	switch {
	case named:
		byCredential(common, tls, names, rule.Namespace)
	case skip:
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{}}
	case k.identity == FromAgent:
		if ca == "" {
			ca = "system"
		}
		common.ValidationContextType = verified(exactly(names), fileSecret(k.identity, "file-root:"+ca))
		if tls.GetCaCrl() != "" {
			common.GetCombinedValidationContext().DefaultValidationContext.Crl = file(tls.GetCaCrl())
		}
	default: // nobody reads files for the proxy, so that it does itself
		v := &tlsv3.CertificateValidationContext{MatchSubjectAltNames: exactly(names)} // as above
		if ca == "" || ca == "system" {
			v.SystemRootCerts = &tlsv3.CertificateValidationContext_SystemRootCerts{}
		} else {
			v.TrustedCa = file(ca)
		}
		if tls.GetCaCrl() != "" {
			v.Crl = file(tls.GetCaCrl())
		}
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: v}
	}
	if http2 {
		common.AlpnProtocols = []string{"h2"}
	}
	autoSNI = tls.GetSni() == ""
	return tlsSocket(tlsSocketName, c), autoSNI, autoSNI && len(names) == 0 && !skip
}

func fileSecret(from Identity, name string) *tlsv3.SdsSecretConfig { return secret(from, name) }

func file(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

// serverTLS is mTLS that is taken: with a certificate of the trust domain, or of one that is trusted as it is. chosen are protocols of which one is taken, if it is offered.
func serverTLS(s *mesh.Settings, from Identity, chosen []string) *corev3.TransportSocket {
	var names []*matcherv3.StringMatcher
	for _, domain := range append([]string{s.TrustDomain}, s.Config.GetTrustDomainAliases()...) {
		names = append(names, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + domain + "/"}})
	}
	params := versions()
	params.CipherSuites = []string{
		"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-GCM-SHA256",
	}
	if m := s.Config.GetMeshMTLS(); m != nil {
		if m.GetMinProtocolVersion() == 2 { // TLSV1_3
			params.TlsMinimumProtocolVersion = tlsv3.TlsParameters_TLSv1_3
		}
		if len(m.GetCipherSuites()) > 0 {
			params.CipherSuites = m.GetCipherSuites()
		}
		params.EcdhCurves = m.GetEcdhCurves()
	}
	c := &tlsv3.DownstreamTlsContext{RequireClientCertificate: wrapperspb.Bool(true), CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsParams:                      params,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secret(from, secretOwn)},
		ValidationContextType:          verified(names, secret(from, secretRoot)),
		AlpnProtocols:                  chosen,
	}}
	return downstream(c)
}
