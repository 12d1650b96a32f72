package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	goodEntry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop, namespace: a}
spec:
  hosts: [shop.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
`
	wrongRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec:
  hosts: [shop.test]
  http:
  - route: [{destination: {host: shop.test}, wieght: 3}]
`
	unrunGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: a}
spec:
  selector: {istio: edge}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*.test"], tls: {mode: SIMPLE, credentialName: "sds://one"}}]
`
	warnedPlugin = `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: plug, namespace: a}
spec: {url: "file:///plug.wasm"}
`
	skipped = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a}
`
)

func TestAnalyze(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("mesh/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"good.yaml": goodEntry, "mesh/deep/good.yaml": goodEntry, "mesh/route.yaml": wrongRoute, "mesh/note.txt": "nothing: [", "mesh/.off.yaml": wrongRoute,
		"gateway.yaml": unrunGateway, "warned.yaml": warnedPlugin + "---" + skipped, "torn.yaml": "spec: [", "mesh.conf": "trustDoman: here\n", "right.conf": "trustDomain: here\n",
		"astray.yaml": "\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: astray, namespace: a}\nspec: {hosts: [shop.test], http: [{route: [{destination: {host: shop.test, subset: v2}}]}]}\n",
		"twice.yaml":  goodEntry + "---" + goodEntry,
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line     string
		code     int
		out, err string // parts of what is written, by space: each must be there, and err alone if out is empty
	}{
		{"good.yaml", exitDone, "1 good objects, 0 problems, 0 warnings", ""},
		{"mesh", exitFailed, "mesh/route.yaml:8 wrong VirtualService a/shop spec.http[0].route[0].wieght is no field of HTTPRouteDestination: weight?\n1 good objects, 1 problems, 0 warnings", ""},
		{"mesh mesh/route.yaml ./mesh/deep/good.yaml", exitFailed, "1 good objects, 1 problems, 0 warnings", ""}, // named twice is not there twice
		{"good.yaml mesh/deep", exitFailed, "mesh/deep/good.yaml:2 wrong ServiceEntry a/shop - is in good.yaml:2 too, and that one counts", ""},
		{"twice.yaml", exitFailed, "twice.yaml:11 wrong ServiceEntry a/shop - is in twice.yaml:2 too, and that one counts", ""},
		{"astray.yaml good.yaml", exitDone, "astray.yaml:2 warning VirtualService a/astray spec.http[0].route[0].destination.subset no DestinationRule for shop.test has a subset \"v2\": requests are answered with 503", ""},
		{"astray.yaml", exitDone, "1 good objects, 0 problems, 0 warnings", ""}, // services are elsewhere
		{"gateway.yaml", exitFailed, "gateway.yaml:2 wrong Gateway a/edge spec.servers[0].tls.credentialName \"sds://one\": want the name of a Secret", ""},
		{"warned.yaml", exitDone, "WasmPlugin a/plug spec weft runs no Wasm", ""},
		{"warned.yaml", exitDone, "1 good objects, 0 problems, 2 warnings", ""},
		{"torn.yaml", exitFailed, "torn.yaml:1 wrong", ""},
		{"good.yaml --mesh-config mesh.conf", exitFailed, "mesh.conf:1 wrong MeshConfig default trustDoman", ""},
		{"--mesh-config right.conf good.yaml", exitDone, "2 good objects, 0 problems, 0 warnings", ""},
		{"--mesh-config right.conf", exitDone, "1 good objects", ""},
		{"good.yaml --mesh-config absent.conf", exitFailed, "", "--mesh-config: open absent.conf"},
		{"good.yaml --mesh-config mesh", exitFailed, "", "mesh is a directory: want a file"},
		{"absent", exitFailed, "", "absent: no such file"},
		{"empty", exitFailed, "", "there is no object in empty"},
		{"", exitUsage, "", "what is to be analyzed?"},
		{"mesh -o text", exitUsage, "", `-o is "text": want table, json, yaml`},
	} {
		code, out, err := control(append([]string{"analyze"}, strings.Fields(c.line)...)...)
		if code != c.code || !strings.Contains(asTold(out), c.out) || !strings.Contains(err, c.err) || (c.out == "") != (out == "") || (c.err == "") != (err == "") {
			t.Errorf("weftctl analyze %s: exit code %d, output %q, errors %q: want %d, %q, %q", c.line, code, asTold(out), err, c.code, c.out, c.err)
		}
	}
}

// Programs get the same as people, and standard input is as good as a file.
func TestAnalyzeForPrograms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.yaml")
	if err := os.WriteFile(path, []byte(wrongRoute+"---"+goodEntry), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out, wrong strings.Builder
	if code := run([]string{"analyze", "-", "-o", "json"}, streams{in: in, out: &out, err: &wrong}); code != exitFailed || wrong.Len() > 0 {
		t.Fatalf("exit code %d, errors %q", code, &wrong)
	}
	var got findings
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := findings{Objects: 1, Problems: []finding{{File: "standard input", Line: 8, Object: "VirtualService a/shop", Field: "spec.http[0].route[0].wieght", Text: "is no field of HTTPRouteDestination: weight?"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
}
