package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// spire is an SDS server at a Unix socket that does as SPIRE's agent does where Istio's workloads have it (default_svid_name default, default_all_bundles_name ROOTCA): the state of the world alone; one
// nonce for a whole stream; all that a request names in one response, or the end of the stream; and bundles for SPIFFE's validator to who says that it is an Envoy of 1.18 or later, to others none of those
// of all domains.
type spire struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	path string

	mu      sync.Mutex
	version int
	own     *tlsv3.TlsCertificate
	bundles map[string][]byte // roots, by trust domain
	changed chan struct{}
	refused []string // what was refused by who asked
	unknown int      // requests for what it has not
}

func newSpire(t testing.TB) *spire {
	t.Helper()
	folder, err := os.MkdirTemp("", "spire") // short: a path of a socket has 107 bytes at most (unix(7))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	s := &spire{path: filepath.Join(folder, "socket"), bundles: map[string][]byte{}, changed: make(chan struct{})}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	secretv3.RegisterSecretDiscoveryServiceServer(g, s)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return s
}

// cluster is it in a bootstrap.
func (s *spire) cluster() string {
	return fmt.Sprintf(`
  - name: sds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}
    load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %s}}}}]}]}
`, s.path)
}

// tells has it tell of another SVID, if there is one, and of bundles.
func (s *spire) tells(t testing.TB, dir, name string, bundles map[string][]byte) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	read := func(end string) *corev3.DataSource {
		b, err := os.ReadFile(filepath.Join(dir, name+end))
		if err != nil {
			t.Fatal(err)
		}
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
	}
	if name != "" {
		s.own = &tlsv3.TlsCertificate{CertificateChain: read(".pem"), PrivateKey: read(".key")}
	}
	s.version++
	s.bundles = bundles
	close(s.changed)
	s.changed = make(chan struct{})
}

// answer is what a request is told.
func (s *spire) answer(q *discoveryv3.DiscoveryRequest, node *corev3.Node) (*discoveryv3.DiscoveryResponse, error) {
	a := &discoveryv3.DiscoveryResponse{TypeUrl: q.TypeUrl, VersionInfo: fmt.Sprint(s.version), Nonce: fmt.Sprintf("n%d-%d", s.version, time.Now().UnixNano())}
	add := func(one *tlsv3.Secret) {
		packed, _ := anypb.New(one)
		a.Resources = append(a.Resources, packed)
	}
	for _, name := range q.ResourceNames {
		switch name {
		case "default":
			add(&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: proto.CloneOf(s.own)}})
		case "ROOTCA":
			if v := node.GetUserAgentBuildVersion().GetVersion(); v.GetMajorNumber() < 1 || v.GetMajorNumber() == 1 && v.GetMinorNumber() < 18 {
				return nil, status.Error(codes.Internal, "bundles of all domains are for SPIFFE's validator, which this client does not say that it has")
			}
			c := &tlsv3.SPIFFECertValidatorConfig{}
			for domain, roots := range s.bundles {
				c.TrustDomains = append(c.TrustDomains, &tlsv3.SPIFFECertValidatorConfig_TrustDomain{Name: domain, TrustBundle: &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: roots}}})
			}
			slices.SortFunc(c.TrustDomains, func(a, b *tlsv3.SPIFFECertValidatorConfig_TrustDomain) int { return strings.Compare(a.Name, b.Name) })
			packed, _ := anypb.New(c)
			add(&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{CustomValidatorConfig: &corev3.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: packed}}}})
		default:
			s.unknown++
			return nil, status.Errorf(codes.InvalidArgument, "the workload may not have %q", name)
		}
	}
	return a, nil
}

// StreamSecrets implements the service.
func (s *spire) StreamSecrets(stream secretv3.SecretDiscoveryService_StreamSecretsServer) error {
	asked := make(chan *discoveryv3.DiscoveryRequest)
	go func() {
		defer close(asked)
		for {
			q, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case asked <- q:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	var node *corev3.Node
	var last *discoveryv3.DiscoveryRequest
	nonce := ""
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	for {
		select {
		case q, ok := <-asked:
			if !ok {
				return nil
			}
			if q.Node != nil {
				node = q.Node
			}
			if q.ErrorDetail != nil {
				s.mu.Lock()
				s.refused = append(s.refused, q.ErrorDetail.Message)
				s.mu.Unlock()
			}
			if nonce != "" && q.ResponseNonce != nonce {
				continue
			}
			again := last != nil && slices.Equal(slices.Sorted(slices.Values(last.ResourceNames)), slices.Sorted(slices.Values(q.ResourceNames)))
			if last = q; again {
				continue
			}
		case <-changed:
			s.mu.Lock()
			changed = s.changed
			s.mu.Unlock()
			if last == nil {
				continue
			}
		}
		s.mu.Lock()
		a, err := s.answer(last, node)
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if err := stream.Send(a); err != nil {
			return err
		}
		nonce = a.Nonce
	}
}

// Proxies have their identity from SPIRE's agent at a socket, as weftd's configuration for such has it: they speak by mTLS, follow when their certificates and even the root are others, and believe those of
// another trust domain as soon as its bundle is told, and no longer than that.
func TestIdentitiesComeFromSpire(t *testing.T) {
	for _, c := range [][2]string{{"weft", "envoy"}, {"envoy", "weft"}} {
		t.Run(c[0]+" serves "+c[1], func(t *testing.T) {
			a, other := authority.New(t, t.TempDir()), authority.Named(t, t.TempDir(), "other")
			p := newPair(t)
			if err := os.WriteFile(p.plane.mesh, fmt.Appendf(nil, "proxyListenPort: %d\ntrustDomainAliases: [other.test]\n", vacant.Ports(t, 1)[0]), 0o644); err != nil {
				t.Fatal(err)
			}
			p.plane.kill()
			p.plane.start()
			agents := map[string]*spire{"web": newSpire(t), "client": newSpire(t)}
			roots := func(all ...*authority.Authority) (text []byte) {
				for _, one := range all {
					b, err := os.ReadFile(filepath.Join(one.Dir, "ca.pem"))
					if err != nil {
						t.Fatal(err)
					}
					text = append(text, b...)
				}
				return text
			}
			tell := func(from *authority.Authority, n int, bundles map[string][]byte) {
				t.Helper()
				for account, s := range agents {
					name := ""
					if from != nil {
						name = fmt.Sprintf("%s-%d", account, n)
						from.Issue(name, []string{"spiffe://cluster.local/ns/shop/sa/" + account}, nil)
						s.tells(t, from.Dir, name, bundles)
						continue
					}
					s.tells(t, "", "", bundles)
				}
			}
			tell(a, 1, map[string][]byte{"cluster.local": roots(a)})
			for i, account := range []string{"web", "client"} {
				boot := bootstrap(fmt.Sprintf("NAMESPACE: shop, LABELS: {app: %s}", account), p.plane.grpc, agents[account].cluster())
				boot = asMember(boot, "sidecar", account)
				if c[i] == "envoy" {
					envoy.Start(t, boot)
					continue
				}
				weft(t, boot)
			}
			p.opens()
			// shown is whom the server shows itself to be signed by, to a client with a certificate; empty: it does not take that.
			shown := func(own tls.Certificate) string {
				conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.in[0]), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}})
				if err != nil {
					return ""
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(deadline))
				fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: web.shop.internal\r\nConnection: close\r\n\r\n")
				if n, err := conn.Read(make([]byte, 12)); n == 0 || err != nil {
					return ""
				}
				return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
			}
			friend, stranger := a.Issue("friend", []string{"spiffe://cluster.local/ns/shop/sa/friend"}, nil), other.Issue("friend", []string{"spiffe://other.test/ns/shop/sa/friend"}, nil)
			liar := other.Issue("liar", []string{"spiffe://cluster.local/ns/shop/sa/friend"}, nil)
			before := shown(friend)
			if before == "" {
				t.Fatal("who is of the mesh is not let in")
			}
			if shown(stranger) != "" || shown(liar) != "" {
				t.Error("who is of another trust domain is let in before its bundle is told")
			}
			// Certificates are others, and then of another root, which is trusted before.
			tell(a, 2, map[string][]byte{"cluster.local": roots(a)})
			eventually(t, "the server shows its new certificate", func() bool { is := shown(friend); return is != "" && is != before })
			next := authority.Named(t, t.TempDir(), "next")
			tell(nil, 0, map[string][]byte{"cluster.local": roots(a, next)})
			friend2 := next.Issue("friend", []string{"spiffe://cluster.local/ns/shop/sa/friend"}, nil)
			eventually(t, "the next root is trusted", func() bool { return shown(friend2) != "" })
			tell(next, 3, map[string][]byte{"cluster.local": roots(a, next)})
			tell(nil, 0, map[string][]byte{"cluster.local": roots(next)})
			eventually(t, "the old root is not trusted any more", func() bool { return shown(friend) == "" && shown(friend2) != "" })
			p.client.CloseIdleConnections()
			p.opens()
			// Another trust domain is believed about its own.
			both := map[string][]byte{"cluster.local": roots(next), "other.test": roots(other)}
			tell(nil, 0, both)
			eventually(t, "who is of the other trust domain is let in", func() bool { return shown(stranger) != "" })
			if shown(liar) != "" {
				t.Error("another trust domain says who is of this one")
			}
			tell(nil, 0, map[string][]byte{"cluster.local": roots(next)})
			eventually(t, "and not any more", func() bool { return shown(stranger) == "" })
			if who, err := p.ask(t.Context()); err != nil || !strings.Contains(who, "sa/client") {
				t.Errorf("%s, %v", who, err)
			}
			for account, s := range agents {
				s.mu.Lock()
				if len(s.refused) > 0 || s.unknown > 0 {
					t.Errorf("%s has refused %q, and asked for %d that there are not", account, s.refused, s.unknown)
				}
				s.mu.Unlock()
			}
		})
	}
}
