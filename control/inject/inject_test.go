package inject

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"istio.io/api/annotation"
	"istio.io/api/label"
	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/source"
)

const image = "registry.test/proxyv2-weft:1.30"

// worldOf is a mesh in which nothing is said but what an injector's file says.
func worldOf(t testing.TB, install string) *World {
	t.Helper()
	in, err := ReadInstall([]byte(install), "image="+image)
	if err != nil {
		t.Fatal(err)
	}
	return &World{Install: in, Config: &meshv1.MeshConfig{}, Discovery: "weftd.istio-system.svc:15012", Namespace: "shop", RootNamespace: "istio-system"}
}

// podWith is a pod with metadata, and more in its spec.
func podWith(metadata, spec string) []byte {
	return fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cart"%s}, "spec": {"containers": [{"name": "cart", "image": "a"}]%s}}`, metadata, spec)
}

// Every annotation and label that Istio's API names has a fate here, and those that are here have a note.
func TestEveryAnnotationHasAFate(t *testing.T) {
	find := func(list []Known, name string) bool {
		return slices.ContainsFunc(list, func(k Known) bool { return k.Name == name })
	}
	for _, a := range annotation.AllResourceAnnotations() {
		if !find(Annotations, a.Name) {
			t.Errorf("annotation %s: %v", a.Name, a.Resources)
		}
	}
	for _, l := range label.AllResourceLabels() {
		if !find(Labels, l.Name) {
			t.Errorf("label %s: %v", l.Name, l.Resources)
		}
	}
	for _, list := range [][]Known{Annotations, Labels} {
		if !slices.IsSortedFunc(list, func(a, b Known) int { return strings.Compare(a.Name, b.Name) }) {
			t.Error("they are not in the order of their names")
		}
		for _, k := range list {
			if k.Note == "" {
				t.Errorf("%s: no note", k.Name)
			}
		}
	}
}

// Every annotation that is run does something, and nothing else does; what is warned about is said by its name.
func TestWhatIsSaidOfAnnotations(t *testing.T) {
	w := worldOf(t, "")
	good := map[string]string{
		"inject.istio.io/templates": "sidecar,spire", "istio.io/reroute-virtual-interfaces": "net1", annotationMerge: "false", annotationProxy: "concurrency: 3",
		"readiness.status.sidecar.istio.io/failureThreshold": "9", "readiness.status.sidecar.istio.io/initialDelaySeconds": "9", "readiness.status.sidecar.istio.io/periodSeconds": "9",
		"sidecar.istio.io/agentLogLevel": "debug", "sidecar.istio.io/bootstrapOverride": "a", "sidecar.istio.io/capNetBindService": "true", "sidecar.istio.io/componentLogLevel": "http:debug",
		"sidecar.istio.io/discoveryAddress": "a.test:1", "sidecar.istio.io/init-containers-before-proxy": "a", annotationInject: "false", annotationMode: "NONE", "sidecar.istio.io/logLevel": "trace",
		"sidecar.istio.io/nativeSidecar": "true", "sidecar.istio.io/proxyCPU": "1", "sidecar.istio.io/proxyCPULimit": "1", annotationImage: "a.test/b:1", "sidecar.istio.io/proxyImageType": "debug",
		"sidecar.istio.io/proxyMemory": "1Gi", "sidecar.istio.io/proxyMemoryLimit": "1Gi", "sidecar.istio.io/rewriteAppHTTPProbers": "false", annotationStatus: "{}",
		"sidecar.istio.io/userVolume": `{"a": {"emptyDir": {}}}`, "sidecar.istio.io/userVolumeMount": `{"a": {"mountPath": "/a"}}`, "status.sidecar.istio.io/port": "15999",
		"traffic.sidecar.istio.io/excludeInboundPorts": "1", "traffic.sidecar.istio.io/excludeInterfaces": "eth1", "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8",
		"traffic.sidecar.istio.io/excludeOutboundPorts": "1", "traffic.sidecar.istio.io/includeInboundPorts": "1", "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8",
		"traffic.sidecar.istio.io/includeOutboundPorts": "1", "traffic.sidecar.istio.io/kubevirtInterfaces": "net1",
	}
	spec := `, "initContainers": [{"name": "a"}, {"name": "b", "restartPolicy": "Always", "livenessProbe": {"httpGet": {"port": 1}}}]`
	base, err := Pod(podWith("", spec), w)
	if err != nil {
		t.Fatal(err)
	}
	native := *w
	native.Install, _ = ReadInstall(nil, "image="+image, "nativeSidecar=true")
	for _, k := range Annotations {
		value, world := good[k.Name], w
		if k.Fate != Run {
			value = "something"
		}
		is := base
		if k.Name == "sidecar.istio.io/init-containers-before-proxy" {
			if world, is = &native, nil; is == nil {
				is, _ = Pod(podWith("", spec), world)
			}
		}
		out, err := Pod(podWith(fmt.Sprintf(`, "annotations": {%q: %q}`, k.Name, value), spec), world)
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		named := slices.ContainsFunc(out.Warnings, func(w string) bool { return strings.Contains(w, k.Name) })
		if named != (k.Fate == Warned) {
			t.Errorf("%s: warned %q", k.Name, out.Warnings)
		}
		if same := reflect.DeepEqual(specOf(is), specOf(out)); same != (k.Fate != Run || k.Name == annotationMerge) {
			t.Errorf("%s: it changes nothing, or ought to: %v", k.Name, same)
		}
	}
	// Templates may name what is put in anyway.
	if out, err := Pod(podWith(`, "annotations": {"inject.istio.io/templates": "sidecar"}`, spec), w); err != nil || !reflect.DeepEqual(specOf(base), specOf(out)) {
		t.Errorf("the template sidecar changes something: %v", err)
	}
	out, err := Pod(podWith(`, "annotations": {"inject.istio.io/templates": "sidecar,spire"}`, spec), w)
	if text := fmt.Sprint(specOf(out)); err != nil || !strings.Contains(text, `{"csi":{"driver":"csi.spiffe.io","readOnly":true},"name":"workload-socket"}`) || !strings.Contains(text, `"mountPath":"/var/run/secrets/workload-spiffe-uds","name":"workload-socket","readOnly":true`) {
		t.Errorf("with SPIRE: %v %s", err, text)
	}
	out, err = Pod(podWith(`, "annotations": {"prometheus.istio.io/merge-metrics": "false"}`, spec), w)
	if text, _ := json.Marshal(out); err != nil || strings.Contains(string(text), "prometheus.io") {
		t.Errorf("metrics are merged all the same: %v %s", err, text)
	}
}

// specOf are the steps of a patch that are about the spec.
func specOf(o *Outcome) (out []string) {
	for _, s := range o.Patch {
		if strings.HasPrefix(s.Path, "/spec") {
			text, _ := json.Marshal(s)
			out = append(out, string(text))
		}
	}
	return out
}

// Values that are wrong have the pod refused, with the annotation's name.
func TestWrongAnnotationsAreRefused(t *testing.T) {
	w := worldOf(t, "")
	for name, values := range map[string][]string{
		"inject.istio.io/templates":                             {"gateway", "sidecar,mine", "spire", "sidecar,spire,mine", ""},
		"istio.io/reroute-virtual-interfaces":                   {"", "eth0;ls", "a b", "much-too-long-a-name"},
		annotationMerge:                                         {"maybe"},
		annotationProxy:                                         {"concurency: 2", "concurrency: -1", "concurrency: [", "- a", "sidecarProxyResource: {limits: {cpu: 1}}", "selector: {}", "discoveryAddress: a:b:c", "proxyMetadata: {\"A=B\": c}", "{}\n---\n{}"},
		"readiness.status.sidecar.istio.io/failureThreshold":    {"0", "-1", "x", "4294967296"},
		"sidecar.istio.io/agentLogLevel":                        {"a b", "debug\n- x", ""},
		"sidecar.istio.io/bootstrapOverride":                    {"", "../a", "A", strings.Repeat("a", 254)},
		"sidecar.istio.io/capNetBindService":                    {"perhaps"},
		"sidecar.istio.io/discoveryAddress":                     {"a", "a\": {}"},
		"sidecar.istio.io/init-containers-before-proxy":         {"a,,b", "a b"},
		annotationMode:                                          {"redirect", ""},
		"sidecar.istio.io/logLevel":                             {"loud", ""},
		"sidecar.istio.io/proxyCPU":                             {"", "-1", "1 Gi", "1\n"},
		annotationImage:                                         {"", "proxyv2", "a/b:c d", "a/b:c\nd", "a/b@sha256:", "-a/b", strings.Repeat("a/", 300) + "b"},
		"sidecar.istio.io/proxyImageType":                       {"alpine"},
		"sidecar.istio.io/userVolume":                           {"", "[]", `{"A": {}}`, `{"a": 1}`, `{"a": {}} {}`},
		"sidecar.istio.io/userVolumeMount":                      {`{"a": {}}`, `{"a": {"mountPath": 1}}`},
		"status.sidecar.istio.io/port":                          {"-1", "65536", "http"},
		"traffic.sidecar.istio.io/excludeInboundPorts":          {"*", "a", "1;2", "1,", "0", "01"},
		"traffic.sidecar.istio.io/includeInboundPorts":          {"**", "65536"},
		"traffic.sidecar.istio.io/excludeInterfaces":            {"a,", "--x y"},
		"traffic.sidecar.istio.io/includeOutboundIPRanges":      {"10.0.0.1", "10.0.0.0/33", "*,10.0.0.0/8"},
		"traffic.sidecar.istio.io/excludeOutboundIPRanges":      {"*"},
		"readiness.status.sidecar.istio.io/periodSeconds":       {"0"},
		"readiness.status.sidecar.istio.io/initialDelaySeconds": {"-1"},
	} {
		for _, v := range values {
			out, err := Pod(podWith(fmt.Sprintf(`, "annotations": {%q: %s}`, name, quoted(v)), ""), w)
			named := name
			if strings.Contains(v, "A=B") {
				named = "proxyMetadata"
			}
			if err == nil || !strings.Contains(err.Error(), named) || strings.Contains(err.Error(), "\n") && len(values) == 1 {
				t.Errorf("%s %q: %+v %v", name, v, out, err)
			}
		}
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// Who gets none is told why.
func TestWhoGetsNoSidecar(t *testing.T) {
	on, off := worldOf(t, ""), worldOf(t, "policy: disabled")
	system := worldOf(t, "")
	system.Namespace = "kube-system"
	named := worldOf(t, "excludedNamespaces: [shop]")
	for _, c := range []struct {
		world          *World
		metadata, spec string
		why            string // empty: it gets one
	}{
		{on, "", "", ""},
		{on, `, "labels": {"sidecar.istio.io/inject": "false"}`, "", "its label sidecar.istio.io/inject says so"},
		{on, `, "annotations": {"sidecar.istio.io/inject": "no"}`, "", "its annotation sidecar.istio.io/inject says so"},
		{on, `, "labels": {"sidecar.istio.io/inject": "true"}, "annotations": {"sidecar.istio.io/inject": "false"}`, "", ""},
		{on, `, "labels": {"sidecar.istio.io/inject": "perhaps"}`, "", "its label sidecar.istio.io/inject says so"},
		{off, "", "", "it does not ask for one"},
		{off, `, "labels": {"sidecar.istio.io/inject": "true"}`, "", ""},
		{off, `, "annotations": {"sidecar.istio.io/inject": "On"}`, "", ""},
		{on, `, "labels": {"sidecar.istio.io/inject": "true"}`, `, "hostNetwork": true`, "it is on its node's network (hostNetwork)"},
		{on, "", `, "os": {"name": "windows"}`, "it is for Windows"},
		{on, "", `, "nodeSelector": {"kubernetes.io/os": "windows"}`, "it is for Windows"},
		{on, "", `, "nodeSelector": {"kubernetes.io/os": "linux"}`, ""},
		{system, `, "labels": {"sidecar.istio.io/inject": "true"}`, "", "namespace kube-system is one of those without sidecars"},
		{named, "", "", "namespace shop is one of those without sidecars"},
		{on, `, "annotations": {"sidecar.istio.io/status": "{}"}`, "", "it has one already"},
	} {
		out, err := Pod(podWith(c.metadata, c.spec), c.world)
		if err != nil || !strings.HasPrefix(out.Skipped, c.why) || (out.Skipped == "") != (c.why == "") || (len(out.Patch) > 0) != (c.why == "") {
			t.Errorf("%s %s: %+v %v: want %q", c.metadata, c.spec, out, err, c.why)
		}
	}
	if out, _ := Pod(podWith(`, "labels": {"sidecar.istio.io/inject": "perhaps"}`, ""), on); len(out.Warnings) != 1 {
		t.Errorf("a word that is neither: %q", out.Warnings)
	}
}

// What a pod belongs to is what people know it by.
func TestOwners(t *testing.T) {
	for _, c := range []struct{ metadata, want string }{
		{`"name": "a"`, "v1 Pod a"},
		{`"generateName": "a-"`, "v1 Pod a"},
		{`"name": "a-1-x", "labels": {"pod-template-hash": "1"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a-1", "controller": true}]`, "apps/v1 Deployment a"},
		{`"name": "a-1-x", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a-1", "controller": true}]`, "apps/v1 ReplicaSet a-1"},
		{`"name": "a-x", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "a-29000000", "controller": true}]`, "batch/v1 CronJob a"},
		{`"name": "a-x", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "a-1", "controller": true}]`, "batch/v1 Job a-1"},
		{`"name": "a-0", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n"}, {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a", "controller": true}]`, "apps/v1 StatefulSet a"},
	} {
		p, _, err := readPod([]byte(`{"metadata": {` + c.metadata + `}, "spec": {}}`))
		if err != nil {
			t.Fatal(err)
		}
		if o := p.owner(nil); o.apiVersion+" "+o.kind+" "+o.name != c.want {
			t.Errorf("%s: %+v: want %s", c.metadata, o, c.want)
		}
	}
}

// Whatever pod and settings: what comes out stays as it is, its own parts are all there, and names are there once.
func TestTwiceIsOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	for range 150 {
		w := worldOf(t, pick("", "nativeSidecar: true", "imagePullSecrets: [a, b]", "sidecar: {holdApplicationUntilProxyStarts: true}", "sidecar: {interceptionMode: NONE}", "rewriteAppHTTPProbe: false"))
		containers := []string{`{"name": "cart", "image": "a", "unknown": [1.50, {"a": null}]` + pick("", `, "livenessProbe": {"httpGet": {"port": 1}}`, `, "ports": [{"containerPort": 1}]`) + `}`}
		for range r.IntN(3) {
			containers = append(containers, `{"name": "`+pick("istio-proxy", "other", "third")+`", "image": "auto"`+pick("", `, "env": [{"name": "POD_NAME", "value": "x"}]`)+`}`)
		}
		slices.SortFunc(containers, func(string, string) int { return r.IntN(3) - 1 })
		seen := map[string]bool{}
		containers = slices.DeleteFunc(containers, func(c string) bool {
			name := c[:strings.IndexByte(c, ',')]
			was := seen[name]
			seen[name] = true
			return was
		})
		text := []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cart"` + pick("", `, "annotations": {"a": "b"}`, `, "annotations": null`, `, "labels": {"app": "x"}, "annotations": {"prometheus.io/port": "1", "sidecar.istio.io/nativeSidecar": "true"}`) +
			`}, "spec": {"containers": [` + strings.Join(containers, ", ") + `]` + pick("", `, "initContainers": [{"name": "first", "image": "a"}]`, `, "initContainers": [{"name": "istio-init", "image": "auto"}, {"name": "z", "image": "a"}]`) +
			pick("", `, "volumes": [{"name": "istio-data", "emptyDir": {}}]`, `, "volumes": null`, `, "imagePullSecrets": [{"name": "b"}]`) + `}}`)
		out, err := Pod(text, w)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		after := patched(t, text, out.Patch)
		again(t, after, w)
		sameAsFile(t, text, after, w)
		var is struct {
			Spec struct{ Containers, InitContainers, Volumes, ImagePullSecrets []struct{ Name string } }
		}
		if err := json.Unmarshal(after, &is); err != nil {
			t.Fatal(err)
		}
		names := map[string]int{}
		for _, c := range append(is.Spec.Containers, is.Spec.InitContainers...) {
			names[c.Name]++
		}
		for name, n := range names {
			if n != 1 {
				t.Fatalf("%s is there %d times:\n%s\n%s", name, n, text, after)
			}
		}
		if names["istio-proxy"] != 1 || !strings.Contains(string(after), `"unknown":[1.50,{"a":null}]`) {
			t.Fatalf("%s", after)
		}
	}
}

// Every key of an ASMProxyConfig, and of the injector's file, makes a pod another one, but for those that say themselves that they do not.
func TestEverySettingDoesSomething(t *testing.T) {
	spec := `, "initContainers": [{"name": "b", "restartPolicy": "Always", "livenessProbe": {"httpGet": {"port": 1}}}]`
	base, err := Pod(podWith("", spec), worldOf(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"lifecycle": "{postStart: {exec: {command: [a]}}}", "sidecarProxyResource": "{limits: {cpu: 3}}", "sidecarProxyInitResource": "{limits: {cpu: 3}}", "includeInboundPorts": `"1"`,
		"excludeInboundPorts": `"1"`, "includeOutboundPorts": `"1"`, "excludeOutboundPorts": `"1"`, "includeOutboundIPRanges": "10.0.0.0/8", "excludeOutboundIPRanges": "10.0.0.0/8",
		"istioDNSProxyEnabled": "true", "logLevel": "trace", "privileged": "true", "readinessInitialDelaySeconds": "9", "readinessPeriodSeconds": "9", "readinessFailureThreshold": "9",
		"enableCoreDump": "true", "parentShutdownDuration": "1s", "selector": "{matchLabels: {}}",
	}
	of := reflect.TypeFor[source.SidecarSettings]()
	for i := range of.NumField() {
		key, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		value, is := settings[key]
		if !is {
			t.Errorf("%s is not tried", key)
			continue
		}
		w := worldOf(t, "sidecar: {"+key+": "+value+"}")
		out, err := Pod(podWith("", spec), w)
		idle := key == "enableCoreDump" || key == "parentShutdownDuration" || key == "selector"
		if err != nil || reflect.DeepEqual(specOf(out), specOf(base)) != idle {
			t.Errorf("%s: %v, changes nothing or ought to", key, err)
		}
		if _, problems := source.ReadSidecarSettings([]byte("{"+key+": "+value+"}"), source.Origin{}); idle != (len(problems) > 0) {
			t.Errorf("%s: %+v", key, problems)
		}
	}
	file := map[string]string{
		"image": "a/b:2", "agent": "istio", "imagePullPolicy": "Never", "imagePullSecrets": "[a]", "policy": "disabled", "excludedNamespaces": "[shop]", "nativeSidecar": "true", "rewriteAppHTTPProbe": "false",
		"dualStack": "true", "cni": "true", "logAsJSON": "true", "componentLogLevel": "http:debug", "agentLogLevel": "debug", "cluster": "a", "network": "a", "meshID": "a", "clusterDomain": "a.test", "caAddress": "a:1", "tag": "2", "sidecar": "{concurrency: 9}",
	}
	in := reflect.TypeFor[Install]()
	for i := range in.NumField() {
		f := in.Field(i)
		if !f.IsExported() {
			continue
		}
		key := f.Tag.Get("yaml")
		if key == "" {
			key = strings.ToLower(f.Name)
		}
		value, is := file[key]
		if !is {
			t.Errorf("%s is not tried", key)
			continue
		}
		changes := []string{"image=" + image, key + "=" + value}
		if key == "tag" {
			changes = []string{"image=registry.test/proxyv2-weft", "tag=2"}
		}
		install, err := ReadInstall(nil, changes...)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		w := worldOf(t, "")
		w.Install = install
		out, err := Pod(podWith("", spec), w)
		if err != nil || reflect.DeepEqual(specOf(out), specOf(base)) != (key == "agent") {
			t.Errorf("%s: %v, changes nothing or ought to", key, err)
		}
	}
}

// The injector's file is read strictly.
func TestInstall(t *testing.T) {
	for text, want := range map[string]string{
		"image: a/b:1\nsidecar: {concurrency: 2, excludeOutboundPorts: \"1\"}": "",
		"":                           "",
		"imagee: a":                  "field imagee not found",
		"image: a b":                 "image: \"a b\" is no image",
		"agent: weft":                "",
		"agent: envoy":               "agent: \"envoy\" is none",
		"policy: maybe":              "policy: \"maybe\" is none of enabled, disabled",
		"imagePullPolicy: Sometimes": "imagePullPolicy: \"Sometimes\" is none of",
		"sidecar: {concurency: 2}":   "sidecar.concurency: is no field of ProxyConfig",
		"sidecar: {logLevel: loud}":  "sidecar.logLevel: \"loud\" is no level",
		"sidecar: {selector: {matchLabels: {a: b}}}": "sidecar.selector: it is of all sidecars",
		"a: b\n---\nc: d": "has several documents",
		"[":               "did not find",
		"- a":             "cannot unmarshal",
	} {
		_, err := ReadInstall([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v: want %q", text, err, want)
		}
	}
	in, err := ReadInstall([]byte("image: a/b:1\nsidecar: {concurrency: 2}"), "image=c/d", "tag=1.30", "sidecar.concurrency=5", "sidecar.proxyMetadata.A=b", "imagePullSecrets=[x, y]")
	if err != nil || in.Image != "c/d:1.30" || in.sidecar.Proxy.Concurrency.Value != 5 || in.sidecar.Proxy.ProxyMetadata["A"] != "b" || len(in.ImagePullSecrets) != 2 {
		t.Errorf("%+v %v", in, err)
	}
	for _, change := range []string{"a", "=b", "image.a=b", "a=[", "nothing=1"} {
		if _, err := ReadInstall([]byte("image: a/b:1"), change); err == nil {
			t.Errorf("%q is taken", change)
		}
	}
}

// page is what docs/injection.md has of the lists between its marks.
func page() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		list  []Known
	}{{"Annotations", Annotations}, {"Labels", Labels}} {
		fmt.Fprintf(&b, "### %s\n\n| %s | | |\n|---|---|---|\n", part.title, strings.ToLower(strings.TrimSuffix(part.title, "s")))
		for _, k := range part.list {
			fate := map[Fate]string{Run: "**run**", ByAgent: "**run** by the agent", Warned: "warned about", Harmless: "harmless"}[k.Fate]
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, fate, k.Note)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestPage holds docs/injection.md to the lists.
func TestPage(t *testing.T) {
	const path, begin, end = "../../docs/injection.md", "<!-- lists: go test ./control/inject -run TestPage -update -->\n\n", "<!-- end of lists -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, is := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !is || !ended {
		t.Fatalf("%s has no place for the lists", path)
	}
	want := before + begin + page() + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s is not what the lists say: run the test with -update", path)
	}
}

func BenchmarkPod(b *testing.B) {
	w := worldOf(b, "")
	text := podWith(`, "labels": {"app": "cart"}, "annotations": {"proxy.istio.io/config": "concurrency: 2"}`, `, "volumes": [{"name": "a", "emptyDir": {}}]`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Pod(text, w); err != nil {
			b.Fatal(err)
		}
	}
}
