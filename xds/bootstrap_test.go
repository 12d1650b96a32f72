package xds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/config"
)

// faultsOf reads a configuration and lists what is said against it, with the folder taken out of the files' names.
func faultsOf(t *testing.T, name, text string, src Source) []string {
	t.Helper()
	folder := t.TempDir()
	src.Path = filepath.Join(folder, name)
	if err := os.WriteFile(src.Path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := ReadBootstrap(src, nil)
	if err == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(err.Error(), folder+string(filepath.Separator), ""), "\n")
}

// TestFaults holds what is said, with file, line and path.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, file, text, yaml string
		want                   []string
	}{
		{name: "unknown fields", file: "b.yaml", text: "node:\n  id: a\n  clustr: b\nstatic_resource:\n  listeners: []\nxyzzy: 1\n", want: []string{
			`b.yaml:3: node.clustr: Node has no field "clustr"; did you mean "cluster"?`,
			`b.yaml:4: static_resource: Bootstrap has no field "static_resource"; did you mean "static_resources"?`,
			`b.yaml:6: xyzzy: Bootstrap has no field "xyzzy"`,
		}},
		{name: "inside an extension", file: "b.yaml", text: listener(tcp("clustre: up")), want: []string{
			`b.yaml:8: static_resources.listeners[0].filter_chains[0].filters[0].typed_config(TcpProxy).clustre: TcpProxy has no field "clustre"; did you mean "cluster"?`,
		}},
		{name: "wrong kinds", file: "b.yaml", text: "node: [a]\nadmin:\n  access_log_path: 5\n  address: {socket_address: {address: on, port_value: -1}}\nstatic_resources:\n  clusters:\n  - 7\n", want: []string{
			`b.yaml:1: node: want an object, not a list`,
			`b.yaml:3: admin.access_log_path: want a string, not 5: put it in quotes`,
			`b.yaml:4: admin.address.socket_address.address: want a string, not true: put it in quotes`,
			`b.yaml:4: admin.address.socket_address.port_value: want a whole number from 0 to 4294967295, not -1`,
			`b.yaml:7: static_resources.clusters[0]: want an object, not a number`,
		}},
		{name: "lines of what the table refuses", file: "b.yaml", text: "admin:\n  address:\n    pipe: {path: /a}\n  socket_options:\n  - int_value: 1\nstatic_resources:\n  clusters:\n  - name: a\n    connectTimeout: 1s\n" +
			"  - name: b\n    track_timeout_budgets:\n      true\n    connectTimeout: 0s\n", want: []string{
			`b.yaml:4: admin.socket_options: not supported yet: the admin's socket has the system's options`,
			`b.yaml:11: static_resources.clusters[1].track_timeout_budgets: not supported yet: no such statistics are kept`,
			`b.yaml:13: static_resources.clusters[1].connect_timeout: value must be greater than 0s`,
		}},
		{name: "lists of two texts", file: "b.json", text: "{\"static_resources\":\n{\"clusters\": [{\"name\": \"a\"}]}}", yaml: "static_resources:\n  clusters:\n  - name: a\n", want: []string{
			`--config-yaml:3: static_resources.clusters[1].name: clusters[0] is called "a", too`,
		}},
		{name: "override alone is faulty", file: "b.yaml", text: "{}", yaml: "nodes: {}", want: []string{
			`--config-yaml:1: nodes: Bootstrap has no field "nodes"; did you mean "node"?`,
		}},
		{name: "not YAML", file: "b.yaml", text: "node:\n\tid: a", want: []string{`b.yaml: line 2: found character that cannot start any token`}},
		{name: "empty YAML", file: "b.yaml", text: "# nothing\n", want: []string{`b.yaml: the text is empty`}},
		{name: "null", file: "b.yaml", text: "~\n", want: []string{`b.yaml:1: want an object, not null`}},
		{name: "not JSON", file: "b.json", text: "{\"node\":\n{\"id\": }}", want: []string{
			`b.json:2: invalid character '}' looking for beginning of value (a file that does not end in .yaml, .yml, .pb or .pb_text is read as JSON)`}},
		{name: "YAML under another name", file: "b.conf", text: "node: {id: a}", want: []string{
			`b.conf:1: invalid character 'o' in literal null (expecting 'u') (a file that does not end in .yaml, .yml, .pb or .pb_text is read as JSON)`}},
		{name: "JSON and more", file: "b.json", text: "{}\n{}", want: []string{
			`b.json:2: something follows the end of the object (a file that does not end in .yaml, .yml, .pb or .pb_text is read as JSON)`}},
		{name: "JSON cut off", file: "b.json", text: "{\"node\":", want: []string{
			`b.json:1: the text ends too soon (a file that does not end in .yaml, .yml, .pb or .pb_text is read as JSON)`}},
		{name: "bytes that are no message", file: "b.pb", text: "\xff", want: []string{"b.pb: proto: cannot parse invalid wire-format data"}},
		{name: "deep", file: "b.json", text: strings.Repeat(`{"node":`, 100_000), want: []string{
			`b.json:1: nested more than 100 deep (a file that does not end in .yaml, .yml, .pb or .pb_text is read as JSON)`}},
		{name: "a billion laughs", file: "b.yaml", text: "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + laughs(), want: []string{`b.yaml:1: too many values when aliases are spelled out`}},
		{name: "an alias of itself", file: "b.yaml", text: "node: &a {metadata: *a}", want: []string{`b.yaml:1: nested more than 100 deep`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, faultsOf(t, c.file, c.text, Source{YAML: c.yaml})); d != "" {
				t.Error(d)
			}
		})
	}
}

func laughs() string {
	var b strings.Builder
	for c := 'b'; c <= 'k'; c++ {
		b.WriteString(string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ",") + "]\n")
	}
	return b.String()
}

// TestFormats reads the same bootstrap in each of its spellings.
func TestFormats(t *testing.T) {
	m := &bootstrapv3.Bootstrap{Node: &corev3.Node{Id: "a", Cluster: "b"}}
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"b.yaml":    "node: {id: a, cluster: b}",
		"b.YML":     "node:\n  id: a\n  cluster: b\n---\nnode: {id: c}",
		"b.json":    `{"node": {"id": "a", "cluster": "b"}}`,
		"b":         `{"node": {"id": "a", "cluster": "b"}}`,
		"b.pb":      string(wire),
		"b.pb_text": prototext.Format(m),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := ReadBootstrap(Source{Path: path}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(config.Node{ID: "a", Cluster: "b", Message: wire[2:]}, b.Node); d != "" { // field 1 is the node
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestOverride merges as protobuf does: single fields are replaced, lists are strung together.
func TestOverride(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(path, []byte("node: {id: a, cluster: b, locality: {zone: z}}\nstatic_resources: {clusters: [{name: a}]}"), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := ReadBootstrap(Source{
		Path: path,
		YAML: `{"node": {"id": "c"}, "static_resources": {"clusters": [{"name": "b"}]}}`,
		Node: config.Node{Cluster: "flag"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Node.Message = nil
	if d := cmp.Diff(config.Node{ID: "c", Cluster: "flag", Zone: "z"}, b.Node); d != "" {
		t.Error(d)
	}
	if len(b.Static.Clusters) != 2 || b.Static.Clusters[1].Name != "b" {
		t.Errorf("%d clusters", len(b.Static.Clusters))
	}
	alone, err := ReadBootstrap(Source{YAML: "node: {id: alone}"}, nil)
	if err != nil || alone.Node.ID != "alone" {
		t.Errorf("without a file: %+v, %v", alone, err)
	}
	if _, err := ReadBootstrap(Source{}, nil); err == nil {
		t.Error("nothing at all is accepted")
	}
	if _, err := ReadBootstrap(Source{Path: "/nowhere/b.yaml"}, nil); err == nil || err.Error() != "/nowhere/b.yaml: cannot be read: no such file or directory" {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestAllowUnknownFields takes unknown fields and values for absent, and nothing else.
func TestAllowUnknownFields(t *testing.T) {
	text := "node: {idd: a, id: b}\nstatic_resources: {clusters: [{name: a, lb_policy: LATEST}]}\nnobody: {a: [1]}\n"
	if got := faultsOf(t, "b.yaml", text, Source{AllowUnknownFields: true}); got != nil {
		t.Errorf("refused: %s", got)
	}
	if got := faultsOf(t, "b.yaml", text, Source{}); len(got) != 3 {
		t.Errorf("want 3 faults, got %s", got)
	}
	want := []string{"b.yaml:1: hds_config: not supported: health discovery"}
	if d := cmp.Diff(want, faultsOf(t, "b.yaml", "hds_config: {}", Source{AllowUnknownFields: true})); d != "" {
		t.Error(d)
	}
}

// TestScalars reads words as Envoy does; each was tried against it.
func TestScalars(t *testing.T) {
	for text, want := range map[string]node{
		"y": {kind: boolNode, text: "true"}, "Yes": {kind: boolNode, text: "true"}, "ON": {kind: boolNode, text: "true"}, "true": {kind: boolNode, text: "true"},
		"N": {kind: boolNode, text: "false"}, "no": {kind: boolNode, text: "false"}, "Off": {kind: boolNode, text: "false"},
		"yEs": {kind: stringNode, text: "yEs"}, `"y"`: {kind: stringNode, text: "y"}, "'on'": {kind: stringNode, text: "on"}, "|\n on\n": {kind: stringNode, text: "on\n"},
		"!!str yes": {kind: boolNode, text: "true"},
		"~":         {kind: nullNode, text: "~"}, "NULL": {kind: nullNode, text: "NULL"}, "nUll": {kind: stringNode, text: "nUll"}, `"null"`: {kind: stringNode, text: "null"},
		"80": {kind: numberNode, text: "80"}, "+80": {kind: numberNode, text: "80"}, "-7": {kind: numberNode, text: "-7"}, "0": {kind: numberNode, text: "0"},
		"010": {kind: numberNode, text: "8"}, "08": {kind: stringNode, text: "08"}, "0x10": {kind: numberNode, text: "16"}, "-0X10": {kind: numberNode, text: "-16"},
		"0o17": {kind: stringNode, text: "0o17"}, "1_0": {kind: stringNode, text: "1_0"}, "1.5": {kind: stringNode, text: "1.5"}, "1e3": {kind: stringNode, text: "1e3"},
		"2147483648": {kind: stringNode, text: "2147483648"}, "99999999999999999999": {kind: stringNode, text: "99999999999999999999"},
		"2020-01-01": {kind: stringNode, text: "2020-01-01"},
	} {
		n, err := parseYAML([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if n.kind != want.kind || n.text != want.text {
			t.Errorf("%s: %s %q, want %s %q", text, n.kind, n.text, want.kind, want.text)
		}
	}
}

// TestNumbers reads what may stand for a number, in a field of 32 bits without a sign.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]int64{
		"80": 80, `"80"`: 80, `"0x50"`: 80, `"080"`: 80, "8e1": 80, `"80.0"`: 80, "80.0": 80, "4294967295": 4294967295,
		"80.5": -1, "-1": -1, "4294967296": -1, `""`: -1, `" 80"`: -1, "true": -1, "[80]": -1, "0o17": -1, "1_0": -1, ".inf": -1, `"NaN"`: -1, "0x": -1, `"0x1p4"`: -1, "1e400": -1,
	} {
		m := &bootstrapv3.Bootstrap{}
		_, err := readText("t", formatYAML, []byte("static_resources: {clusters: [{name: a, per_connection_buffer_limit_bytes: "+text+"}]}"), m, false)
		got := int64(-1)
		if err == nil {
			got = int64(m.GetStaticResources().GetClusters()[0].GetPerConnectionBufferLimitBytes().GetValue())
		}
		if got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
}

// FuzzReadText must neither panic nor take a text for good that cannot be judged.
func FuzzReadText(f *testing.F) {
	run, err := os.ReadFile(filepath.Join("decode", "testdata", "run.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(formatYAML), run)
	for _, text := range []string{"", "{}", "node: {id: [a, {b: c}]}", "a: &a [*a, *a]", "? [a]\n: b", "node: !!binary x", "<<: {node: ~}", "node: {metadata: {a: [1, ~, {b: 1.5}]}}"} {
		f.Add(byte(formatYAML), []byte(text))
		f.Add(byte(formatJSON), []byte(text))
	}
	f.Add(byte(formatJSON), []byte(`{"node":{"id":"a","locality":{"zone":"\ud800"}},"stats_flush_interval":"1.000000001s"}`))
	f.Add(byte(formatText), []byte(`node { id: "a" }`))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		m := &bootstrapv3.Bootstrap{}
		read, err := readText("t", format(kind%4), b, m, false)
		if err != nil {
			return
		}
		_, err = ReadBootstrap(Source{YAML: string(b)}, nil)
		if faults, ok := err.(Faults); err != nil && !ok || len(faults) > maxFaults {
			t.Errorf("%T with %d", err, len(faults))
		}
		find([]text{read}, "static_resources.clusters[0](X).name")
	})
}
