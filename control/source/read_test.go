package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
)

// said are problems as people see them.
func said(problems []Problem) (out []string) {
	for _, p := range problems {
		s := fmt.Sprintf("%s:%d: ", p.From.File, p.From.Line)
		if p.Warning {
			s += "warning: "
		}
		if p.Name != "" {
			s += p.Key.String() + ": "
		}
		if p.Path != "" {
			s += p.Path + " "
		}
		out = append(out, s+p.Text)
	}
	return out
}

func TestRead(t *testing.T) {
	c := Read([]byte(`# what a person writes
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: a
  namespace: shop
  labels: {app: a, since: 2020-01-01}
  annotations:
    note: "x"
  creationTimestamp: "2026-01-02T03:04:05Z"
spec:
  hosts: [a]
  http:
  - timeout: 1.5s
    route:
    - destination: {host: a, port: {number: 0x50}}
      weight: 100
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: b}
  spec:
    clusterIP: 10.0.0.1
    selector: {app: b}
    ports:
    - {name: http, port: 80, targetPort: web}
    - {name: tcp, port: 81, targetPort: 8081}
- apiVersion: v1
  kind: Namespace
  metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicyList
items:
- metadata: {name: nothing}
---
{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/tls",
 "data": {"a": "AQI=", "b": "AQI="}, "stringData": {"b": "\ud83d\ude00\/"}}
---
apiVersion: v1
kind: Pod
metadata:
  name: p
  ownerReferences: [{kind: Job, name: x}, {kind: ReplicaSet, name: p-1, controller: true, apiVersion: apps/v1}]
spec: {serviceAccountName: sa, containers: [{name: c, ports: [{containerPort: 80, name: web}], image: x}]}
status: {phase: Running, podIP: 10.1.1.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e, labels: {kubernetes.io/service-name: b}}
addressType: IPv4
endpoints: [{addresses: [10.1.1.1], conditions: {ready: true}, targetRef: {kind: Pod, name: p}}]
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {a: b}
`), Origin{Source: "d", File: "f"})
	objects, problems := c.Objects, c.Problems
	for _, s := range said(problems) {
		t.Error(s)
	}
	var got []string
	byName := map[string]*Object{}
	for _, o := range objects {
		got = append(got, fmt.Sprintf("%s@%d", o.Key, o.From.Line))
		byName[o.Name] = o
	}
	want := "VirtualService shop/a@2 Service default/b@22 Namespace shop@31 AuthorizationPolicy default/nothing@38 Secret default/s@40" +
		" Pod default/p@43 EndpointSlice default/e@51 ConfigMap default/c@58"
	if strings.Join(got, " ") != want {
		t.Fatalf("read\n%s, want\n%s", strings.Join(got, " "), want)
	}
	a := byName["a"]
	vs := a.Spec.(*networking.VirtualService)
	if d := vs.Http[0].Route[0].Destination; d.Host != "a" || d.Port.Number != 80 || vs.Http[0].Timeout.AsDuration() != 1500*time.Millisecond {
		t.Errorf("spec is %v", vs)
	}
	if a.Labels["since"] != "2020-01-01" || a.Annotations["note"] != "x" || a.Created.Unix() != 1767323045 || a.Revision == "" {
		t.Errorf("metadata is %+v", a)
	}
	if s := byName["b"].Spec.(*ServiceSpec); s.ClusterIP != "10.0.0.1" || s.Ports[0].TargetPort.Name != "web" || s.Ports[1].TargetPort.Number != 8081 {
		t.Errorf("service is %+v", s)
	}
	if _, is := byName["nothing"].Spec.(*security.AuthorizationPolicy); !is {
		t.Errorf("policy is %T", byName["nothing"].Spec)
	}
	if s := byName["s"].Spec.(*SecretSpec); string(s.Data["a"]) != "\x01\x02" || string(s.Data["b"]) != "😀/" || s.Type != "kubernetes.io/tls" {
		t.Errorf("secret is %q", s)
	}
	if p := byName["p"].Spec.(*PodSpec); p.Owner != (ObjectRef{"ReplicaSet", "default", "p-1"}) || !p.Status.Ready || p.Status.PodIP != "10.1.1.1" ||
		p.Containers[0].Ports[0].ContainerPort != 80 {
		t.Errorf("pod is %+v", p)
	}
	if e := byName["e"].Spec.(*EndpointSliceSpec); e.AddressType != "IPv4" || e.Endpoints[0].Addresses[0] != "10.1.1.1" || !*e.Endpoints[0].Conditions.Ready ||
		e.Ports[0].Port != 8080 {
		t.Errorf("slice is %+v", e)
	}
	if c := byName["c"].Spec.(*ConfigMapSpec); c.Data["a"] != "b" {
		t.Errorf("config map is %+v", c)
	}
}

// vs is a VirtualService with something wrong in its spec, which begins in line 4.
func vs(spec string) string {
	return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n" + spec
}

func TestReadSays(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"unknown field", vs("  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      wieght: 3\n"),
			"f:9: VirtualService default/a: spec.http[0].route[0].wieght is no field of HTTPRouteDestination: weight?"},
		{"several unknown fields", vs("  host: [a]\n  tpc: []\n"),
			"f:5: VirtualService default/a: spec.host is no field of VirtualService: hosts?\nf:6: VirtualService default/a: spec.tpc is no field of VirtualService: tls?"},
		{"a value of another kind", vs("  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      weight: much\n"),
			`f:9: VirtualService default/a: spec.http[0].route[0].weight invalid value for int32 field weight: "much"`},
		{"yes is true, as at kubectl's", vs("  hosts: [yes]\n"), "f:5: VirtualService default/a: spec.hosts[0] invalid value for string field hosts: true"},
		{"bad duration", vs("  hosts: [ä]\n  http:\n  - timeout: 3 s\n"),
			`f:7: VirtualService default/a: spec.http[0].timeout invalid google.protobuf.Duration value "3 s"`},
		{"double key", vs("  hosts: [a]\n  http: []\n  hosts: [b]\n"),
			"f:7: VirtualService default/a: spec.hosts is there twice, first 2 lines above: only one of them can be meant"},
		{"double key at the top", "kind: A\nkind: B\n", "f:2: kind is there twice, first 1 lines above: only one of them can be meant"},
		{"field at the top", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspecs: {}\n",
			"f:4: Gateway default/a: specs is no field of a Gateway: spec?"},
		{"field of metadata", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: a\n  lables: {}\n",
			"f:5: Gateway default/a: metadata.lables is no field of metadata: labels?"},
		{"label that is no text", "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels: {version: 1}\nspec: {ports: [{port: 1}]}",
			`f:5: Service default/a: metadata.labels.version 1 is no text: write it in quotes`},
		{"no name", "apiVersion: v1\nkind: Service\nmetadata: {namespace: a}\n", "f:1: metadata.name is not said"},
		{"bad name", "apiVersion: v1\nkind: Service\nmetadata: {name: A_b}\n",
			`f:3: metadata.name "A_b" is no name: small letters, digits, dashes and dots, at most 253`},
		{"bad version", "apiVersion: networking.istio.io/v2\nkind: Gateway\nmetadata: {name: a}\n",
			"f:1: Gateway default/a: apiVersion networking.istio.io/v2 is not read of a Gateway: write networking.istio.io/v1"},
		{"kind of Istio's", "apiVersion: networking.istio.io/v1\nkind: Gatewey\nmetadata: {name: a}\n",
			"f:1: kind networking.istio.io/v1 Gatewey (a) is no kind that is known here"},
		{"kind of ASM's", "apiVersion: istio.alibabacloud.com/v1\nkind: ASMSwimLane\nmetadata: {name: a}\n",
			"f:1: kind istio.alibabacloud.com/v1 ASMSwimLane (a) is no kind that is known here"},
		{"kind of others", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
			"f:1: warning: apps/v1 Deployment is no kind that a mesh is made of: it is skipped"},
		{"no YAML", "a: b\nc: [\n", "f:2: is no YAML: did not find expected node content"},
		{"no object", "- a\n- b\n", "f:1: is no object: it has no apiVersion and no kind"},
		{"bad UTF-8", "kind: \xff\n", "f:1: is no YAML: invalid leading UTF-8 octet"},
		{"number of another kind", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: x\n",
			"f:6: Service default/a: spec.ports[0].port is a string and ought to be a int32"},
		{"fallback", vs("  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      fallback: {case: noinstances, target: {host: b}}\n"),
			"f:9: VirtualService default/a: spec.http[0].route[0].fallback fallback is an addition of ASM's that is not run here yet"},
		{"the inside of an alias bomb", "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n" +
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: *f}\n",
			"f:1: VirtualService default/a: a is no field of a VirtualService"},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := Read([]byte(c.in), Origin{File: "f"})
			got := strings.Join(said(read.Problems), "\n")
			if !strings.HasPrefix(got, c.want) || !strings.Contains(c.name, "bomb") && got != c.want {
				t.Errorf("said\n%s, want\n%s", got, c.want)
			}
			if len(read.Objects) > 0 {
				t.Errorf("took %v", read.Objects[0].Key)
			}
		})
	}
}

// What is wrong with one object is no matter to the others of the file.
func TestReadKeepsTheOthers(t *testing.T) {
	service := func(name string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {ports: [{port: 80}]}\n"
	}
	c := Read([]byte(service("a")+"---\nkind: [\n---\n"+service("B")+"---\n"+service("c")), Origin{})
	if len(c.Objects) != 2 || c.Objects[0].Name != "a" || c.Objects[1].Name != "c" || len(c.Problems) != 2 || !c.Torn {
		t.Errorf("read %v and %v", c.Objects, said(c.Problems))
	}
}

func TestReadBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"a file of 100 MB", make([]byte, 100<<20), "has 100 MB, and at most 16 are read: write it as several files"},
		{"fields without end", []byte(strings.Repeat("[", maxMarks+1)), "fields and items"},
		{"levels without end", []byte(vs("  hosts: " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000))), "levels deep"},
		{"levels of JSON", []byte(`{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}"), "levels deep"},
		{"aliases", []byte(vs("  hosts: ["+strings.Repeat("&a [x", 1)+"]]\n") + bomb("[*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]")), "aliases stand for"},
		{"merges", []byte(vs("  hosts: [a]\n") + bomb("{<<: [*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]}")), "aliases stand for"},
		{"additions of ASM's", []byte(vs("  hosts: [a]\n" + bombs(5, "[*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]") + "  http:\n" +
			strings.Repeat("  - route: [{fallback: *x5}]\n", 1000))), "aliases stand for"},
		{"an alias of itself", []byte(vs("  hosts: &a [*a]\n")), "levels deep"},
		{"a text of 4 MB", []byte(vs("  hosts: [" + strings.Repeat("a", 4<<20) + "]\n  http: []")), "3 MB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			read := Read(c.in, Origin{})
			if got := strings.Join(said(read.Problems), "\n"); len(read.Objects) > 0 || !strings.Contains(got, c.want) || len(read.Problems) > maxProblems {
				t.Errorf("took %d and said %s", len(read.Objects), got)
			}
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// bomb is a spec's fields, each of which stands for ten of the one before.
func bomb(form string) string { return bombs(12, form) }

func bombs(levels int, form string) string {
	s := "  x0: &x0 {a: b}\n"
	for i := range levels {
		s += fmt.Sprintf("  x%d: &x%d %s\n", i+1, i+1, strings.ReplaceAll(form, "%s", fmt.Sprintf("x%d", i)))
	}
	return s
}

// What ASM adds is taken out with all that it says, so that only its refusal has to go when it is run.
func TestAdditionsAreKept(t *testing.T) {
	read := func(in string) (more any, problems []string) {
		documents := Split([]byte(in))
		roots, f := documents[0].parse()
		if f != nil {
			t.Fatal(f.text)
		}
		_, kind := key(roots[0], "kind")
		_, spec := key(roots[0], "spec")
		k, _ := formOf("networking.istio.io", kind.Value)
		o, w := &Object{Key: Key{Kind: k}}, &writer{}
		take(o, spec, w, func(f *fault) { problems = append(problems, f.path+" "+f.text) })
		if f := w.value(spec, 0); f != nil {
			t.Fatal(f.text)
		}
		if err := strict.Unmarshal(w.out, Forms[k].message()); err != nil {
			t.Errorf("what is left is no %v: %v", k, err)
		}
		return o.More, problems
	}
	more, problems := read(vs(`  hosts: [a]
  dubbo:
  - services: [{prefix: "providers:x"}]
    routes: [{match: [{method: {argc: 3, args: [{index: 1, type: java.lang.String, strValue: {patterns: [{exact: hi}]}}]}}], route: [{destination: {subset: v1}, weight: 100}]}]
  http:
  - route: [{destination: {host: a}}]
  - headerToDynamicSubsetKey: [{header: x-version, key: version, defaultValue: v1}]
    route:
    - destination: {host: a}
    - destination: {host: b}
      fallback: {case: noinstances, targets: [{destination: {host: c, port: {number: 80}}, host_rewrite: true}]}
`))
	v, is := more.(*VirtualServiceMore)
	if !is || len(problems) != 2 {
		t.Fatalf("more is %T, said %q", more, problems)
	}
	if f := v.HTTP[1].Fallbacks[1]; f.Case != "noinstances" || f.Targets[0].Destination.Port.Number != 80 || !f.Targets[0].HostRewrite {
		t.Errorf("fallback is %+v", f)
	}
	if v.HTTP[1].HeaderToDynamicSubsetKey[0] != (HeaderToSubsetKey{"x-version", "version", "v1"}) || v.HTTP[0] != nil {
		t.Errorf("routes are %+v", v.HTTP)
	}
	if m := v.Dubbo[0].Routes[0].Match[0].Method; m.Argc != 3 || m.Args[0].StrValue.Patterns[0].Exact != "hi" {
		t.Errorf("Dubbo is %+v", v.Dubbo)
	}
	more, problems = read(`kind: DestinationRule
spec:
  host: a
  trafficPolicy:
    loadBalancer: {simple: PEAK_EWMA}
    portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: PEAK_EWMA}}]
  subsets:
  - name: v1
  - name: v2
    trafficPolicy: {loadBalancer: {dynamicSubset: {subsetSelectors: [{keys: [version]}], fallbackPolicy: ANY_ENDPOINT}}}
`)
	d, is := more.(*DestinationRuleMore)
	if !is || len(problems) != 3 || problems[1] != "trafficPolicy.portLevelSettings[0].loadBalancer.simple PEAK_EWMA is an addition of ASM's that is not run here yet" {
		t.Fatalf("more is %T, said %q", more, problems)
	}
	if !d.Policy.LoadBalancer.PeakEWMA || !d.Policy.Ports[0].PeakEWMA || d.Subsets[1].LoadBalancer.DynamicSubset.SubsetSelectors[0].Keys[0] != "version" {
		t.Errorf("rule is %+v", d)
	}
}

// Two versions have the same spec whatever the order in which it is written, and whatever stands beside it.
func TestSame(t *testing.T) {
	read := func(text string) *Object {
		c := Read([]byte(text), Origin{})
		if len(c.Objects) != 1 {
			t.Fatalf("read %v", said(c.Problems))
		}
		return c.Objects[0]
	}
	a := read(vs("  hosts: [a]\n  http: [{route: [{destination: {host: a}, weight: 1}], timeout: 60s}]\n"))
	for _, c := range []struct {
		text           string
		same, revision bool
	}{
		{"# other\n" + vs("  hosts: [\"a\"]\n  http:\n  - route: [{destination: {host: a}, weight: 1}]\n    timeout: 60s\n"), true, true},
		{vs("  http: [{route: [{destination: {host: a}, weight: 1}], timeout: 1m}]\n  hosts: [a]\n"), true, false},
		{strings.Replace(vs("  hosts: [a]\n  http: [{route: [{destination: {host: a}, weight: 1}], timeout: 60s}]\n"), "{name: a}", "{name: a, labels: {b: c}}", 1), true, false},
		{vs("  hosts: [a]\n  http: [{route: [{destination: {host: a}, weight: 2}], timeout: 60s}]\n"), false, false},
	} {
		b := read(c.text)
		if Same(a, b) != c.same || (a.Revision == b.Revision) != c.revision {
			t.Errorf("%s: the same is %v, revisions are %s and %s", c.text, Same(a, b), a.Revision, b.Revision)
		}
	}
}

func TestReadMeshConfig(t *testing.T) {
	o, problems := ReadMeshConfig([]byte("trustDomain: td\ndefaultConfig:\n  concurrency: 2\n"), Origin{File: "m"})
	if o == nil || o.Kind != MeshConfig || len(problems) > 0 {
		t.Fatalf("read %v, said %v", o, said(problems))
	}
	if o, problems = ReadMeshConfig([]byte("# nothing\n"), Origin{File: "m"}); o == nil || len(problems) > 0 {
		t.Errorf("an empty one is %v: %v", o, said(problems))
	}
	o, problems = ReadMeshConfig([]byte("trustDomain: td\ndefaultConfig:\n  concurency: 2\n"), Origin{File: "m"})
	if want := "m:3: MeshConfig default: defaultConfig.concurency is no field of ProxyConfig: concurrency?"; o != nil || len(problems) != 1 || said(problems)[0] != want {
		t.Errorf("read %v, said %q", o, said(problems))
	}
	o, problems = ReadMeshNetworks([]byte("networks:\n  n1:\n    endpoints: [{fromRegistry: c1}]\n    gateways: [{address: 1.2.3.4, port: 15443}]\n"), Origin{})
	if o == nil || o.Kind != MeshNetworks || len(problems) > 0 {
		t.Errorf("read %v, said %v", o, said(problems))
	}
}

// Whatever a file holds, reading it ends, and every object has a name and a message.
func FuzzRead(f *testing.F) {
	f.Add([]byte(vs("  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n")))
	f.Add([]byte("a: &a {<<: *a}\n---\n{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{}]}"))
	f.Add([]byte("kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: !!binary aGk=}]}\n...\n--- |\n x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Read(data, Origin{})
		for _, o := range c.Objects {
			if o.Name == "" || o.Spec == nil || o.Revision == "" || o.From.Line < 1 {
				t.Errorf("took %+v", o)
			}
		}
		for _, p := range c.Problems {
			if p.Text == "" || p.From.Line < 1 {
				t.Errorf("said %+v", p)
			}
		}
		ReadMeshConfig(data, Origin{})
	})
}

func BenchmarkRead(b *testing.B) {
	var all strings.Builder
	for i := range 1000 {
		all.WriteString(trio(i))
	}
	b.SetBytes(int64(all.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if c := Read([]byte(all.String()), Origin{}); len(c.Objects) != 3000 || len(c.Problems) > 0 {
			b.Fatalf("read %d, said %v", len(c.Objects), said(c.Problems[:min(3, len(c.Problems))]))
		}
	}
}

// trio is a service as the numbers have it.
func trio(i int) string {
	data, err := os.ReadFile(filepath.Join("testdata", "trio.yaml"))
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(string(data), "NAME", fmt.Sprintf("svc-%d", i))
}
