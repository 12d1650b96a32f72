package scenarios

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
	"github.com/weftmesh/weft/ground"
)

// captured measures two sidecars between a client and a server in network namespaces: their traffic is captured as Istio captures it, and they speak
// mutual TLS. Both proxies share a processor, and have a process each; what they add to a request is held against the same request without them, of the
// same client to the same server, just before.
type captured struct {
	envoyish
	rate  float64
	conns int
}

const (
	sidecarUser  = 1337
	sidecarAdmin = 15000
)

func (k captured) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	if os.Geteuid() != 0 {
		return Sample{Absent: "network namespaces and captured traffic want root"}, nil
	}
	one, err := k.pass(ctx, s, c, rules{s})
	if err != nil {
		return Sample{}, err
	}
	sample := Sample{Load: &one.through, Invalid: one.wrong}
	if one.wrong == "" {
		sample.Values = []float64{one.cost, one.resident, micros(one.through.P50 - one.alone.P50), micros(one.through.P99 - one.alone.P99)}
	}
	return sample, nil
}

// passed is what was seen of traffic through two sidecars.
type passed struct {
	alone, through load.Result
	wrong          string  // why it must not be used
	cost           float64 // of one sidecar, µs a request
	resident       float64 // of the larger one, MB
}

// capturing has the kernel bring a namespace's traffic to its sidecar. Before that it says in which cgroup processes have to be for it; nil: in any.
type capturing interface {
	group(at *ground.Plot) (cgroup *os.File, err error)
	capture(ctx context.Context, at *ground.Plot) error
}

// rules capture as Istio does, by weft that was built with this, for whoever is measured.
type rules struct{ *Stage }

func (r rules) group(*ground.Plot) (*os.File, error) { return nil, nil }

func (r rules) capture(ctx context.Context, at *ground.Plot) error {
	out, err := exec.CommandContext(ctx, r.Weft, "capture", "apply", "--network-namespace", at.Path(), "-i", "*", "-b", "*", "-d", "15090,15021,15020").CombinedOutput()
	if err != nil {
		return fmt.Errorf("scenarios: capturing the traffic of %s: %w: %s", at.Name, err, out)
	}
	return nil
}

// pass measures once.
func (k captured) pass(ctx context.Context, s *Stage, c rivals.Contestant, by capturing) (one passed, err error) {
	g, err := ground.New()
	if err != nil {
		return one, err
	}
	defer g.Close()
	client, err := g.Plot("client")
	if err != nil {
		return one, err
	}
	server, err := g.Plot("server")
	if err != nil {
		return one, err
	}
	dir, err := os.MkdirTemp("", "weft-bench-captured")
	if err != nil {
		return one, fmt.Errorf("scenarios: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := shared(dir); err != nil {
		return one, err
	}
	groups := map[*ground.Plot]*os.File{}
	for _, at := range []*ground.Plot{client, server} {
		if groups[at], err = by.group(at); err != nil {
			return one, err
		}
		if groups[at] != nil {
			defer groups[at].Close()
		}
	}
	said := make(chan []byte, 1)
	answers, err := proc.Start(ctx, proc.Command{Path: s.self, Args: []string{"-role", OpenUpstreamRole}, Stdout: said, CPUs: []int{s.loadCPU}, Enter: server.Enter, Cgroup: groups[server], Env: childEnv})
	if err != nil {
		return one, err
	}
	defer answers.Stop(nil)
	line, err := s.hear(ctx, answers, said, childLimit)
	if err != nil {
		return one, fmt.Errorf("scenarios: upstream: %w", err)
	}
	var ports upstream.Ports
	if err := json.Unmarshal(line, &ports); err != nil {
		return one, fmt.Errorf("scenarios: upstream: %w", err)
	}
	spec := load.Spec{Address: server.IP, Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: k.conns, Rate: k.rate, Warm: s.Warm, Measure: s.Measure}
	if one.alone, err = s.loadIn(ctx, client, nil, spec); err != nil {
		return one, err
	}
	if one.wrong = judge(spec, one.alone, false); one.wrong != "" {
		one.wrong = "without a mesh: " + one.wrong
		return one, nil
	}
	for _, side := range []struct {
		at   *ground.Plot
		text string
	}{{server, inboundText(ports.HTTP)}, {client, outboundText(server, ports.HTTP)}} {
		if err := by.capture(ctx, side.at); err != nil {
			return one, err
		}
		p, err := s.sidecar(ctx, c, side.at, groups[side.at], dir, strings.ReplaceAll(side.text, "@DIR@", dir))
		if err != nil {
			return one, err
		}
		defer p.Stop(nil)
		spec.Watch = append(spec.Watch, p.PID())
	}
	if one.through, err = s.loadIn(ctx, client, groups[client], spec); err != nil {
		return one, err
	}
	one.wrong = judge(spec, one.through, false)
	for _, pid := range spec.Watch {
		bytes, err := proc.Resident([]int{pid})
		if err != nil {
			return one, err
		}
		one.resident = max(one.resident, float64(bytes)/1e6)
	}
	if one.through.Requests > 0 {
		one.cost = float64(one.through.Cost.Nanoseconds()) / float64(one.through.Requests) / float64(len(spec.Watch)) / 1e3
	}
	return one, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// loadIn is load in a namespace, and in a cgroup, if there is one.
func (s *Stage) loadIn(ctx context.Context, at *ground.Plot, cgroup *os.File, spec load.Spec) (r load.Result, err error) {
	input, err := json.Marshal(spec)
	if err != nil {
		return r, fmt.Errorf("scenarios: load: %w", err)
	}
	said := make(chan []byte, 1)
	child, err := proc.Start(ctx, proc.Command{Path: s.self, Args: []string{"-role", LoadRole}, Input: input, Stdout: said, CPUs: []int{s.loadCPU}, Enter: at.Enter, Cgroup: cgroup, Env: childEnv})
	if err != nil {
		return r, err
	}
	defer child.Stop(nil)
	line, err := s.hear(ctx, child, said, spec.Warm+spec.Measure+childLimit)
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		return r, fmt.Errorf("scenarios: load: %w", err)
	}
	return r, nil
}

// sidecar starts a contestant in a namespace, as the user whose traffic is not captured, and waits until it is ready.
func (s *Stage) sidecar(ctx context.Context, c rivals.Contestant, at *ground.Plot, cgroup *os.File, dir, text string) (*proc.Process, error) {
	file := filepath.Join(dir, at.Name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("scenarios: %w", err)
	}
	p, err := proc.Start(ctx, proc.Command{Path: c.Path(), Args: []string{"-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"}, CPUs: []int{s.proxyCPU}, Enter: at.Enter, Cgroup: cgroup, User: sidecarUser})
	if err != nil {
		return nil, err
	}
	asks := &http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: at.Dial, DisableKeepAlives: true}}
	target := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", sidecarAdmin), Path: "/ready"}
	for end := time.Now().Add(childLimit); ; {
		answer, err := asks.Get(target.String())
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return p, nil
			}
			err = errors.New(answer.Status)
		}
		if wait := pause(ctx, 5*time.Millisecond); wait != nil || time.Now().After(end) {
			log := p.Log()
			p.Stop(nil)
			return nil, fmt.Errorf("scenarios: the sidecar of %s is not ready: %w; it said: %s", at.Name, errors.Join(wait, err), log)
		}
	}
}

// shared writes a certificate for both sides into a folder, which each trusts the other by.
func shared(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("scenarios: key: %w", err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/bench/sa/bench"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return fmt.Errorf("scenarios: certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("scenarios: key: %w", err)
	}
	return errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o644))
}

const tlsText = `common_tls_context: {tls_certificates: [{certificate_chain: {filename: @DIR@/cert.pem}, private_key: {filename: @DIR@/key.pem}}],
            validation_context: {trusted_ca: {filename: @DIR@/cert.pem}, match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/bench/sa/bench"}}]}, alpn_protocols: [istio]}`

// sidecarText is a bootstrap with a listener that connections are redirected to.
func sidecarText(port int, more, cluster string) string {
	return fmt.Sprintf(`
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
static_resources:
  listeners:
  - name: captured
    address: {socket_address: {address: 0.0.0.0, port_value: %d}}
    listener_filters:
    - {name: original_dst, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}
    - {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: captured
          use_remote_address: false
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: next, timeout: 0s}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
%s
  clusters:
  - name: next
    type: STATIC
    connect_timeout: 1s
%s
`, sidecarAdmin, port, more, cluster)
}

func outboundText(to *ground.Plot, port int) string {
	return sidecarText(15001, "", fmt.Sprintf(`    load_assignment: {cluster_name: next, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %d}}}}]}]}
    transport_socket:
      name: tls
      typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
            sni: bench
            %s`, to.IP, port, tlsText))
}

func inboundText(port int) string {
	return sidecarText(15006, `      transport_socket:
        name: tls
        typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
            require_client_certificate: true
            `+tlsText, fmt.Sprintf(`    upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}
    load_assignment: {cluster_name: next, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}`, port))
}
