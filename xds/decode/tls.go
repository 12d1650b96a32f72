package decode

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	cryptombv3alpha "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/private_key_providers/cryptomb/v3alpha"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/weftmesh/weft/config"
	wefttls "github.com/weftmesh/weft/tls"
)

// maxPEM bounds a file of certificates, a key or a list of revoked ones, in bytes.
const maxPEM = 16 << 20

// upstreamTransport reads what is spoken to endpoints.
func (s *session) upstreamTransport(m *corev3.TransportSocket, p *at) (t config.Transport) {
	if m.GetTypedConfig() != nil {
		o := s.open(m.GetTypedConfig())
		if proxy, ok := o.message.(*proxyprotov3.ProxyProtocolUpstreamTransport); ok {
			t.ProxyHeader = uint8(proxy.GetConfig().GetVersion()) + 1
			m, p = proxy.GetTransportSocket(), p.field("typed_config").as(o.name).field("transport_socket")
		}
	}
	t.TLS = s.transport(m, p)
	return t
}

// transport reads what connections speak; nil is plain text.
func (s *session) transport(m *corev3.TransportSocket, p *at) *config.TLS {
	if m.GetTypedConfig() == nil {
		return nil
	}
	o := s.open(m.GetTypedConfig())
	p = p.field("typed_config").as(o.name)
	switch m := o.message.(type) {
	case *tlsv3.DownstreamTlsContext:
		return s.downstreamTLS(m, p)
	case *tlsv3.UpstreamTlsContext:
		return s.upstreamTLS(m, p)
	}
	return nil
}

func (s *session) downstreamTLS(m *tlsv3.DownstreamTlsContext, p *at) *config.TLS {
	c := &config.TLS{
		Hash:        hash(marshal(m)),
		Require:     m.GetRequireClientCertificate().GetValue(),
		RequireName: m.GetRequireSni().GetValue(),
		FullScan:    m.GetFullScanCertsOnSniMismatch().GetValue(),
		NoTickets:   m.GetDisableStatelessSessionResumption(),
	}
	if d := m.GetSessionTimeout(); d != nil {
		p := p.field("session_timeout")
		if c.Lifetime = s.duration(d, 0, p); c.Lifetime < time.Second {
			s.problem(p, "%v: want a second or more; disable_stateless_session_resumption has no session resumed", c.Lifetime)
		}
	}
	s.commonTLS(c, m.GetCommonTlsContext(), tls.VersionTLS13, p.field("common_tls_context"))
	if len(c.Certificates) == 0 {
		s.problem(p.field("common_tls_context").field("tls_certificates"), "a certificate is missing: there is nothing to show to clients")
	}
	if c.Require && c.Validation == nil && c.ValidationSecret.Name == "" {
		// Envoy takes this, and any certificate with it.
		s.problem(p.field("require_client_certificate"), "there is no validation_context that says whose certificates are good: an empty one takes anybody's")
	}
	c.Stapling = config.Stapling(m.GetOcspStaplePolicy())
	for i := range c.Certificates {
		if v := c.Certificates[i].Value; c.Stapling == config.StapleAlways && v != nil && v.OCSPStaple == nil {
			s.problem(p.field("common_tls_context").field("tls_certificates").item(i).field("ocsp_staple"), "ocsp_staple_policy is MUST_STAPLE, and there is no response")
		}
	}
	switch k := m.GetSessionTicketKeysType().(type) {
	case *tlsv3.DownstreamTlsContext_SessionTicketKeys:
		c.Tickets = s.ticketKeys(k.SessionTicketKeys, p.field("session_ticket_keys"))
	case *tlsv3.DownstreamTlsContext_SessionTicketKeysSdsSecretConfig:
		c.TicketSecret = s.secretRef(k.SessionTicketKeysSdsSecretConfig, p.field("session_ticket_keys_sds_secret_config"))
	}
	return c
}

func (s *session) upstreamTLS(m *tlsv3.UpstreamTlsContext, p *at) *config.TLS {
	c := &config.TLS{
		Hash:         hash(marshal(m)),
		ServerName:   m.GetSni(),
		EndpointName: m.GetAutoHostSni(),
		VerifyName:   m.GetAutoSniSanValidation(),
		Sessions:     int(min(u32(m.GetMaxSessionKeys(), 1), 1<<10)),
	}
	s.commonTLS(c, m.GetCommonTlsContext(), tls.VersionTLS12, p.field("common_tls_context"))
	if c.VerifyName && c.ValidationSecret.Name == "" && (c.Validation == nil || c.Validation.Roots == nil && !c.Validation.SystemRoots) {
		s.problem(p.field("auto_sni_san_validation"), "a name proves nothing without a validation_context with trusted_ca: anybody may write it into a certificate")
	}
	return c
}

// What is agreed on if nothing is said. Envoy's are the suites and curves that everybody has and nobody need be ashamed of: whoever wants
// TLS 1.1 has to name suites for it.
var (
	defaultCiphers = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}
	defaultCurves = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
)

var tlsVersions = [...]uint16{0, tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

// commonTLS reads what both directions have. highest is the version that is spoken at most if nothing else is said.
func (s *session) commonTLS(c *config.TLS, m *tlsv3.CommonTlsContext, highest uint16, p *at) {
	params, pp := m.GetTlsParams(), p.field("tls_params")
	c.MinVersion, c.MaxVersion = tlsVersions[params.GetTlsMinimumProtocolVersion()], tlsVersions[params.GetTlsMaximumProtocolVersion()]
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if c.MaxVersion == 0 {
		c.MaxVersion = max(highest, c.MinVersion)
	}
	if c.MinVersion > c.MaxVersion {
		s.problem(pp.field("tls_minimum_protocol_version"), "is above tls_maximum_protocol_version")
	}
	for i, group := range params.GetCipherSuites() {
		// Envoy writes suites that it holds for equally good in brackets; crypto/tls has an order of its own for all of them.
		for _, name := range strings.Split(strings.Trim(group, "[]"), "|") {
			id, ok := wefttls.Cipher(name)
			if !ok {
				s.problem(pp.field("cipher_suites").item(i), "%q is no suite of TLS 1.2 that is known; those of TLS 1.3 cannot be chosen", name)
			}
			c.Ciphers = append(c.Ciphers, id)
		}
	}
	for i, name := range params.GetEcdhCurves() {
		curve, ok := wefttls.Curve(name)
		if !ok {
			s.problem(pp.field("ecdh_curves").item(i), "%q is no curve that is known: want X25519MLKEM768, X25519, P-256, P-384 or P-521", name)
		}
		c.Curves = append(c.Curves, curve)
	}
	if len(params.GetCipherSuites()) == 0 {
		c.Ciphers = defaultCiphers
	}
	if len(params.GetEcdhCurves()) == 0 {
		c.Curves = defaultCurves
	}
	c.Applications = s.applications(m.GetAlpnProtocols(), p.field("alpn_protocols"))
	if k := m.GetKeyLog(); k != nil {
		p := p.field("key_log")
		c.KeyLog = &config.KeyLog{Path: k.GetPath(), Local: s.prefixes(k.GetLocalAddressRange(), p.field("local_address_range")), Remote: s.prefixes(k.GetRemoteAddressRange(), p.field("remote_address_range"))}
		if c.KeyLog.Path == "" {
			s.problem(p.field("path"), "a path is missing")
		}
	}
	certificates, cp := m.GetTlsCertificates(), p.field("tls_certificates")
	if len(certificates) > wefttls.MaxCertificates {
		s.problem(cp, "%d certificates: a context has at most %d", len(certificates), wefttls.MaxCertificates)
		return
	}
	for i, k := range certificates {
		if own := s.certificate(k, cp.item(i)); own != nil {
			c.Certificates = append(c.Certificates, config.CertificateSource{Value: own})
		}
	}
	refs, rp := m.GetTlsCertificateSdsSecretConfigs(), p.field("tls_certificate_sds_secret_configs")
	if len(refs) > wefttls.MaxCertificates {
		s.problem(rp, "%d certificates: a context has at most %d", len(refs), wefttls.MaxCertificates)
		return
	}
	if len(refs) > 0 && len(certificates) > 0 {
		s.problem(rp, "there are tls_certificates, too: want one of the two")
	}
	for i, r := range refs {
		c.Certificates = append(c.Certificates, config.CertificateSource{Secret: s.secretRef(r, rp.item(i))})
	}
	switch v := m.GetValidationContextType().(type) {
	case *tlsv3.CommonTlsContext_ValidationContext:
		c.Validation = s.validation(v.ValidationContext, p.field("validation_context"))
		s.holds(c.Validation, p.field("validation_context"))
	case *tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig:
		c.ValidationSecret = s.secretRef(v.ValidationContextSdsSecretConfig, p.field("validation_context_sds_secret_config"))
	case *tlsv3.CommonTlsContext_CombinedValidationContext:
		p, own := p.field("combined_validation_context"), v.CombinedValidationContext
		c.Validation = s.validation(own.GetDefaultValidationContext(), p.field("default_validation_context"))
		c.ValidationSecret = s.secretRef(own.GetValidationContextSdsSecretConfig(), p.field("validation_context_sds_secret_config"))
	}
}

// applications reads names of protocols.
func (s *session) applications(names []string, p *at) (list []string) {
	for i, a := range names {
		// Whoever would choose it would have to speak it (docs/design/0005-tls.md).
		if a == "" || len(a) > 255 {
			s.problem(p.item(i), "a protocol has a name of 1 to 255 bytes")
		}
		if a != peerExchange {
			list = append(list, a)
		}
	}
	return list
}

// certificate reads a chain and its key, and refuses what could not be shown to anybody.
func (s *session) certificate(m *tlsv3.TlsCertificate, p *at) *config.Certificate {
	before := len(s.problems)
	from, cp := m.GetCertificateChain(), p.field("certificate_chain")
	chain := s.data(from, maxPEM, cp)
	password := s.data(m.GetPassword(), maxPEM, p.field("password"))
	private, kp := m.GetPrivateKey(), p.field("private_key")
	var delay time.Duration
	if provider := m.GetPrivateKeyProvider(); provider != nil {
		p := p.field("private_key_provider")
		if private != nil {
			s.problem(p, "there is a private_key, too: want one of the two")
		}
		if !wefttls.CanBatch() && !provider.GetFallback() {
			s.problem(p, "this processor has not got the vectors for it (AVX2), or FIPS mode is on: set fallback, or leave the provider out")
		}
		if b := in[*cryptombv3alpha.CryptoMbPrivateKeyMethodConfig](s, provider.GetTypedConfig()); b != nil {
			p := p.field("typed_config").as("envoy.extensions.private_key_providers.cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig")
			private, kp = b.GetPrivateKey(), p.field("private_key")
			if delay = s.duration(b.GetPollDelay(), 0, p.field("poll_delay")); delay <= 0 || delay > time.Second {
				s.problem(p.field("poll_delay"), "%v: want more than 0s and at most 1s", delay)
			}
		}
	}
	key := s.data(private, maxPEM, kp)
	store := m.GetPkcs12()
	if store != nil {
		if from != nil || private != nil || m.GetPrivateKeyProvider() != nil {
			s.problem(p.field("pkcs12"), "there is certificate_chain, private_key or private_key_provider, too: a PKCS #12 file has all of that")
		}
		from, cp = store, p.field("pkcs12")
		chain = s.data(from, maxPEM, cp)
	}
	if len(s.problems) > before {
		return nil
	}
	if s.unseen(from) || s.unseen(private) || s.unseen(m.GetPassword()) {
		return &config.Certificate{Certificate: tls.Certificate{OCSPStaple: []byte{}}, Where: origin(from)} // a staple it may have
	}
	var pair tls.Certificate
	var err error
	switch {
	case store != nil:
		if pair, err = keyStore(chain, password); err != nil {
			s.problem(cp, "%s: %v", origin(from), err)
		}
	case len(chain) == 0:
		s.problem(cp, "a certificate is missing")
	case len(key) == 0:
		s.problem(kp, "a key is missing")
	default:
		if key, err = decrypted(key, password); err != nil {
			s.problem(kp, "%s: %v", origin(private), err)
		} else if pair, err = tls.X509KeyPair(chain, key); err != nil {
			s.problem(p, "%s and %s: %s", origin(from), origin(private), strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	if len(s.problems) > before {
		return nil
	}
	c := &config.Certificate{Certificate: pair, Where: origin(from), Label: label("unnamed_cert_", from), Batch: delay, MustStaple: mustStaple(pair.Leaf)}
	if store != nil {
		c.Label = "unnamed_cert_" // as Envoy's statistics call all of them
	}
	if d := m.GetOcspStaple(); d != nil {
		s.staple(c, d, p.field("ocsp_staple"))
	} else if c.MustStaple {
		s.problem(p.field("ocsp_staple"), "%s: the certificate itself demands an OCSP response, and there is none", c.Where)
	}
	switch k := pair.Leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 2048 || bits > 8192 {
			s.problem(p.field("private_key"), "a key of RSA with %d bits: want 2048 to 8192", bits)
		}
	case *ecdsa.PublicKey:
		if bits := k.Curve.Params().BitSize; bits < 256 {
			s.problem(p.field("private_key"), "a key on %s: want P-256, P-384 or P-521", k.Curve.Params().Name)
		}
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		s.problem(cp, "%s: the certificate ended on %s", c.Where, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return c
}

// staple reads the OCSP response that a certificate is shown with.
func (s *session) staple(c *config.Certificate, d *corev3.DataSource, p *at) {
	before := len(s.problems)
	b := s.data(d, maxPEM, p)
	if len(s.problems) > before || s.unseen(d) {
		return
	}
	r, err := ocsp.ParseResponse(b, nil)
	switch {
	case err != nil:
		s.problem(p, "%s: not an OCSP response in DER: %v", origin(d), plain(err))
	case r.SerialNumber.Cmp(c.Leaf.SerialNumber) != 0:
		s.problem(p, "%s: the response is about another certificate than %s", origin(d), c.Where)
	case r.Status != ocsp.Good:
		s.problem(p, "%s: the response says that the certificate is revoked, or unknown", origin(d))
	default:
		c.OCSPStaple, c.StapleUntil = b, r.NextUpdate
		if r.NextUpdate.IsZero() {
			c.StapleUntil = time.Unix(1<<40, 0) // there is no end to it (RFC 6960 §2.4)
		}
	}
}

// mustStaple tells whether a certificate demands to be shown with an OCSP response (RFC 7633: the feature status_request).
func mustStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.String() == "1.3.6.1.5.5.7.1.24" {
			var features []int
			_, err := asn1.Unmarshal(e.Value, &features)
			return err == nil && slices.Contains(features, 5)
		}
	}
	return false
}

// origin says where something is from, for people.
func origin(d *corev3.DataSource) string {
	switch v := d.GetSpecifier().(type) {
	case *corev3.DataSource_Filename:
		return v.Filename
	case *corev3.DataSource_EnvironmentVariable:
		return "$" + v.EnvironmentVariable
	}
	return "inline"
}

// label is what statistics call certificates that nobody has named. As in Envoy, only bytes that are written inline tell one from another.
func label(kind string, d *corev3.DataSource) string {
	sum := sha256.Sum256(d.GetInlineBytes())
	return kind + hex.EncodeToString(sum[:4])
}

// secret reads what is kept under a name. Its sum is that of what is in its files, too.
func (s *session) secret(m *tlsv3.Secret, p *at) *config.Secret {
	s.within = m.GetName()
	c := &config.Secret{Name: m.GetName(), Raw: s.bytes(m)}
	if c.Name == "" {
		s.problem(p.field("name"), "a name is missing")
	}
	before := len(s.files)
	s.sum = nil
	directory := ""
	switch v := m.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		c.Certificate = s.certificate(v.TlsCertificate, p.field("tls_certificate"))
		directory = v.TlsCertificate.GetWatchedDirectory().GetPath()
	case *tlsv3.Secret_ValidationContext:
		c.Validation = s.validation(v.ValidationContext, p.field("validation_context"))
		directory = v.ValidationContext.GetWatchedDirectory().GetPath()
	case *tlsv3.Secret_SessionTicketKeys:
		c.Tickets = s.ticketKeys(v.SessionTicketKeys, p.field("session_ticket_keys"))
	case nil:
		s.problem(p, "is empty: want tls_certificate, validation_context or session_ticket_keys")
	}
	for _, path := range s.files[before:] {
		c.Files = append(c.Files, config.WatchedFile{Path: path, Directory: directory})
	}
	c.Hash = hash(append(s.sum, c.Raw...))
	return c
}

// secretRef reads the name of a secret and where it comes from.
func (s *session) secretRef(m *tlsv3.SdsSecretConfig, p *at) config.SecretRef {
	r := config.SecretRef{Name: m.GetName()}
	if r.Name == "" {
		s.problem(p.field("name"), "a name is missing")
	}
	if m.GetSdsConfig() != nil {
		r.File, r.Stream = s.source(m.GetSdsConfig(), p.field("sds_config"))
	}
	return r
}

func (s *session) ticketKeys(m *tlsv3.TlsSessionTicketKeys, p *at) *config.TicketKeys {
	k := &config.TicketKeys{}
	for i, d := range m.GetKeys() {
		b := s.data(d, maxPEM, p.field("keys").item(i))
		if len(b) != 80 && !s.unseen(d) {
			s.problem(p.field("keys").item(i), "%d bytes: a key has exactly 80", len(b))
			continue
		}
		k.Keys = append(k.Keys, sha256.Sum256(b)) // of crypto/tls, a key has 32
	}
	return k
}

func (s *session) validation(m *tlsv3.CertificateValidationContext, p *at) *config.Validation {
	v := &config.Validation{
		SystemRoots:     m.GetSystemRootCerts() != nil,
		AllowExpired:    m.GetAllowExpiredCertificate(),
		AcceptUntrusted: m.GetTrustChainVerification() == tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED,
		RevokedLeafOnly: m.GetOnlyVerifyLeafCertCrl(),
		HideRoots:       m.GetSuppressClientCaList(),
		MaxDepth:        -1,
	}
	if d := m.GetMaxVerifyDepth(); d != nil {
		v.MaxDepth = int(d.GetValue())
	}
	if d := m.GetTrustedCa(); d != nil {
		v.Roots, v.Where, v.Label = s.roots(d, p.field("trusted_ca")), origin(d), label("unnamed_ca_cert_", d)
	}
	for i, text := range m.GetVerifyCertificateSpki() {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != sha256.Size {
			s.problem(p.field("verify_certificate_spki").item(i), "%q: want the base64 of a SHA-256 sum", text)
			continue
		}
		v.Keys = append(v.Keys, [sha256.Size]byte(sum))
	}
	for i, text := range m.GetVerifyCertificateHash() {
		sum, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			s.problem(p.field("verify_certificate_hash").item(i), "%q: want the hexadecimal digits of a SHA-256 sum", text)
			continue
		}
		v.Certificates = append(v.Certificates, [sha256.Size]byte(sum))
	}
	if c := m.GetCustomValidatorConfig(); c != nil {
		v.Domains = s.trustDomains(c, p.field("custom_validator_config"))
	}
	for i, n := range m.GetMatchTypedSubjectAltNames() {
		v.Names = append(v.Names, s.nameMatch(n, p.field("match_typed_subject_alt_names").item(i)))
	}
	if len(v.Names) == 0 { // Envoy does not look at the old ones beside new ones
		for i, n := range m.GetMatchSubjectAltNames() {
			v.Names = append(v.Names, config.NameMatch{Kind: config.AnyName, Match: s.stringMatch(n, p.field("match_subject_alt_names").item(i))})
		}
	}
	if d := m.GetCrl(); d != nil {
		v.Revoked = s.revocations(d, p.field("crl"))
	}
	return v
}

// holds refuses demands that would prove nothing, of a validation context to which no secret adds any.
func (s *session) holds(v *config.Validation, p *at) {
	if v.Roots != nil || v.SystemRoots || v.Domains != nil {
		return
	}
	if len(v.Names) > 0 {
		s.problem(p, "names prove nothing without trusted_ca: anybody may write them into a certificate")
	}
	if v.Revoked != nil {
		s.problem(p.field("crl"), "a list of revoked certificates says nothing without trusted_ca")
	}
}

var nameKinds = map[tlsv3.SubjectAltNameMatcher_SanType]config.NameKind{
	tlsv3.SubjectAltNameMatcher_EMAIL:      config.EmailName,
	tlsv3.SubjectAltNameMatcher_DNS:        config.DNSName,
	tlsv3.SubjectAltNameMatcher_URI:        config.URIName,
	tlsv3.SubjectAltNameMatcher_IP_ADDRESS: config.IPName,
	tlsv3.SubjectAltNameMatcher_OTHER_NAME: config.OtherName,
}

func (s *session) nameMatch(m *tlsv3.SubjectAltNameMatcher, p *at) config.NameMatch {
	n := config.NameMatch{Kind: nameKinds[m.GetSanType()], Match: s.stringMatch(m.GetMatcher(), p.field("matcher")), OID: m.GetOid()}
	if m.GetSanType() == tlsv3.SubjectAltNameMatcher_SAN_TYPE_UNSPECIFIED {
		s.problem(p.field("san_type"), "which kind of name is meant is missing")
	}
	if n.Kind == config.OtherName {
		if n.OID == "" {
			s.problem(p.field("oid"), "which kind of other name is meant is missing")
		} else if id, err := x509.ParseOID(n.OID); err != nil || id.String() != n.OID {
			s.problem(p.field("oid"), "%q is no object identifier: want numbers with dots between them", n.OID)
		}
	}
	return n
}

func (s *session) trustDomains(m *corev3.TypedExtensionConfig, p *at) map[string][]*x509.Certificate {
	o := s.open(m.GetTypedConfig())
	c, ok := o.message.(*tlsv3.SPIFFECertValidatorConfig)
	if !ok {
		return nil
	}
	domains := map[string][]*x509.Certificate{}
	p = p.field("typed_config").as(o.name).field("trust_domains")
	for i, d := range c.GetTrustDomains() {
		p := p.item(i)
		switch {
		case d.GetName() == "":
			s.problem(p.field("name"), "a name is missing")
		case domains[d.GetName()] != nil:
			s.problem(p.field("name"), "%q is listed twice", d.GetName())
		}
		domains[d.GetName()] = s.roots(d.GetTrustBundle(), p.field("trust_bundle"))
	}
	if len(domains) == 0 {
		s.problem(p, "a trust domain is missing: nobody would be trusted")
	}
	return domains
}

// roots reads certificates that chains may end with. There is at least one: an empty bundle must not come to mean everybody.
func (s *session) roots(d *corev3.DataSource, p *at) []*x509.Certificate {
	before := len(s.problems)
	b := s.data(d, maxPEM, p)
	if len(s.problems) > before || s.unseen(d) {
		return []*x509.Certificate{}
	}
	list := []*x509.Certificate{}
	err := eachBlock(b, "CERTIFICATE", func(der []byte) error {
		c, err := x509.ParseCertificate(der)
		list = append(list, c)
		return err
	})
	switch {
	case err != nil:
		s.problem(p, "%s: certificate %d: %v", origin(d), len(list), plain(err))
	case len(list) == 0:
		s.problem(p, "%s: there is no certificate in it", origin(d))
	case !slices.ContainsFunc(list, func(c *x509.Certificate) bool { return time.Now().Before(c.NotAfter) }):
		s.problem(p, "%s: every certificate in it has ended, the last on %s", origin(d), list[0].NotAfter.UTC().Format(time.RFC3339))
	}
	return list
}

func (s *session) revocations(d *corev3.DataSource, p *at) (list []*x509.RevocationList) {
	before := len(s.problems)
	b := s.data(d, maxPEM, p)
	if len(s.problems) > before || s.unseen(d) {
		return nil
	}
	err := eachBlock(b, "X509 CRL", func(der []byte) error {
		l, err := x509.ParseRevocationList(der)
		if err == nil && !l.NextUpdate.IsZero() && time.Now().After(l.NextUpdate) {
			err = fmt.Errorf("the list of %s was to be replaced on %s", l.Issuer, l.NextUpdate.UTC().Format(time.RFC3339))
		}
		if err == nil {
			slices.SortFunc(l.RevokedCertificateEntries, func(a, b x509.RevocationListEntry) int { return a.SerialNumber.Cmp(b.SerialNumber) })
		}
		list = append(list, l)
		return err
	})
	switch {
	case err != nil:
		s.problem(p, "%s: list %d: %v", origin(d), len(list), plain(err))
	case len(list) == 0:
		s.problem(p, "%s: there is no list of revoked certificates in it", origin(d))
	}
	return list
}

// eachBlock reads the blocks of PEM of one kind; those of others are passed over.
func eachBlock(b []byte, kind string, read func(der []byte) error) error {
	for {
		var block *pem.Block
		rest := bytes.TrimSpace(b)
		if block, b = pem.Decode(rest); block == nil {
			if bytes.Contains(rest, []byte("-----BEGIN "+kind)) {
				return errors.New("a block of PEM is broken")
			}
			return nil
		}
		if block.Type != kind {
			continue
		}
		if err := read(block.Bytes); err != nil {
			return err
		}
	}
}
