package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	source "github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// An agent in a Pod gets the certificate of its service account for the token of that, and for no other proof.
func TestServiceAccountsGetTheirCertificates(t *testing.T) {
	dir := t.TempDir()
	s := &securePlane{port: vacant.Ports(t, 1)[0], audit: filepath.Join(dir, "audit")}
	s.plane = newPlaneOf(t, sources[1], map[string]string{"mesh": `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "trustDomain: one.test"}}`},
		"--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", filepath.Join(dir, "store"), "--audit-log", s.audit, "--publish-roots")
	s.cluster.Account("a", "sleep")
	var roots struct{ Data map[string]string }
	eventually(t, "its namespace has the roots", func() bool {
		var all struct {
			Items []struct{ Metadata struct{ Namespace string } }
		}
		s.cluster.List("/api/v1/configmaps?fieldSelector=metadata.name%3Distio-ca-root-cert", &all)
		return slices.ContainsFunc(all.Items, func(one struct{ Metadata struct{ Namespace string } }) bool { return one.Metadata.Namespace == "a" })
	})
	s.cluster.Get("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-ca-root-cert, namespace: a}}", &roots)
	if roots.Data["root-cert.pem"] != s.page("/ca/roots") {
		t.Errorf("the roots in the namespace: %q", roots.Data)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"spiffe://one.test/ns/a/sa/admin"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	client := securityv1alpha1.NewIstioCertificateServiceClient(s.dial(nil))
	ask := func(token string) (string, error) {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), deadline)
		defer cancel()
		a, err := client.CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
		if err != nil {
			return "", err
		}
		block, _ := pem.Decode([]byte(a.CertChain[0]))
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(c.URIs, c.DNSNames), nil
	}
	good := s.cluster.Token("a", "sleep", "istio-ca")
	if got, err := ask(good); err != nil || got != "[spiffe://one.test/ns/a/sa/sleep] []" {
		t.Errorf("a good token: %s, %v", got, err)
	}
	// It opens streams, too, as often as it is shown, of who it is for.
	stream := func(namespace string) codes.Code {
		return status.Code(firstBy(t, s.dial(nil), good, "sidecar~127.0.0.1~one."+namespace+"~svc.cluster.local", map[string]any{"NAMESPACE": namespace, "WEFT_IDENTITY": "none"}))
	}
	for i, want := range []codes.Code{codes.OK, codes.OK, codes.PermissionDenied} {
		if got := stream([]string{"a", "a", "b"}[i]); got != want {
			t.Errorf("stream %d: %v, want %v", i, got, want)
		}
	}
	for what, token := range map[string]string{"for another audience": s.cluster.Token("a", "sleep", "other"), "whose time is over": s.cluster.Ended("a", "sleep", "istio-ca"), "garbage": "a.b.c"} {
		if got, err := ask(token); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a token that is %s: %s, %v", what, got, err)
		}
	}
	// Certificates were issued: the trust domain stays.
	s.write("mesh", `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "trustDomain: two.test"}}`)
	eventually(t, "it is said", func() bool {
		st := s.status()
		return len(st.Problems) == 1 && strings.Contains(st.Problems[0].Text, `ConfigMap istio-system/istio, mesh:1: MeshConfig default: trustDomain: would be "two.test", and certificates were issued in "one.test"`)
	})
	if got, err := ask(good); err != nil || got != "[spiffe://one.test/ns/a/sa/sleep] []" {
		t.Errorf("afterwards: %s, %v", got, err)
	}
	s.cluster.Stop()
	if got, err := ask(good); status.Code(err) != codes.Unavailable {
		t.Errorf("without an API server: %s, %v", got, err)
	}
	if got := stream("a"); got != codes.Unavailable {
		t.Errorf("a stream without an API server: %v", got)
	}
	text, err := os.ReadFile(s.audit)
	if err != nil || strings.Count(string(text), `"by":"service account token"`) != 2 || strings.Count(string(text), `"refused"`) != 4 || strings.Contains(string(text), good) {
		t.Errorf("the log: %v\n%s", err, text)
	}
}

// Two proxies that show the tokens of their service accounts, as Istio's agents do, get their certificates over the stream and speak by mTLS, strictly.
func TestServiceAccountsSpeakByMTLS(t *testing.T) {
	p := newPairUnder(t, func(t *testing.T, files map[string]string) *securePlane {
		dir := t.TempDir()
		s := &securePlane{port: vacant.Ports(t, 1)[0], store: filepath.Join(dir, "store"), audit: filepath.Join(dir, "audit")}
		s.plane = newPlaneOf(t, sources[1], files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", s.store, "--audit-log", s.audit)
		return s
	})
	for app, program := range map[string]string{"web": "weft", "client": "envoy"} {
		p.plane.cluster.Account("shop", app)
		p.plane.begin(program, "sidecar", app, "", p.plane.cluster.Token("shop", app, "istio-ca"))
	}
	p.opens()
	for _, one := range p.plane.status().Proxies {
		if one.By != "service account token" || len(one.Withheld) > 0 {
			t.Errorf("%+v", one)
		}
	}
}

// What a lost API server has told is served, under load, and followed again when it comes back: a share of traffic moves in the end.
func TestALostServerTakesNoTraffic(t *testing.T) {
	s := newShop(t)
	p := newPlaneOf(t, sources[1], map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
	p.proxy("weft")
	s.opens()
	p.synced(1)
	end := s.load()
	p.cluster.Stop()
	eventually(t, "it is said", func() bool {
		st := p.status()
		return len(st.Problems) == 1 && strings.Contains(st.Problems[0].Text, "does not answer, and what it has told goes on being served")
	})
	if !strings.HasPrefix(p.page("/ready"), "ready") || !strings.Contains(p.page("/status"), `"awaySince"`) {
		t.Errorf("%s %s", p.page("/ready"), p.page("/status"))
	}
	if got := s.share(); got != 100 {
		t.Errorf("without an API server the first version has %d %%: want all", got)
	}
	round := p.status().Last.Number
	p.cluster.Restart()
	eventually(t, "it is well again", func() bool {
		return len(p.status().Problems) == 0 && !strings.Contains(p.page("/status"), `"awaySince"`)
	})
	p.write("canary.yaml", canary(0))
	eventually(t, "it is followed again", func() bool { who, err := s.ask(t.Context()); return err == nil && who == "v2" })
	if n := p.status().Last.Number; n != round+1 {
		t.Errorf("%d rounds: want the one about the change", n-round)
	}
	if end() == 0 {
		t.Error("nothing was asked meanwhile")
	}
}

// What is wrong with an object, and what is not run of it, its author finds in its status.
func TestAuthorsFindWhatIsWrong(t *testing.T) {
	p := newPlaneOf(t, sources[1], map[string]string{"wrong": strings.Replace(canary(10), "weight", "wieght", 1)}, "--write-status")
	says := func() (all []string) {
		var o struct {
			Status struct {
				Conditions []struct{ Type, Status, Reason, Message string }
			}
		}
		p.cluster.Get("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}}", &o)
		for _, one := range o.Status.Conditions {
			all = append(all, strings.Join([]string{one.Type, one.Status, one.Reason, one.Message}, " "))
		}
		return all
	}
	becomes := func(want ...string) {
		t.Helper()
		last := []string{}
		defer func() {
			if t.Failed() {
				t.Logf("it says %q", last)
			}
		}()
		eventually(t, fmt.Sprintf("it says %q", want), func() bool { last = says(); return slices.Equal(last, want) })
	}
	becomes("weftmesh.io/Accepted False Refused spec.http[0].route[0].wieght: is no field of HTTPRouteDestination: weight?")
	p.write("wrong", canary(10))
	becomes()
	p.write("wrong", strings.Replace(canary(10), "http:", "tls: [{match: [{port: 443, sniHosts: [shop.test]}], route: [{destination: {host: shop.test}, fallback: {target: {host: b.test}}}]}]\n  http:", 1))
	eventually(t, "it says what is not run", func() bool { all := says(); return len(all) == 1 && strings.Contains(all[0], "fallback") })
}

// What a directory says beside an API server is of the same mesh.
func TestBothSourcesMakeOneMesh(t *testing.T) {
	s := newShop(t)
	dir := t.TempDir()
	p := newPlaneOf(t, sources[1], map[string]string{"shop": s.entry("")}, "--config-dir", dir)
	p.proxy("weft")
	s.opens()
	for _, first := range []int{0, 100} {
		file := filepath.Join(dir, "canary.yaml")
		if err := os.WriteFile(file, []byte(canary(first)), 0o644); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file counts", func() bool {
			for range 20 {
				if who, err := s.ask(t.Context()); err != nil || (who == "v1") != (first == 100) {
					return false
				}
			}
			return true
		})
	}
	// Of what both have that of the directory counts, and it is said.
	p.write("canary", canary(0))
	eventually(t, "it is said", func() bool {
		st := p.status()
		return len(st.Problems) == 1 && strings.Contains(st.Problems[0].Text, "VirtualService a/shop: ")
	})
	if got := s.share(); got != 100 {
		t.Errorf("the first version has %d %%: want all, as the directory says", got)
	}
	if err := os.Remove(filepath.Join(dir, "canary.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server's counts", func() bool {
		who, err := s.ask(t.Context())
		return err == nil && who == "v2" && len(p.status().Problems) == 0
	})
	if got := p.status().Objects; got["ServiceEntry"] != 1 || got["VirtualService"] != 1 || got["Namespace"] == 0 {
		t.Errorf("%v", got)
	}
}

// Nobody is served before all may be read, and what is missing is said where people look.
func TestWithoutARoleNobodyIsServed(t *testing.T) {
	c := kube.Start(t)
	c.Account("istio-system", "weftd") // who may do nothing yet
	ports := vacant.Ports(t, 2)
	p := &plane{t: t, grpc: ports[0], admin: ports[1]}
	p.process = run(t, program(t, "weftd"), "--kubeconfig", c.KubeconfigOf("istio-system", "weftd"), "--grpc-addr", fmt.Sprintf("127.0.0.1:%d", p.grpc), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", p.admin))
	eventually(t, "it says what is missing", func() bool {
		page := p.page("/ready")
		return strings.Contains(page, `waits for what these have to tell: ["attached clusters" "cluster"]`) && strings.Contains(page, `its ClusterRole needs {apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}`)
	})
	c.Apply(string(source.Role("weftd", "istio-system", source.Duties{})))
	eventually(t, "it is ready", func() bool { return strings.HasPrefix(p.page("/ready"), "ready") })
}

// Endpoints come and go with slices, and with what Pods say of themselves. They are looked at rather than asked: an API server takes no address of loopback.
func TestEndpointsComeAndGoWithSlices(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: shop-%[1]d, namespace: a, labels: {app: shop, version: v%[1]d}}
spec: {nodeName: n1, serviceAccountName: shop, containers: [{name: c, image: x, ports: [{containerPort: 8080}]}]}
`
	slice := func(endpoints string) string {
		return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-x, namespace: a, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
endpoints: [%s]
ports: [{name: http, port: 8080, protocol: TCP}]
`, endpoints)
	}
	one := func(n int, ready bool) string {
		return fmt.Sprintf("{addresses: [10.0.0.%d], conditions: {ready: %v}, nodeName: n1, targetRef: {kind: Pod, namespace: a, name: shop-%[1]d}}", n, ready)
	}
	p := newPlaneOf(t, sources[1], map[string]string{
		"shop": `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: a}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z1}}}
---` + fmt.Sprintf(pod, 1) + "---" + fmt.Sprintf(pod, 2) + "---" + slice(one(1, true)),
		"rule": `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: a}
spec: {host: shop, subsets: [{name: v2, labels: {version: v2}}]}
`})
	for _, n := range []int{1, 2} {
		p.cluster.ApplyStatus(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: shop-%[1]d, namespace: a}, status: {phase: Running, podIP: 10.0.0.%[1]d, podIPs: [{ip: 10.0.0.%[1]d}], conditions: [{type: Ready, status: "True"}]}}`, n))
	}
	admin := envoy.Start(t, bootstrap("NAMESPACE: a", p.grpc, ""))
	of := func(cluster string) string {
		r, err := http.Get("http://" + admin + "/clusters")
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body)
		var out []string
		for line := range strings.Lines(string(text)) {
			if rest, is := strings.CutPrefix(line, cluster+"::"); is && strings.Contains(rest, "::zone::") {
				out = append(out, strings.TrimSpace(rest))
			}
		}
		return strings.Join(out, " ")
	}
	const all, second = "outbound|80||shop.a.svc.cluster.local", "outbound|80|v2|shop.a.svc.cluster.local"
	for _, step := range []struct{ endpoints, all, second string }{
		{one(1, true), "10.0.0.1:8080::zone::z1", ""},
		{one(1, true) + "," + one(2, true), "10.0.0.1:8080::zone::z1 10.0.0.2:8080::zone::z1", "10.0.0.2:8080::zone::z1"},
		{one(1, false) + "," + one(2, true), "10.0.0.2:8080::zone::z1", "10.0.0.2:8080::zone::z1"},
		{"", "", ""},
	} {
		p.cluster.Apply(slice(step.endpoints))
		last := ""
		eventually(t, "the endpoints are "+step.all, func() bool {
			last = of(all) + "; " + of(second)
			return last == step.all+"; "+step.second
		})
	}
}
