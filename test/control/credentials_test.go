package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/secrets"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// manifestOf is a Secret with what stands in files of an authority, by the key in the Secret.
func manifestOf(t *testing.T, a *authority.Authority, namespace, name, kind string, files map[string]string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: %s\ndata:\n", name, namespace, kind)
	for key, file := range files {
		text, err := os.ReadFile(filepath.Join(a.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  %s: %s\n", key, base64.StdEncoding.EncodeToString(text))
	}
	return b.String()
}

// TestGatewaysShowCredentials has a gateway show what Secrets have, take clients by them, and follow them: what stands goes on.
func TestGatewaysShowCredentials(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			a := authority.New(t, t.TempDir())
			client := a.Issue("client", []string{"spiffe://partner/client"}, nil)
			lost := a.Issue("lost", []string{"spiffe://partner/lost"}, nil)
			ports, up := vacant.Ports(t, 3), upstream(t, "served")
			first := a.Issue("web", []string{"web.example.com"}, nil)
			a.Issue("partner", []string{"partner.example.com"}, nil)
			tlsFiles, generic := map[string]string{"tls.crt": "web.pem", "tls.key": "web.key"}, map[string]string{"cert": "partner.pem", "key": "partner.key", "cacert": "ca.pem"}
			p := newSecurePlane(t, map[string]string{"web.yaml": manifestOf(t, a, "shop", "web-cert", "kubernetes.io/tls", tlsFiles), "partner.yaml": manifestOf(t, a, "shop", "partner", "Opaque", generic), "mesh.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  selector: {app: gw}
  servers:
  - {port: {number: %d, name: https, protocol: HTTPS}, hosts: [web.example.com], tls: {mode: SIMPLE, credentialName: web-cert}}
  - {port: {number: %d, name: mutual, protocol: HTTPS}, hosts: [partner.example.com], tls: {mode: MUTUAL, credentialName: partner}}
  - {port: {number: %d, name: other, protocol: HTTPS}, hosts: [other.example.com], tls: {mode: SIMPLE, credentialName: elsewhere/there}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: shop}
spec: {hosts: ["web.example.com", "partner.example.com", "other.example.com"], gateways: [front], http: [{route: [{destination: {host: up.test, port: {number: 80}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: up, namespace: shop}
spec: {hosts: [up.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1, ports: {http: %d}}]}
`, ports[0], ports[1], ports[2], up) + manifestOf(t, a, "elsewhere", "there", "kubernetes.io/tls", tlsFiles)})
			p.joinsAs("router", name, "gw", "gw")
			// ask gives who was met, and what he said.
			ask := func(c *http.Client, port int, host string) (*x509.Certificate, error) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", port), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				answer, err := c.Do(r)
				if err != nil {
					return nil, err
				}
				defer answer.Body.Close()
				if b, _ := io.ReadAll(answer.Body); string(b) != "served" {
					return nil, fmt.Errorf("%d %s", answer.StatusCode, b)
				}
				return answer.TLS.PeerCertificates[0], nil
			}
			browser := func(host string, own ...tls.Certificate) *http.Client {
				c := &http.Client{Timeout: deadline, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool(), ServerName: host, Certificates: own}}}
				t.Cleanup(c.CloseIdleConnections)
				return c
			}
			meets := func(what string, want *x509.Certificate) {
				t.Helper()
				eventually(t, what, func() bool {
					c := browser("web.example.com")
					defer c.CloseIdleConnections()
					got, err := ask(c, ports[0], "web.example.com")
					return err == nil && got.Equal(want)
				})
			}
			meets("the certificate of the Secret is shown", first.Leaf)
			standing := browser("web.example.com")
			if _, err := ask(standing, ports[0], "web.example.com"); err != nil {
				t.Fatal(err)
			}
			if _, err := ask(browser("partner.example.com"), ports[1], "partner.example.com"); err == nil {
				t.Error("who has no certificate is let in")
			}
			for _, own := range []tls.Certificate{client, lost} {
				if _, err := ask(browser("partner.example.com", own), ports[1], "partner.example.com"); err != nil {
					t.Error(err)
				}
			}
			if _, err := ask(browser("other.example.com"), ports[2], "other.example.com"); err == nil {
				t.Error("another namespace's certificate is shown")
			}
			gateway := func() push.Proxy {
				s := p.status()
				if len(s.Proxies) != 1 {
					t.Fatal(s.Proxies)
				}
				return s.Proxies[0]
			}
			want := []secrets.Withheld{{Name: "kubernetes://elsewhere/there", Because: `it is of namespace "elsewhere" and the proxy of "shop": a proxy is told secrets of its own namespace only`}}
			if got := gateway().Withheld; !slices.Equal(got, want) {
				t.Errorf("withheld: %v, want %v", got, want)
			}

			second := a.Issue("web", []string{"web.example.com"}, nil)
			p.write("web.yaml", manifestOf(t, a, "shop", "web-cert", "kubernetes.io/tls", tlsFiles))
			meets("another certificate is shown", second.Leaf)
			p.write("web.yaml", strings.ReplaceAll(manifestOf(t, a, "shop", "web-cert", "kubernetes.io/tls", map[string]string{"tls.crt": "web.pem", "tls.key": "partner.key"}), "\t", ""))
			eventually(t, "it is said which key is wrong", func() bool {
				return slices.ContainsFunc(p.status().Problems, func(one push.Problem) bool {
					return !one.Warning && strings.Contains(one.Text, "web.yaml") && strings.Contains(one.Text, "Secret shop/web-cert: data[tls.key]: is not the private key")
				})
			})
			meets("the last good one is shown", second.Leaf)
			if got, err := ask(standing, ports[0], "web.example.com"); err != nil || !got.Equal(first.Leaf) {
				t.Errorf("what stood has not gone on: %v", err)
			}
			a.Revoke("list.pem", lost.Leaf)
			generic["crl"] = "list.pem"
			p.write("partner.yaml", manifestOf(t, a, "shop", "partner", "Opaque", generic))
			eventually(t, "who is on the Secret's list is refused", func() bool {
				c := browser("partner.example.com", lost)
				defer c.CloseIdleConnections()
				_, err := ask(c, ports[1], "partner.example.com")
				return err != nil
			})
			if _, err := ask(browser("partner.example.com", client), ports[1], "partner.example.com"); err != nil {
				t.Error("who is not: ", err)
			}
			if len(gateway().Withheld) != 1 || len(p.status().Refused) > 0 {
				t.Errorf("%+v, refused %v", gateway(), p.status().Refused)
			}
		})
	}
}

// secretsTold asks over a stream for secrets, and says which are told and which are said not to be there.
func secretsTold(ctx context.Context, t *testing.T, conn *grpc.ClientConn, node *corev3.Node, names ...string) (told, not []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", ResourceNamesSubscribe: names})
	for len(told)+len(not) < len(names) {
		a, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range a.Resources {
			told = append(told, r.Name)
		}
		not = append(not, a.RemovedResources...)
		stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: a.TypeUrl, ResponseNonce: a.Nonce})
	}
	slices.Sort(told)
	slices.Sort(not)
	return told, not
}

// Nobody is told what is not his: neither by its name, nor whether it is there (hazard 83).
func TestSecretsOfOthersAreNotTold(t *testing.T) {
	a := authority.New(t, t.TempDir())
	a.Issue("web", []string{"web.example.com"}, nil)
	files := map[string]string{"tls.crt": "web.pem", "tls.key": "web.key", "ca.crt": "ca.pem"}
	p := newSecurePlane(t, map[string]string{"all.yaml": `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: a}
spec:
  selector: {app: gw}
  servers:
  - {port: {number: 8443, name: own, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: OPTIONAL_MUTUAL, credentialName: named}}
  - {port: {number: 8444, name: there, protocol: HTTPS}, hosts: [b.example.com], tls: {mode: SIMPLE, credentialName: b/there}}
  - {port: {number: 8445, name: missing, protocol: HTTPS}, hosts: [c.example.com], tls: {mode: SIMPLE, credentialName: "kubernetes://b/missing"}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: a}
spec: {hosts: [out.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 443, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: out, namespace: a}
spec: {host: out.test, trafficPolicy: {tls: {mode: MUTUAL, credentialName: egress}}}
` + manifestOf(t, a, "a", "named", "kubernetes.io/tls", files) + manifestOf(t, a, "a", "unnamed", "kubernetes.io/tls", files) + manifestOf(t, a, "a", "egress", "Opaque", files) + manifestOf(t, a, "b", "there", "kubernetes.io/tls", files)})
	own, _ := p.join(sleeper)
	all := []string{"default", "ROOTCA", "kubernetes://named", "kubernetes://named-cacert", "kubernetes://unnamed", "kubernetes://a/named", "kubernetes://b/there", "kubernetes://b/missing", "kubernetes://b/there-cacert", "kubernetes://egress", "kubernetes://egress-cacert", "anything"}
	node := func(kind, app string) *corev3.Node {
		m, err := structpb.NewStruct(map[string]any{"NAMESPACE": "a", "LABELS": map[string]any{"app": app}})
		if err != nil {
			t.Fatal(err)
		}
		return &corev3.Node{Id: kind + "~127.0.0.1~one.a~a.svc.cluster.local", Metadata: m}
	}
	plain, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", p.grpc), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for _, c := range []struct {
		name string
		conn *grpc.ClientConn
		node *corev3.Node
		want []string
	}{
		{"the gateway", p.dial(own), node("router", "gw"), []string{"ROOTCA", "default", "kubernetes://egress", "kubernetes://egress-cacert", "kubernetes://named", "kubernetes://named-cacert"}},
		{"a gateway that no Gateway chooses", p.dial(own), node("router", "other"), []string{"ROOTCA", "default", "kubernetes://egress", "kubernetes://egress-cacert"}},
		{"a sidecar", p.dial(own), node("sidecar", "gw"), []string{"ROOTCA", "default"}},
		{"the gateway, in plain text", plain, node("router", "gw"), nil},
	} {
		told, not := secretsTold(t.Context(), t, c.conn, c.node, all...)
		if !slices.Equal(told, c.want) || len(told)+len(not) != len(all) {
			t.Errorf("%s is told %v, want %v, and not %v", c.name, told, c.want, not)
		}
	}
	p.kill()
	if n := strings.Count(p.said.String(), "nobody has shown there who he is"); n != 1 {
		t.Errorf("it is said %d times that nothing is told in plain text", n)
	}
}

// TestGatewaysConnectByCredentials has a gateway connect to somebody outside with the key and the roots that a DestinationRule names.
func TestGatewaysConnectByCredentials(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			a := authority.New(t, t.TempDir())
			server := a.Issue("server", []string{"out.test"}, nil)
			a.Issue("egress", []string{"spiffe://egress"}, nil)
			outside := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.TLS.PeerCertificates[0].URIs, r.TLS.ServerName)
			}))
			outside.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()}
			outside.StartTLS()
			t.Cleanup(outside.Close)
			port := vacant.Ports(t, 1)[0]
			p := newSecurePlane(t, map[string]string{"mesh.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: out, namespace: shop}
spec: {selector: {app: gw}, servers: [{port: {number: %d, name: http, protocol: HTTP}, hosts: [out.test]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: shop}
spec: {hosts: [out.test], gateways: [out], http: [{route: [{destination: {host: out.test, port: {number: 443}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop}
spec: {hosts: [out.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 443, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1, ports: {http: %d}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: out, namespace: shop}
spec: {host: out.test, trafficPolicy: {tls: {mode: MUTUAL, credentialName: egress, sni: out.test}}}
`, port, outside.Listener.Addr().(*net.TCPAddr).Port) + manifestOf(t, a, "shop", "egress", "kubernetes.io/tls", map[string]string{"tls.crt": "egress.pem", "tls.key": "egress.key", "ca.crt": "ca.pem"})})
			p.joinsAs("router", name, "gw", "gw")
			eventually(t, "who is outside meets the gateway's certificate", func() bool {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "out.test"
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					return false
				}
				defer answer.Body.Close()
				b, _ := io.ReadAll(answer.Body)
				return string(b) == "[spiffe://egress]out.test"
			})
		})
	}
}
