package sidecar

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Role is what the process is for, as nodes say it.
type Role string

// The roles.
const (
	Sidecar Role = "sidecar"
	Router  Role = "router"
)

// Where injection mounts what there is, below the folder that the process runs in: / in a pod.
const (
	identityFolder  = "./var/run/secrets/workload-spiffe-uds"
	identitySocket  = identityFolder + "/socket"
	identityFiles   = "./var/run/secrets/workload-spiffe-credentials"
	credentialsDoor = "./var/run/secrets/credential-uds/socket"
	boundToken      = "./var/run/secrets/tokens/istio-token"
	kubernetesToken = "./var/run/secrets/kubernetes.io/serviceaccount/token"
	meshRoots       = "./var/run/secrets/istio/root-cert.pem"
	customRoots     = "./etc/certs/root-cert.pem"
	mountedCerts    = "./etc/certs"
	podLabels       = "./etc/istio/pod/labels"
	podAnnotations  = "./etc/istio/pod/annotations"
)

// What is usual.
const (
	usualDiscovery   = "istiod.istio-system.svc:15012"
	usualConfigPath  = "./etc/istio/proxy"
	usualAdmin       = 15000
	usualAgent       = 15020
	usualReady       = 15021
	usualPrometheus  = 15090
	usualNames       = "localhost:15053"
	usualDrain       = 45 * time.Second
	usualTermination = 5 * time.Second
	usualMinimum     = 5 * time.Second
	usualLife        = 24 * time.Hour
	istiodName       = "istiod.istio-system.svc"
)

// Settings are all that a sidecar is told.
type Settings struct {
	Role                     Role
	Name, Namespace, Account string
	Domain                   string // in which the workload looks names up
	Addresses                []string
	Discovery                Server
	Plain                    bool // the control plane is spoken to in plain text, and nobody shows anything
	Concurrency              int  // 0: as many as there are processors
	ConfigPath               string
	Override                 string // a file; empty: none
	AdminPort                uint16
	AgentPort, ReadyPort     int // 0: nobody is answered there
	PrometheusPort           int
	Drain                    time.Duration // over which clients are asked to go by a drain that is asked for
	Termination              time.Duration // how long it goes on when told to end
	UntilIdle                bool          // instead it goes on until nobody is connected, and Minimum at least
	Minimum                  time.Duration
	FlushEvery               time.Duration // of access logs
	FlushKB                  uint
	Probers, Scrape          string
	Names                    []string // where questions for names are answered; none: nowhere
	ResolversAtOnce          bool
	TakeOver                 bool // of whoever runs here, if anybody does
	Identity                 Identity

	locality  string // region/zone/subzone
	node      map[string]any
	service   string // what it calls itself
	proxy     proxyConfig
	annotated map[string]string
}

// Server is whom to speak to, and whom it is believed by.
type Server struct {
	Address string // host:port
	Name    string // in its certificate
	Roots   string // a file; empty: those that this host trusts
}

// Identity is where the workload's certificate comes from.
type Identity struct {
	CA            Server
	Socket        string // of somebody else who serves it; empty: this process does
	Files         string // a folder that others write it to; empty: none
	Shown         string // a folder with one that is shown to who signs; empty: none
	Token         string // a file; empty: there is none
	Join          string // a join token; empty: none
	Output        string // a folder; empty: none
	Cluster       string
	Signer        string
	Domain        string // empty: any
	Life          time.Duration
	Grace, Jitter float64
	RSA           int
	Curve         string
	PKCS8         bool
}

// Read makes settings of an environment and of the files that injection mounts. domain may be empty. said is what is set and does nothing, for people.
func Read(role Role, env map[string]string, domain string) (s *Settings, said []string, err error) {
	r := &reader{env: env}
	s = &Settings{
		Role: role, Name: env["POD_NAME"], Namespace: env["POD_NAMESPACE"], Account: env["SERVICE_ACCOUNT"],
		Override: env["ISTIO_BOOTSTRAP_OVERRIDE"], Probers: env["ISTIO_KUBE_APP_PROBERS"], Scrape: env["ISTIO_PROMETHEUS_ANNOTATIONS"],
		TakeOver: r.is("WEFT_TAKE_OVER"), UntilIdle: r.is("EXIT_ON_ZERO_ACTIVE_CONNECTIONS"), Minimum: r.duration("MINIMUM_DRAIN_DURATION", usualMinimum),
		ReadyPort: r.port("ENVOY_STATUS_PORT", usualReady), PrometheusPort: r.port("ENVOY_PROMETHEUS_PORT", usualPrometheus),
	}
	var raw map[string]any
	s.proxy, raw, said, err = readProxyConfig(env["PROXY_CONFIG"])
	r.fail(err)
	said = append(said, unused(env)...)
	if role == Router {
		s.Scrape = "" // its ports are open to others
	}
	c := &s.proxy
	for name, value := range c.ProxyMetadata { // which injection sets as variables, and others do not
		if _, is := env[name]; !is {
			env[name] = value
		}
	}
	host, _ := os.Hostname()
	s.Name, s.Namespace = cmp.Or(s.Name, host, "unknown"), cmp.Or(s.Namespace, "default")
	s.Domain = cmp.Or(domain, s.Namespace+".svc.cluster.local")
	r.fail(s.address(env["INSTANCE_IP"]))
	s.ConfigPath, s.AdminPort, s.AgentPort = cmp.Or(c.ConfigPath, usualConfigPath), cmp.Or(c.ProxyAdminPort, usualAdmin), usualAgent
	if c.StatusPort != nil {
		if s.AgentPort = *c.StatusPort; s.AgentPort < 0 || s.AgentPort > 65535 {
			r.fail(fmt.Errorf("PROXY_CONFIG statusPort is %d: want a port", s.AgentPort))
		}
	}
	s.Drain, s.Termination = c.DrainDuration.or(usualDrain), c.TerminationDrainDuration.or(usualTermination)
	s.FlushEvery, s.FlushKB = c.FileFlushInterval.or(time.Second), 64
	if c.FileFlushMinSizeKB != nil {
		s.FlushKB = *c.FileFlushMinSizeKB
	}
	if c.Concurrency != nil {
		s.Concurrency = *c.Concurrency
	} else if limit := env["ISTIO_CPU_LIMIT"]; limit != "" {
		s.Concurrency = r.number("ISTIO_CPU_LIMIT", 0, 0, 1024)
	}
	if s.Plain, err = c.plain(); err != nil {
		r.fail(err)
	}
	s.servers(r)
	s.identity(r)
	s.names(r)
	r.fail(s.describe(raw, r))
	return s, said, errors.Join(r.wrong...)
}

// address finds the workload's addresses, the one that others know it by first.
func (s *Settings) address(said string) error {
	if said != "" {
		ip, err := netip.ParseAddr(said)
		if err != nil {
			return fmt.Errorf("INSTANCE_IP is %q: want an address", said)
		}
		s.Addresses = append(s.Addresses, ip.Unmap().String())
	}
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr().Unmap()
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || len(s.Addresses) > 0 && s.Addresses[0] == ip.String() {
			continue
		}
		s.Addresses = append(s.Addresses, ip.String())
	}
	if len(s.Addresses) == 0 {
		s.Addresses = []string{"127.0.0.1"}
	}
	return nil
}

// servers finds the control plane and who signs.
func (s *Settings) servers(r *reader) {
	env := r.env
	roots, system := meshRoots, "SYSTEM"
	switch provider := env["PILOT_CERT_PROVIDER"]; provider {
	case "", "istiod":
	case "custom":
		roots = customRoots
	case "system":
		roots = ""
	default:
		if !strings.HasPrefix(provider, "k8s.io/") { // which istiod has roots told of, in the same file
			r.fail(fmt.Errorf("PILOT_CERT_PROVIDER is %q: want istiod, custom or system", provider))
		}
	}
	of := func(name string) string {
		switch said := env[name]; said {
		case "":
			return roots
		case system:
			return ""
		default:
			return said
		}
	}
	address := cmp.Or(env["WEFT_DISCOVERY"], s.proxy.DiscoveryAddress, usualDiscovery)
	s.Discovery = Server{Address: address, Name: nameOf(address, env["ISTIOD_SAN"]), Roots: of("XDS_ROOT_CA")}
	address = cmp.Or(env["CA_ADDR"], address)
	s.Identity.CA = Server{Address: address, Name: nameOf(address, env["ISTIOD_SAN"]), Roots: of("CA_ROOT_CA")}
	for _, one := range []string{s.Discovery.Address, address} {
		if _, _, err := net.SplitHostPort(one); err != nil {
			r.fail(fmt.Errorf("the control plane's address %q: want HOST:PORT", one))
		}
	}
}

// nameOf is what a server's certificate has to say. Who is reached by this host itself, as by a port that is forwarded, is istiod.
func nameOf(address, said string) string {
	host, _, _ := net.SplitHostPort(address)
	if said != "" {
		return said
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return istiodName
	}
	return host
}

// identity finds where the certificate comes from.
func (s *Settings) identity(r *reader) {
	env, i := r.env, &s.Identity
	i.Cluster, i.Signer, i.Output, i.Shown = env["ISTIO_META_CLUSTER_ID"], env["ISTIO_META_CERT_SIGNER"], env["OUTPUT_CERTS"], env["PROV_CERT"]
	i.Domain, i.PKCS8 = env["TRUST_DOMAIN"], r.is("PKCS8_KEY")
	i.Life, i.Grace, i.Jitter = r.duration("SECRET_TTL", usualLife), r.share("SECRET_GRACE_PERIOD_RATIO", 0.5), r.share("SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01)
	if env["WORKLOAD_RSA_KEY_SIZE"] != "" && env["ECC_SIGNATURE_ALGORITHM"] == "" {
		i.RSA = r.number("WORKLOAD_RSA_KEY_SIZE", 2048, 2048, 4096)
	}
	if a := env["ECC_SIGNATURE_ALGORITHM"]; a != "" && a != "ECDSA" {
		r.fail(fmt.Errorf("ECC_SIGNATURE_ALGORITHM is %q: want ECDSA", a))
	}
	if i.Curve = cmp.Or(env["ECC_CURVE"], "P256"); i.Curve != "P256" && i.Curve != "P384" {
		r.fail(fmt.Errorf("ECC_CURVE is %q: want P256 or P384", i.Curve))
	}
	if p := env["CA_PROVIDER"]; p != "" && p != "Citadel" {
		r.fail(fmt.Errorf("CA_PROVIDER is %q: want Citadel, which is Istio's certificate service, that weftd and istiod have", p))
	}
	if i.Life < time.Second {
		r.fail(fmt.Errorf("SECRET_TTL is %v: want a second at least", i.Life))
	}
	switch policy := env["JWT_POLICY"]; policy {
	case "", "third-party-jwt":
		i.Token = present(boundToken)
	case "first-party-jwt":
		i.Token = kubernetesToken
	default:
		r.fail(fmt.Errorf("JWT_POLICY is %q: want third-party-jwt or first-party-jwt", policy))
	}
	i.Join = strings.TrimSpace(env["WEFT_JOIN_TOKEN"])
	if file := env["WEFT_JOIN_TOKEN_FILE"]; file != "" && i.Join == "" {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it is good once, and may be gone by now
			r.fail(fmt.Errorf("WEFT_JOIN_TOKEN_FILE: %w", err))
		}
		i.Join = strings.TrimSpace(string(b))
	}
	if i.Join != "" && i.Token != "" {
		r.fail(fmt.Errorf("there is a join token, and a token of a service account in %s: want one of the two", i.Token))
	}
	if env["WEFT_JOIN_TOKEN"]+env["WEFT_JOIN_TOKEN_FILE"] != "" && i.Output == "" {
		i.Output = mountedCerts // who has joined comes back by what he got
	}
	if r.is("FILE_MOUNTED_CERTS") {
		i.Files = cmp.Or(i.Shown, mountedCerts)
	} else if present(filepath.Join(identityFiles, "cert-chain.pem")) != "" {
		i.Files = identityFiles
	}
	if name := env["WORKLOAD_IDENTITY_SOCKET_FILE"]; name != "" && name != "socket" {
		if filepath.Base(name) != name {
			r.fail(fmt.Errorf("WORKLOAD_IDENTITY_SOCKET_FILE is %q: want a name in %s", name, identityFolder))
		}
		i.Socket = identityFolder + "/" + name // it has to be there
	} else if served(identitySocket) {
		i.Socket = identitySocket
	}
	if s.Plain && env["CA_ADDR"] == "" && i.Files == "" && i.Socket == "" {
		i.CA = Server{} // a control plane in plain text signs nothing
	}
}

// names finds where questions for names are answered.
func (s *Settings) names(r *reader) {
	if s.Role == Sidecar && !r.is("ISTIO_META_DNS_CAPTURE") || s.Role == Router && !r.is("ISTIO_META_ENABLE_DNS_SERVER") {
		return
	}
	s.ResolversAtOnce = r.is("DNS_FORWARD_PARALLEL")
	at := cmp.Or(r.env["DNS_PROXY_ADDR"], usualNames)
	host, port, err := net.SplitHostPort(at)
	switch {
	case err != nil:
		r.fail(fmt.Errorf("DNS_PROXY_ADDR is %q: want HOST:PORT", at))
	case host == "localhost":
		s.Names = []string{"127.0.0.1:" + port}
		for _, a := range s.Addresses {
			if strings.Contains(a, ":") {
				s.Names = append(s.Names, "[::1]:"+port)
				break
			}
		}
	default:
		s.Names = []string{at}
	}
}

// present is the path if there is something.
func present(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// served says that somebody serves at a socket. One that an earlier process has left is nobody's.
func served(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// reader reads variables, and keeps what is wrong with them.
type reader struct {
	env   map[string]string
	wrong []error
}

func (r *reader) fail(err error) {
	if err != nil {
		r.wrong = append(r.wrong, err)
	}
}

func (r *reader) is(name string) bool {
	text := r.env[name]
	if text == "" {
		return false
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		r.fail(fmt.Errorf("%s is %q: want true or false", name, text))
	}
	return v
}

func (r *reader) duration(name string, usual time.Duration) time.Duration {
	text := r.env[name]
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		r.fail(fmt.Errorf("%s is %q: want a duration such as 24h", name, text))
	}
	return d
}

func (r *reader) number(name string, usual, least, most int) int {
	text := r.env[name]
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		r.fail(fmt.Errorf("%s is %q: want a number from %d to %d", name, text, least, most))
	}
	return n
}

func (r *reader) port(name string, usual int) int { return r.number(name, usual, 0, 65535) }

// share is a number from 0 to 1.
func (r *reader) share(name string, usual float64) float64 {
	text := r.env[name]
	if text == "" {
		return usual
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		r.fail(fmt.Errorf("%s is %q: want a number from 0 to 1", name, text))
	}
	return v
}
