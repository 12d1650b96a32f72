package translate

import (
	"fmt"
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// What the names begin with under which the control plane serves credentials of Kubernetes' objects, and what those of roots end with. Without a namespace
// it is the proxy's.
const (
	inSecret    = "kubernetes://"
	inConfigMap = "configmap://"
	rootsEnd    = "-cacert"
)

// secretOf is the name under which the certificate and key of a credential are served.
func secretOf(name string) string {
	if strings.HasPrefix(name, inSecret) {
		return name
	}
	return inSecret + name
}

// rootsOf is the name under which the roots of a credential are. A ConfigMap is of the namespace of whoever names it.
func rootsOf(name, namespace string) string {
	rest, ok := strings.CutPrefix(name, inConfigMap)
	if ok && !strings.Contains(rest, "/") {
		rest = namespace + "/" + rest
	}
	rest = strings.TrimSuffix(rest, rootsEnd) + rootsEnd
	if ok {
		return inConfigMap + rest
	}
	return secretOf(rest)
}

// isCredential tells whether a name can be that of a credential. What Istio reads from elsewhere (sds://, builtin://) is not run.
func isCredential(name string, roots bool) bool {
	scheme, rest, ok := strings.Cut(name, "://")
	if !ok {
		return name != ""
	}
	return rest != "" && (scheme+"://" == inSecret || roots && scheme+"://" == inConfigMap)
}

// credentialNames are those of a door's certificates: one, or several of different kinds of keys.
func credentialNames(said *networking.ServerTLSSettings) []string {
	if names := said.GetCredentialNames(); len(names) > 0 {
		return names
	}
	if name := said.GetCredentialName(); name != "" {
		return []string{name}
	}
	return nil
}

// doorRoots is whose certificates a door takes, by its credential.
func doorRoots(said *networking.ServerTLSSettings, namespace string) string {
	if name := said.GetCaCertCredentialName(); name != "" {
		return rootsOf(name, namespace)
	}
	return rootsOf(credentialNames(said)[0], namespace)
}

// asks tells whether clients are asked for certificates.
func asks(mode networking.ServerTLSSettings_TLSmode) bool {
	return mode == networking.ServerTLSSettings_MUTUAL || mode == networking.ServerTLSSettings_OPTIONAL_MUTUAL || mode == networking.ServerTLSSettings_ISTIO_MUTUAL
}

// credentials are the names of those that a door has.
func (d *door) credentials() (names []string) {
	said := d.server.GetTls()
	if !d.ends() || said.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		return nil
	}
	for _, name := range credentialNames(said) {
		names = append(names, secretOf(name))
	}
	if asks(said.GetMode()) && (len(names) > 0 || said.GetCaCertCredentialName() != "") {
		names = append(names, doorRoots(said, d.object.Namespace))
	}
	return names
}

// toldCredentials tells whether a proxy is told the credentials of a rule. Sidecars are only if the rule chooses them by their labels, as Istio's: a rule for all
// of a namespace, or of the mesh, would hand its key to everybody, and is there for the gateway that they go through.
func toldCredentials(gateway bool, rule *mesh.DestinationRule) bool {
	return rule != nil && (gateway || rule.Spec.GetWorkloadSelector() != nil)
}

// originated are the names of the credentials of a rule's TLS.
func originated(tls *networking.ClientTLSSettings, namespace string) (names []string) {
	if tls.GetCredentialName() == "" {
		return nil
	}
	switch tls.GetMode() {
	case networking.ClientTLSSettings_MUTUAL:
		names = append(names, secretOf(tls.GetCredentialName()))
	case networking.ClientTLSSettings_SIMPLE:
	default:
		return nil
	}
	if !tls.GetInsecureSkipVerify().GetValue() {
		names = append(names, rootsOf(tls.GetCredentialName(), namespace))
	}
	return names
}

// tlsOf calls f for all that a rule says of TLS, and where.
func tlsOf(rule *networking.DestinationRule, f func(path string, tls *networking.ClientTLSSettings)) {
	of := func(path string, p *networking.TrafficPolicy) {
		if p.GetTls() != nil {
			f(path+".trafficPolicy.tls", p.GetTls())
		}
		for i, port := range p.GetPortLevelSettings() {
			if port.GetTls() != nil {
				f(fmt.Sprintf("%s.trafficPolicy.portLevelSettings[%d].tls", path, i), port.GetTls())
			}
		}
	}
	of("spec", rule.GetTrafficPolicy())
	for i, s := range rule.GetSubsets() {
		of(fmt.Sprintf("spec.subsets[%d]", i), s.GetTrafficPolicy())
	}
}

// credentials are the names of those that layers have a proxy ask for, in order.
func (l *layers) credentials(role Role) []string {
	names := slices.Clone(l.clusters.of.credentials[role])
	if l.gateway != nil {
		names = append(names, l.gateway.credentials...)
	}
	slices.Sort(names)
	return slices.Clip(slices.Compact(names))
}

// byCredential has a connection of our own use a credential.
func byCredential(common *tlsv3.CommonTlsContext, tls *networking.ClientTLSSettings, names []string, namespace string) {
	if tls.GetMode() == networking.ClientTLSSettings_MUTUAL {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secret(FromPlane, secretOf(tls.GetCredentialName()))}
	}
	if tls.GetInsecureSkipVerify().GetValue() {
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{}}
		return
	}
	common.ValidationContextType = verified(exactly(names), secret(FromPlane, rootsOf(tls.GetCredentialName(), namespace)))
}
