package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

var (
	deploymentOf = regexp.MustCompile("(?s)```yaml deployment\n(.*?)```")
	manifestsOf  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	portsOf      = regexp.MustCompile(`\b(number|port): (\d+)`)
)

// TestTheGatewaysPage applies what docs/gateways.md says, in its words but for ports, of which this host has others, and for where somebody outside is, and has clients see what it promises.
func TestTheGatewaysPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/gateways.md")
	if err != nil {
		t.Fatal(err)
	}
	cluster := kube.Start(t)
	cluster.Account("shop", "door")
	if code, said := cluster.Create(deploymentOf.FindStringSubmatch(string(text))[1], true); code != http.StatusCreated {
		t.Errorf("an API server does not take the Deployment: %d %s", code, said)
	}
	a := authority.New(t, t.TempDir())
	a.Issue("shop", []string{"shop.example.com"}, nil)
	a.Issue("partner", []string{"partner.example.com"}, nil)
	client, lost := a.Issue("client", []string{"spiffe://partner/client"}, nil), a.Issue("lost", nil, nil)
	a.Revoke("revoked.pem", lost.Leaf)
	vault := outside(t, a.Issue("vault", []string{"vault.example.com"}, nil), nil)
	api := outside(t, a.Issue("api", []string{"api.partner.example"}, nil), nil)

	// Each section has its own ports, since gateway and client are on one host here.
	sections := map[string]map[int]int{}
	var manifests []string
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		title, _, _ := strings.Cut(section, "\n")
		of := sections["Let clients in over TLS"] // one gateway does all but the last
		if of == nil || title == "Go out over TLS" {
			of = map[int]int{}
			sections[title] = of
		}
		for _, block := range manifestsOf.FindAllStringSubmatch(section, -1) {
			manifests = append(manifests, portsOf.ReplaceAllStringFunc(block[1], func(said string) string {
				word, digits, _ := strings.Cut(said, ": ")
				n, _ := strconv.Atoi(digits)
				if n == 8000 || n == 8200 { // of services behind it, which nobody listens at here
					return said
				}
				if of[n] == 0 {
					of[n] = vacant.Ports(t, 1)[0]
				}
				return fmt.Sprintf("%s: %d", word, of[n])
			}))
		}
	}
	in, out := sections["Let clients in over TLS"], sections["Go out over TLS"]
	if len(manifests) != 4 || in[443] == 0 || in[80] == 0 || out[8443] == 0 {
		t.Fatalf("the page has %d manifests, with the ports %v", len(manifests), sections)
	}
	all := strings.Join(manifests, "---\n")
	all = strings.Replace(all, "  resolution: DNS\n", fmt.Sprintf("  resolution: STATIC\n  endpoints: [{address: 127.0.0.1, ports: {http: 1, https: %d}}]\n", api), 1)

	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host=%s xfcc=%s", r.Host, r.Header.Get("X-Forwarded-Client-Cert"))
	}))
	t.Cleanup(app.Close)
	target := vacant.Ports(t, 1)[0]
	p := newSecurePlane(t, map[string]string{"world.yaml": strings.NewReplacer("web.shop.internal", "web.shop.svc.cluster.local", "number: 80,", "number: 8000,").Replace(webBehind(t, app.Listener.Addr().String())) + fmt.Sprintf(`---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vault, namespace: shop}
spec: {hosts: [vault.shop.svc.cluster.local], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 8200, name: tls, protocol: TLS}], endpoints: [{address: 127.0.0.1, ports: {tls: %d}}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: egress, namespace: shop}
spec: {hosts: [egress.shop.svc.cluster.local], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: %d, name: https, protocol: HTTPS}], endpoints: [{address: 127.0.0.1, labels: {app: egress}, serviceAccount: egress, ports: {https: %d}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: client, namespace: shop}
spec: {workloadSelector: {labels: {app: client}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ["./api.partner.example", "./egress.shop.svc.cluster.local"]}]}
`, vault, out[8443], target) +
		pairOf(t, a, "shop-certificate", "shop", "shop") +
		manifestOf(t, a, "shop", "partner-certificate", "Opaque", map[string]string{"tls.crt": "partner.pem", "tls.key": "partner.key", "ca.crt": "ca.pem", "ca.crl": "revoked.pem"}) +
		manifestOf(t, a, "shop", "partner-roots", "Opaque", map[string]string{"ca.crt": "ca.pem"})})
	p.mustctl(all, "apply", "-f", "-")
	f := &front{t: t, a: a, plane: p}
	p.joinsBeside("web", "web").isReady()
	f.gateway = p.gatewayBeside("door")
	f.gateway.begin()
	p.gatewayBeside("egress").begin()
	p.joinsBeside("client", "client").isReady()

	f.opens(in[443], "shop.example.com")
	for _, c := range []struct {
		name, host string
		config     *tls.Config
		want       string
	}{
		{"over TLS", "shop.example.com", f.names("shop.example.com"), "200 host=shop.example.com"},
		{"another host's connection", "partner.example.com", f.names("shop.example.com"), "421"},
		{"another name", "nobody.example.com", f.names("nobody.example.com"), "refused: "},
		{"a partner", "partner.example.com", f.names("partner.example.com", client), "200 host=partner.example.com xfcc=Hash="},
		{"nobody", "partner.example.com", f.names("partner.example.com"), "refused: "},
		{"revoked", "partner.example.com", f.names("partner.example.com", lost), "refused: "},
		{"passed on", "vault.example.com", f.names("vault.example.com"), "200 host=vault.example.com at=vault"},
	} {
		if said, _ := f.visits(in[443], c.host, c.config); !strings.HasPrefix(said, c.want) {
			t.Errorf("%s: %s, want %s", c.name, said, c.want)
		}
	}
	if got := answer(t, http.MethodGet, in[80], "/", "shop.example.com"); !strings.HasPrefix(got, "301") {
		t.Errorf("in plain text: %s", got)
	}
	last := ""
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	eventually(t, "the way out is open", func() bool {
		last = answer(t, http.MethodGet, out[80], "/", "api.partner.example")
		return last == "200 host=api.partner.example at=api sni=api.partner.example who=nobody"
	})
	if got := answer(t, http.MethodGet, out[80], "/", "other.example"); !strings.HasPrefix(got, "502") {
		t.Errorf("whom the mesh does not know: %s", got)
	}
	said, err := p.weftctl("", "proxy", "explain", "--admin", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.gateway.admin)), "--address", fmt.Sprintf("127.0.0.1:%d", in[443]), "--sni", "shop.example.com", "https://shop.example.com/cart")
	if err != nil || !strings.Contains(said, "cluster outbound|8000||web.shop.svc.cluster.local") {
		t.Errorf("%v: %s", err, said)
	}
}
