package control

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// overTwo is a weftd with an authority over an API server, which has a second one attached as "east".
func overTwo(t *testing.T, files map[string]string) (s *securePlane, east *kube.Cluster) {
	t.Helper()
	dir := t.TempDir()
	s = &securePlane{port: vacant.Ports(t, 1)[0]}
	s.plane = newPlaneOf(t, sources[1], files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", filepath.Join(dir, "store"), "--cluster-name", "home")
	east = kube.Start(t)
	s.cluster.Apply(attaches("east", east.Portable()))
	eventually(t, "the second one has told what it has", func() bool { return s.following()["east"].Told })
	return s, east
}

// A token counts in the cluster that it is of, and is shown to no other one.
func TestClustersVouchForTheirOwn(t *testing.T) {
	s, east := overTwo(t, nil)
	s.cluster.Account("a", "sleep")
	east.Account("a", "sleep")
	tokens := map[string]string{"home": s.cluster.Token("a", "sleep", "istio-ca"), "east": east.Token("a", "sleep", "istio-ca")}
	ask := func(token, header, node string) codes.Code {
		t.Helper()
		conn := s.dial(nil)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		if header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "ClusterID", header) // as Istio's agent does
		}
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none"}
		if node != "" {
			said["CLUSTER_ID"] = node
		}
		m, err := structpb.NewStruct(said)
		if err != nil {
			t.Fatal(err)
		}
		stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "sidecar~127.0.0.1~one.a~a.svc.cluster.local", Metadata: m}, TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"})
		_, err = stream.Recv()
		return status.Code(err)
	}
	for _, c := range []struct {
		token, header, node string
		want                codes.Code
	}{
		{"home", "", "", codes.OK},
		{"home", "home", "home", codes.OK},
		{"home", "", "gone", codes.OK}, // as if it were of the first
		{"east", "", "", codes.Unauthenticated},
		{"east", "east", "", codes.OK},
		{"east", "", "east", codes.OK},
		{"east", "home", "home", codes.Unauthenticated},
		{"home", "east", "east", codes.Unauthenticated},
		{"east", "east", "home", codes.PermissionDenied},
	} {
		if got := ask(tokens[c.token], c.header, c.node); got != c.want {
			t.Errorf("a token of %s by who says %q and as node %q: %v, want %v", c.token, c.header, c.node, got, c.want)
		}
	}
	// istioctl remote-clusters.
	own, _ := s.join(operator)
	answer, err := question(t, s.dial(own), "istio.io/debug", "clusterz")
	if err != nil || len(answer.Resources) != 1 {
		t.Fatal(answer, err)
	}
	text := strings.Join(strings.Fields(string(answer.Resources[0].Value)), " ")
	if want := `[ { "id": "home", "secretName": "", "syncStatus": "synced" }, { "id": "east", "secretName": "istio-system/istio-remote-secret-east", "syncStatus": "synced" } ]`; text != want {
		t.Errorf("clusterz: %s, want %s", text, want)
	}
	// A Service of both is one, and has an address of each.
	const service = "{apiVersion: v1, kind: Service, metadata: {name: both, namespace: a}, spec: {ports: [{name: http, port: 80}]}}"
	s.cluster.Apply(service)
	east.Apply(service)
	eventually(t, "it is one service, with an address of each", func() bool {
		var all []struct {
			Hostname    string
			ClusterVIPs struct{ Addresses map[string][]string }
		}
		json.Unmarshal([]byte(s.page("/debug/registryz")), &all)
		var found []map[string][]string
		for _, one := range all {
			if one.Hostname == "both.a.svc.cluster.local" {
				found = append(found, one.ClusterVIPs.Addresses)
			}
		}
		return len(found) == 1 && len(found[0]["home"]) == 1 && len(found[0]["east"]) == 1
	})
	if out := s.mustctl("", "status"); !strings.Contains(out, "CLUSTER") || !strings.Contains(out, "Secret istio-system/istio-remote-secret-east") {
		t.Error(out)
	}
	if page := s.page("/metrics"); !strings.Contains(page, `istiod_managed_clusters{cluster_type="remote"} 1`) {
		t.Error("istiod_managed_clusters is not 1")
	}
	east.Stop()
	if got := ask(tokens["east"], "east", "east"); got != codes.Unavailable {
		t.Errorf("without its API server: %v", got)
	}
	if got := ask(tokens["home"], "home", "home"); got != codes.OK {
		t.Errorf("the other one's: %v", got)
	}
}

// A gateway is told the credentials of its own cluster, if its account may read them there, and never those of another one.
func TestCredentialsAreOfTheGatewaysCluster(t *testing.T) {
	a := authority.New(t, t.TempDir())
	a.Issue("web", []string{"web.example.com"}, nil)
	secret := func(name string) string {
		return manifestOf(t, a, "a", name, "kubernetes.io/tls", map[string]string{"tls.crt": "web.pem", "tls.key": "web.key"})
	}
	s, east := overTwo(t, map[string]string{"gateway": `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: a}
spec:
  selector: {app: gw}
  servers:
  - {port: {number: 8443, name: one, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: here}}
  - {port: {number: 8444, name: two, protocol: HTTPS}, hosts: [b.example.com], tls: {mode: SIMPLE, credentialName: there}}
` + secret("here")})
	east.Apply(strings.TrimPrefix(secret("there"), "---\n"))
	const may = `
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: gw, namespace: a}, rules: [{apiGroups: [''], resources: [secrets], verbs: [get, watch, list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: %[1]s, namespace: a}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: gw}, subjects: [{kind: ServiceAccount, name: %[1]s, namespace: a}]}
`
	s.cluster.Apply(fmt.Sprintf(may, "sleep"))
	east.Apply(fmt.Sprintf(may, "other"))
	east.Apply(fmt.Sprintf(may, "both"))
	s.cluster.Apply(fmt.Sprintf(may, "both"))
	eventually(t, "east's Secret is read", func() bool { return s.following()["east"].Objects["Secret"] == 1 })
	east.Apply("{apiVersion: v1, kind: Service, metadata: {name: after, namespace: a}, spec: {ports: [{name: http, port: 80}]}}")
	eventually(t, "it has been told", func() bool { return strings.Contains(s.page("/debug/registryz"), "after.a.svc.cluster.local") })
	shows := map[string]string{} // tokens, by cluster and account
	for name, c := range map[string]*kube.Cluster{"home": s.cluster, "east": east} {
		for _, account := range []string{"sleep", "other", "both"} {
			c.Account("a", account)
			shows[name+" "+account] = c.Token("a", account, "istio-ca")
		}
	}
	certificate, _ := s.join("spiffe://cluster.local/ns/a/sa/both")
	is := func(own *tls.Certificate, token, header, node string, want ...string) {
		t.Helper()
		said := map[string]any{"NAMESPACE": "a", "LABELS": map[string]any{"app": "gw"}, "WEFT_IDENTITY": "none"}
		if node != "" {
			said["CLUSTER_ID"] = node
		}
		m, err := structpb.NewStruct(said)
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+cmp.Or(shows[token], token))
		}
		if header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "ClusterID", header)
		}
		got, _ := secretsTold(ctx, t, s.dial(own), &corev3.Node{Id: "router~127.0.0.1~one.a~a.svc.cluster.local", Metadata: m}, "kubernetes://here", "kubernetes://there")
		if !slices.Equal(got, want) {
			t.Errorf("a gateway with the token of %q, by who says %q and as node %q, with a certificate: %v, is told %v, want %v", token, header, node, own != nil, got, want)
		}
	}
	const here, there = "kubernetes://here", "kubernetes://there"
	is(nil, "home sleep", "", "home", here)
	is(nil, "home sleep", "", "", here)
	is(nil, "east sleep", "", "east") // which may there what it may not here
	is(nil, "east other", "", "east", there)
	is(nil, "home other", "", "home")
	is(nil, "east both", "east", "east", there)
	is(nil, "east both", "east", "", there) // and not those of the first, since the node does not say which
	// A certificate says nothing of clusters.
	is(certificate, "", "", "home")
	is(certificate, "", "", "")
	is(certificate, "", "", "east")
	is(certificate, "home both", "", "home", here)
	is(certificate, "east both", "east", "", there)
	is(certificate, "east both", "", "home")  // where nobody knows the token
	is(certificate, "home sleep", "", "home") // which is another one's
	s.cluster.Delete("{apiVersion: v1, kind: Secret, metadata: {name: istio-remote-secret-east, namespace: istio-system}}")
	eventually(t, "it is detached", func() bool { return len(s.following()) == 1 })
	is(certificate, "", "", "home") // what east has vouched for is about
	is(certificate, "home both", "", "home", here)
}
