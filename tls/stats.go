package tls

import (
	"crypto/tls"
	"errors"
	"slices"

	"github.com/weftmesh/weft/telemetry"
)

// Rows of what became of handshakes, under Envoy's names.
const (
	Handshakes = iota
	ConnectionError
	NoClientCertificate
	SessionReused
	FailVerifyNoCert
	FailVerifyError
	FailVerifySAN
	FailVerifyHash
	StapleRequests
	StapleResponses
	StapleOmitted
	StapleFailed
	SecretMissing
	Overflow
	ConnectionRevoked
)

// ListenerStats and ClusterStats are the tables of what became of handshakes.
var (
	ListenerStats = &telemetry.Table{Kind: "listener_ssl", Metrics: metrics}
	ClusterStats  = &telemetry.Table{Kind: "cluster_ssl", Metrics: metrics}
)

var metrics = []telemetry.Metric{
	Handshakes:          {Name: "handshake"},
	ConnectionError:     {Name: "connection_error"},
	NoClientCertificate: {Name: "no_certificate"},
	SessionReused:       {Name: "session_reused"},
	FailVerifyNoCert:    {Name: "fail_verify_no_cert"},
	FailVerifyError:     {Name: "fail_verify_error"},
	FailVerifySAN:       {Name: "fail_verify_san"},
	FailVerifyHash:      {Name: "fail_verify_cert_hash"},
	StapleRequests:      {Name: "ocsp_staple_requests"},
	StapleResponses:     {Name: "ocsp_staple_responses"},
	StapleOmitted:       {Name: "ocsp_staple_omitted"},
	StapleFailed:        {Name: "ocsp_staple_failed"},
	SecretMissing:       {Name: "secret_missing"},     // ours: a secret has not come
	Overflow:            {Name: "handshake_overflow"}, // ours: more are in their handshake than may be
	ConnectionRevoked:   {Name: "connection_revoked"}, // ours: the peer was revoked while the connection stood, which has ended it
}

// What can be agreed on, in the order of their rows; the names are Envoy's.
var (
	versions = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	curves   = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519MLKEM768}
)

var versionNames = [...]string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}
var curveNames = [...]string{"X25519", "P-256", "P-384", "P-521", "X25519MLKEM768"}

// Ciphers are the suites that there are, by number, with OpenSSL's names.
var ciphers = []struct {
	id   uint16
	name string
}{
	{tls.TLS_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"},
	{tls.TLS_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"},
	{tls.TLS_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA"},
	{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256"},
	{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA"},
	{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA"},
}

// VersionName is a version as Envoy writes it; empty: it is none.
func VersionName(v uint16) string {
	if i := slices.Index(versions, v); i >= 0 {
		return versionNames[i]
	}
	return ""
}

// CurveName is a curve as Envoy writes it; empty: it is none that is known.
func CurveName(c tls.CurveID) string {
	if i := slices.Index(curves, c); i >= 0 {
		return curveNames[i]
	}
	return ""
}

// CipherName is a suite as OpenSSL writes it; empty: it is none that is known.
func CipherName(id uint16) string {
	for _, c := range ciphers {
		if c.id == id {
			return c.name
		}
	}
	return ""
}

// Cipher finds a suite of TLS 1.2 or before by one of its names.
func Cipher(name string) (uint16, bool) {
	for _, c := range ciphers[3:] {
		if c.name == name || tls.CipherSuiteName(c.id) == name {
			return c.id, true
		}
	}
	return 0, false
}

// Curve finds a curve by one of its names.
func Curve(name string) (tls.CurveID, bool) {
	switch name {
	case "prime256v1", "secp256r1":
		name = "P-256"
	case "secp384r1":
		name = "P-384"
	case "secp521r1":
		name = "P-521"
	}
	for i, n := range curveNames {
		if n == name {
			return curves[i], true
		}
	}
	return 0, false
}

// ListenerAgreed and ClusterAgreed are the tables of what handshakes agreed on. Their rows are the versions, the curves and the suites.
var (
	ListenerAgreed = agreed("listener_ssl")
	ClusterAgreed  = agreed("cluster_ssl")
)

func agreed(kind string) *telemetry.Table {
	t := &telemetry.Table{Kind: kind, Sparse: true}
	for _, n := range versionNames {
		t.Metrics = append(t.Metrics, telemetry.Metric{Name: "versions." + n})
	}
	for _, n := range curveNames {
		t.Metrics = append(t.Metrics, telemetry.Metric{Name: "curves." + n})
	}
	for _, c := range ciphers {
		t.Metrics = append(t.Metrics, telemetry.Metric{Name: "ciphers." + c.name})
	}
	return t
}

// Count counts a handshake that has succeeded.
func Count(agreed, stats *telemetry.Values, s *Session) {
	state := s.State()
	s.stats = stats
	stats.Inc(Handshakes)
	if state.DidResume {
		stats.Inc(SessionReused)
	}
	if len(state.PeerCertificates) == 0 {
		stats.Inc(NoClientCertificate)
	}
	if c := s.made.checks; c != nil && c.asked.AcceptUntrusted && len(state.PeerCertificates) > 0 && !c.trusts(state.PeerCertificates) {
		stats.Inc(FailVerifyError) // and nothing comes of it
	}
	if i := slices.Index(versions, state.Version); i >= 0 {
		agreed.Inc(i)
	}
	if i := slices.Index(curves, state.CurveID); i >= 0 {
		agreed.Inc(len(versions) + i)
	}
	for i := range ciphers {
		if ciphers[i].id == state.CipherSuite {
			agreed.Inc(len(versions) + len(curves) + i)
		}
	}
}

// CountFailure counts one that has failed, by cause.
func CountFailure(stats *telemetry.Values, err error) {
	var r *Refusal
	var m *missingError
	switch {
	case errors.As(err, &m):
		stats.Inc(SecretMissing)
	case errors.As(err, &r):
		stats.Inc([...]int{BadChain: FailVerifyError, BadName: FailVerifySAN, BadHash: FailVerifyHash, NoCertificate: FailVerifyNoCert}[r.Kind])
	default:
		if err != nil && err.Error() == noCertificate {
			stats.Inc(FailVerifyNoCert)
			return
		}
		stats.Inc(ConnectionError)
	}
}

// noCertificate is what crypto/tls says of a client that should have shown a certificate.
const noCertificate = "tls: client didn't provide a certificate"
