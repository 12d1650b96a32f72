package source

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// again writes an object and reads what is written.
func again(t *testing.T, o *Object) {
	t.Helper()
	first, _ := Manifest(o)
	for name, write := range map[string]func(*Object) ([]byte, error){"as its author would": Manifest, "with what is known": Known} {
		text, err := write(o)
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := write(o); string(second) != string(text) {
			t.Errorf("%s: written twice it is\n%s\nand\n%s", o.Key, text, second)
		}
		var back *Object
		var problems []Problem
		switch o.Kind {
		case MeshConfig:
			back, problems = ReadMeshConfig(text, Origin{})
		case MeshNetworks:
			back, problems = ReadMeshNetworks(text, Origin{})
		default:
			c := Read(text, Origin{})
			if problems = c.Problems; len(c.Objects) == 1 {
				back = c.Objects[0]
			}
		}
		if back == nil {
			t.Errorf("%s: written %s it is not read: %q\n%s", o.Key, name, said(problems), text)
			continue
		}
		if m, is := o.Spec.(proto.Message); is && !proto.Equal(m, back.Spec.(proto.Message)) {
			t.Errorf("%s: written %s it comes back as\n%v\nof\n%v", o.Key, name, back.Spec, m)
		} else if third, _ := Manifest(back); !is && string(third) != string(first) { // an empty list or mapping is none when it comes back
			t.Errorf("%s: written %s it comes back as\n%s\nof\n%s", o.Key, name, third, first)
		}
		if back.Key != o.Key || !maps.Equal(back.Labels, o.Labels) || !equalMore(o.More, back.More) {
			t.Errorf("%s comes back as %+v", o.Key, back)
		}
	}
}

// TestManifest writes all objects that tests have, of every kind, and reads them again.
func TestManifest(t *testing.T) {
	seen := map[Kind]int{}
	files, _ := filepath.Glob("testdata/check/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimSuffix(filepath.Base(file), ".yaml")
		k, _ := KindOf(kind)
		for row := range strings.SplitSeq(string(data), "---\n") {
			var spec, metadata strings.Builder
			for line := range strings.Lines(row) {
				if m, is := strings.CutPrefix(line, "#m "); is {
					metadata.WriteString("  " + m)
				} else if !strings.HasPrefix(line, "#= ") {
					spec.WriteString(line)
				}
			}
			var objects []*Object
			switch k {
			case MeshConfig, MeshNetworks:
				if o, _ := readSetting(k, []byte(spec.String()), Origin{}); o != nil {
					objects = []*Object{o}
				}
			default:
				text := "apiVersion: " + k.APIVersion() + "\nkind: " + kind + "\nmetadata:\n" + metadata.String()
				if !strings.Contains(metadata.String(), "name: ") {
					text += "  name: a\n"
				}
				if k == EndpointSlice {
					text += spec.String()
				} else {
					text += "spec:\n  " + strings.ReplaceAll(strings.TrimSuffix(spec.String(), "\n"), "\n", "\n  ") + "\n"
				}
				objects = Read([]byte(text), Origin{}).Objects
			}
			for _, o := range objects {
				seen[k]++
				again(t, o)
			}
		}
	}
	trio, err := os.ReadFile("testdata/trio.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{strings.ReplaceAll(string(trio), "NAME", "name"), `
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: x}, ownerReferences: [{kind: ReplicaSet, name: p-1, controller: true, apiVersion: apps/v1}]}
spec: {serviceAccountName: sa, nodeName: node, containers: [{name: c, ports: [{containerPort: 80, name: web}]}]}
status: {phase: Running, podIP: 10.1.1.1, podIPs: [{ip: 10.1.1.1}], conditions: [{type: Ready, status: "True"}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n, labels: {topology.kubernetes.io/zone: a}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: n, annotations: {a: "yes", b: "<&>"}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, type: kubernetes.io/tls, data: {a: AQI=}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "b\n  c: on"}}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {clusterIP: 10.0.0.1, selector: {app: b}, ports: [{name: http, port: 80, targetPort: web}, {name: tcp, port: 81, targetPort: 8081, appProtocol: tls}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e, labels: {kubernetes.io/service-name: b}}
addressType: IPv4
endpoints: [{addresses: [10.1.1.1], conditions: {ready: false}, zone: z, targetRef: {kind: Pod, name: p}}]
ports: [{name: http, port: 8080}]
---
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: istio}, spec: {controller: istio.io/ingress-controller}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: g}, spec: {template: {serviceAccount: a}}}
`} {
		c := Read([]byte(text), Origin{})
		if len(c.Problems) > 0 {
			t.Errorf("%q", said(c.Problems))
		}
		for _, o := range c.Objects {
			seen[o.Kind]++
			again(t, o)
		}
	}
	for k := range kindCount {
		if seen[k] == 0 {
			t.Errorf("no %s is tried", k)
		}
	}
}

// TestManifestHasAdditions writes what ASM adds beside Istio's message, where it was.
func TestManifestHasAdditions(t *testing.T) {
	read := func(k Kind, text string) *Object {
		roots, f := Document{Text: []byte(text)}.parse()
		if f != nil {
			t.Fatal(f)
		}
		pairs, _ := (&writer{}).pairs(real(roots[0]), 0)
		o, r := &Object{Key: Key{Kind: k, Namespace: "default", Name: "a"}}, &reading{}
		r.message(o, "spec", field(pairs, "spec"), &writer{})
		if o.Spec == nil || o.More == nil {
			t.Fatalf("%v: %q", o, said(r.Problems))
		}
		return o
	}
	for k, text := range map[Kind]string{
		VirtualService: `spec:
  hosts: [a]
  dubbo:
  - services: [{prefix: "providers:x"}]
    routes: [{match: [{method: {argc: 3, args: [{index: 1, num_value: {oneof: [{exact: 1}, {range: {start: 2, end: 2.50}}]}}]}}], route: [{destination: {subset: v1}, weight: 100}]}]
  http:
  - route: [{destination: {host: a}}]
  - headerToDynamicSubsetKey: [{header: x-version, key: version, defaultValue: v1}]
    route:
    - destination: {host: a}
    - destination: {host: b}
      fallback: {case: noinstances, targets: [{destination: {host: c, port: {number: 80}}, host_rewrite: true}]}
`, DestinationRule: `spec:
  host: a
  trafficPolicy:
    loadBalancer: {simple: PEAK_EWMA}
    portLevelSettings: [{port: {number: 80}}, {port: {number: 81}, loadBalancer: {simple: PEAK_EWMA}}]
  subsets:
  - name: v1
  - name: v2
    trafficPolicy: {loadBalancer: {dynamicSubset: {subsetSelectors: [{keys: [version]}], fallbackPolicy: ANY_ENDPOINT}}}
`, WasmPlugin: "spec: {url: 'oci://a/b', phase: ASM_ROUTER}\n"} {
		o := read(k, text)
		text, err := Manifest(o)
		if err != nil {
			t.Fatal(err)
		}
		if back := read(k, string(text)); !Same(o, back) {
			t.Errorf("%+v and %+v come back as %+v and %+v by\n%s", o.Spec, o.More, back.Spec, back.More, text)
		}
	}
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]Key{
		"virtualservices.networking.istio.io/shop/reviews": {Kind: VirtualService, Namespace: "shop", Name: "reviews"},
		"vs/shop/reviews":                    {Kind: VirtualService, Namespace: "shop", Name: "reviews"},
		"VirtualService/shop/a.b":            {Kind: VirtualService, Namespace: "shop", Name: "a.b"},
		"svc/shop/a":                         {Kind: Service, Namespace: "shop", Name: "a"},
		"namespaces/-/shop":                  {Kind: Namespace, Namespace: "", Name: "shop"},
		"meshconfig/-/default":               {Kind: MeshConfig, Namespace: "", Name: "default"},
		"endpointslice.discovery.k8s.io/a/b": {Kind: EndpointSlice, Namespace: "a", Name: "b"},
	} {
		k, ok := ParsePath(path)
		if !ok || k != want {
			t.Errorf("%s is %v, %v: want %v", path, k, ok, want)
		}
		if again, ok := ParsePath(want.Path()); !ok || again != want {
			t.Errorf("%s is %v, %v", want.Path(), again, ok)
		}
	}
	for _, path := range []string{"", "vs", "vs/a", "vs/a/", "vs//b", "vs/-/b", "ns/a/b", "ns/-/B", "vs/a/b/c", "vs/../b", "virtualservices.security.istio.io/a/b", "/a/b", "vs/a/" + strings.Repeat("b", 254)} {
		if k, ok := ParsePath(path); ok {
			t.Errorf("%q is %v", path, k)
		}
	}
}

func TestReadIn(t *testing.T) {
	c := ReadIn([]byte(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: c}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: d, namespace: other}}
`), Origin{File: "f"}, "shop")
	var got []string
	for _, o := range c.Objects {
		got = append(got, o.Key.String())
	}
	if want := "ConfigMap shop/a, ConfigMap shop/b, Namespace c"; strings.Join(got, ", ") != want {
		t.Errorf("read %q: want %s", got, want)
	}
	if want := "f:7: ConfigMap other/d: metadata.namespace is other, and shop is asked for"; strings.Join(said(c.Problems), "\n") != want {
		t.Errorf("said %q: want %s", said(c.Problems), want)
	}
}

func TestAuthorsAreWords(t *testing.T) {
	for name, good := range map[string]bool{"ann": true, "ci/canary@x": true, "": false, "ann ben": false, strings.Repeat("a", 129): false} {
		c := Read([]byte("{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {weftmesh.io/author: '"+name+"'}}}"), Origin{})
		if len(c.Objects) != 1 || (c.Objects[0].Author == name) != (good || name == "") || (len(c.Problems) == 0) != good {
			t.Errorf("%.20q: %+v", name, c)
		}
	}
}

func TestWhatAnObjectIsWrittenUpon(t *testing.T) {
	c := Read([]byte(`{apiVersion: v1, kind: Namespace, metadata: {name: a, resourceVersion: "7", annotations: {weftmesh.io/author: ann}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b}}
`), Origin{})
	if len(c.Objects) != 2 || len(c.Expected) != 1 || c.Expected[Key{Kind: Namespace, Name: "a"}] != "7" || c.Objects[0].Author != "ann" || c.Objects[1].Author != "" {
		t.Errorf("%+v, %v", c, c.Objects[0])
	}
}

// FuzzManifest writes whatever can be read, and reads it again.
func FuzzManifest(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../translate/testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			objects, _, _ := strings.Cut(string(data), "\n### node\n")
			for _, d := range Split([]byte(objects)) {
				f.Add(d.Text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range Read(data, Origin{}).Objects {
			again(t, o)
		}
	})
}

// FuzzParsePath: what is a path is the path of what it names.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{"vs/a/b", "virtualservices.networking.istio.io/shop/reviews", "ns/-/a", "meshconfig/-/default", "a//b", "vs/-/-"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		key, ok := ParsePath(path)
		if !ok {
			return
		}
		if again, ok := ParsePath(key.Path()); !ok || again != key {
			t.Errorf("%q is %v, whose path %q is %v, %v", path, key, key.Path(), again, ok)
		}
	})
}
