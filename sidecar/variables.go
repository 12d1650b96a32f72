package sidecar

import "slices"

// Use is what becomes of a variable.
type Use uint8

// The uses.
const (
	Run      Use = iota // it does what Istio's agent does by it
	Harmless            // it changes nothing that can be seen from outside
	Unused              // it asks for what is not here: said once, if it is set
)

// Variable is one of the environment that Istio's agent reads, or that only we do.
type Variable struct {
	Name string
	Use  Use
	What string // it says, or why it is not run
}

// Variables are all that are known, in the order of the guide (docs/sidecar.md).
var Variables = []Variable{
	{"POD_NAME", Run, "the workload's name, in the node's id"},
	{"POD_NAMESPACE", Run, "its namespace"},
	{"SERVICE_ACCOUNT", Run, "its service account: the certificate has to be of it"},
	{"INSTANCE_IP", Run, "its address; unsaid, the first of this host that is not loopback"},
	{"HOST_IP", Harmless, "nothing here asks for the node's address"},
	{"TRUST_DOMAIN", Run, "of the certificate, which has to be of it"},
	{"PROXY_CONFIG", Run, "a ProxyConfig, in JSON or YAML"},
	{"ISTIO_META_*", Run, "metadata of the node, as text: by INTERCEPTION_MODE, CLUSTER_ID, NETWORK and so on the control plane knows what to tell"},
	{"ISTIO_METAJSON_*", Run, "objects of JSON whose keys become metadata; ISTIO_METAJSON_LABELS: labels"},
	{"ISTIO_CPU_LIMIT", Run, "event loops, unless PROXY_CONFIG says concurrency"},
	{"ISTIO_BOOTSTRAP_OVERRIDE", Run, "a file with a piece of a bootstrap, merged over the one that is made"},
	{"ISTIO_BOOTSTRAP", Unused, "the bootstrap is made here; a whole one of your own is taken by weft -c"},
	{"CA_ADDR", Run, "who signs; unsaid, the control plane"},
	{"CA_ROOT_CA", Run, "a file with whom that is believed by; SYSTEM: those that this host trusts"},
	{"XDS_ROOT_CA", Run, "a file with whom the control plane is believed by; SYSTEM: those that this host trusts"},
	{"PILOT_CERT_PROVIDER", Run, "istiod, custom or system: where those files are if nothing else is said"},
	{"ISTIOD_SAN", Run, "the name in the control plane's certificate; unsaid, its host"},
	{"CA_PROVIDER", Run, "Citadel, which is Istio's certificate service; others are refused"},
	{"ISTIO_META_CERT_SIGNER", Run, "a signer that is named to who signs"},
	{"JWT_POLICY", Run, "third-party-jwt; first-party-jwt: the token is that of the API server itself"},
	{"PROV_CERT", Run, "a folder with a certificate that is shown instead of a token: cert-chain.pem, key.pem"},
	{"OUTPUT_CERTS", Run, "a folder that the certificate in force is written to, and taken up from"},
	{"FILE_MOUNTED_CERTS", Run, "the certificate is in files that others write, in /etc/certs, or in PROV_CERT"},
	{"SECRET_TTL", Run, "the life that is asked for; 24h"},
	{"SECRET_GRACE_PERIOD_RATIO", Run, "the part of it that is left when it is renewed; 0.5"},
	{"SECRET_GRACE_PERIOD_RATIO_JITTER", Run, "by how much that may be off; 0.01"},
	{"WORKLOAD_RSA_KEY_SIZE", Run, "a key of RSA with so many bits: 2048 to 4096; unsaid, a key of ECDSA"},
	{"ECC_SIGNATURE_ALGORITHM", Run, "ECDSA, which is what is made anyway"},
	{"ECC_CURVE", Run, "P256 or P384"},
	{"PKCS8_KEY", Run, "keys in OUTPUT_CERTS are in PKCS 8"},
	{"WORKLOAD_IDENTITY_SOCKET_FILE", Run, "the name of somebody else's socket in workload-spiffe-uds, such as SPIRE's"},
	{"EXIT_ON_ZERO_ACTIVE_CONNECTIONS", Run, "when told to end it goes on until nobody is connected"},
	{"MINIMUM_DRAIN_DURATION", Run, "but for so long at least; 5s"},
	{"ISTIO_KUBE_APP_PROBERS", Run, "probes of kubelets, put to the application"},
	{"ISTIO_PROMETHEUS_ANNOTATIONS", Run, "where the application's metrics are, which are told beside the proxy's"},
	{"ENVOY_STATUS_PORT", Run, "where /healthz/ready is; 15021"},
	{"ENVOY_PROMETHEUS_PORT", Run, "where the proxy's metrics are; 15090"},
	{"ISTIO_META_DNS_CAPTURE", Run, "questions for names are answered here"},
	{"ISTIO_META_ENABLE_DNS_SERVER", Run, "the same at a gateway, where nobody redirects them"},
	{"DNS_PROXY_ADDR", Run, "where; localhost:15053"},
	{"DNS_FORWARD_PARALLEL", Run, "the resolvers of the pod are asked at once"},
	{"GOMEMLIMIT", Run, "Go's own: how much memory there is"},
	{"GOMAXPROCS", Run, "Go's own: how many processors there are"},
	{"WEFT_JOIN_TOKEN", Run, "a join token of weftd's, good for the first certificate"},
	{"WEFT_JOIN_TOKEN_FILE", Run, "a file with one"},
	{"WEFT_DISCOVERY", Run, "the control plane, HOST:PORT, whatever PROXY_CONFIG says"},
	{"WEFT_TAKE_OVER", Run, "true: it takes the place of the sidecar that runs in this network namespace with the same admin port, or is the first"},
	{"PROXY_CONFIG_XDS_AGENT", Unused, "roots are followed in their files"},
	{"XDS_AUTH_PROVIDER", Unused, "tokens are those of service accounts"},
	{"CREDENTIAL_FETCHER_TYPE", Unused, "tokens are those of service accounts"},
	{"CREDENTIAL_IDENTITY_PROVIDER", Unused, "tokens are those of service accounts"},
	{"GRPC_XDS_BOOTSTRAP", Unused, "no bootstrap is written for clients of gRPC's own"},
	{"DISABLE_ENVOY", Unused, "there is no agent without its proxy here"},
	{"PEER_METADATA_DISCOVERY", Harmless, "peers tell each other in headers and ALPN"},
	{"FILE_DEBOUNCE_DURATION", Harmless, "files are looked at every 5 s"},
	{"ENVOY_SKIP_DEPRECATED_LOGS", Harmless, "what is deprecated is not logged"},
	{"WASM_INSECURE_REGISTRIES", Unused, "Wasm modules are not fetched here"},
	{"WASM_MODULE_EXPIRY", Unused, "Wasm modules are not fetched here"},
	{"WASM_PURGE_INTERVAL", Unused, "Wasm modules are not fetched here"},
	{"WASM_HTTP_REQUEST_TIMEOUT", Unused, "Wasm modules are not fetched here"},
	{"WASM_HTTP_REQUEST_MAX_RETRIES", Unused, "Wasm modules are not fetched here"},
}

// unused are the variables of an environment that ask for what is not here.
func unused(env map[string]string) (said []string) {
	for _, v := range Variables {
		if value := env[v.Name]; v.Use == Unused && value != "" && value != "false" {
			said = append(said, v.Name+": "+v.What)
		}
	}
	slices.Sort(said)
	return said
}
