package translate

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/xds/server"
)

var update = flag.Bool("update", false, "write what is told into the goldens")

// The marks of a golden: objects, then who asks, then what of it matters, then what is told.
const (
	markNode = "\n### node\n"
	markShow = "\n### show\n"
	markTold = "\n### told\n"
)

// TestGoldens holds what is told to what was told before and looked at. A golden has objects, a node, the kinds and names of resources to show, one
// a line (a name may end in *), and these.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, told, _ := strings.Cut(string(text), markTold)
			objects, rest, _ := strings.Cut(head, markNode)
			nodeText, show, ok := strings.Cut(rest, markShow)
			if !ok {
				t.Fatal("no node, or nothing to show")
			}
			v := New().View(mesh.New().With(manifest.Read(t, objects)), proxyOf(t, nodeText))
			valid(t, v)
			got := render(t, v, strings.Fields(show))
			if *update {
				if err := os.WriteFile(file, []byte(head+markTold+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != told {
				t.Errorf("told otherwise than before; -update, and look:\n%s", difference(told, got))
			}
		})
	}
}

// proxyOf is the proxy that a node, in YAML, says it is.
func proxyOf(t testing.TB, text string) *Proxy {
	t.Helper()
	node := &corev3.Node{}
	js, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(js, node)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := ProxyOf(node)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// difference is where two texts part, and some lines of each.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(lines []string) string { return strings.Join(lines[max(0, i-5):min(len(lines), i+15)], "\n") }
	return "was:\n" + cut(a) + "\nis:\n" + cut(b)
}

func messageOf(k server.Kind) proto.Message {
	switch k {
	case server.Clusters:
		return &clusterv3.Cluster{}
	case server.Endpoints:
		return &endpointv3.ClusterLoadAssignment{}
	case server.Listeners:
		return &listenerv3.Listener{}
	case server.Extensions:
		return &corev3.TypedExtensionConfig{}
	case server.Routes:
		return &routev3.RouteConfiguration{}
	case server.VirtualHosts:
		return &routev3.VirtualHost{}
	case server.Names:
		return dynamicpb.NewMessage(nameTables())
	}
	return nil
}

// nameTables is how Istio's agents read tables of names (istio.networking.nds.v1), of which there is no library to be had.
var nameTables = sync.OnceValue(func() protoreflect.MessageDescriptor {
	text, many, message := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_LABEL_REPEATED, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	field := func(name string, number int32) *descriptorpb.FieldDescriptorProto {
		one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		return &descriptorpb.FieldDescriptorProto{Name: &name, JsonName: &name, Number: &number, Type: &text, Label: &one}
	}
	list := func(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
		f.Label = &many
		return f
	}
	of := func(f *descriptorpb.FieldDescriptorProto, name string) *descriptorpb.FieldDescriptorProto {
		f.Type, f.TypeName = &message, proto.String(".istio.networking.nds.v1.NameTable."+name)
		return f
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("nds.proto"), Package: proto.String("istio.networking.nds.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name:  proto.String("NameTable"),
			Field: []*descriptorpb.FieldDescriptorProto{list(of(field("table", 1), "TableEntry"))},
			NestedType: []*descriptorpb.DescriptorProto{
				{Name: proto.String("NameInfo"), Field: []*descriptorpb.FieldDescriptorProto{list(field("ips", 1)), field("registry", 2), field("shortname", 3), field("namespace", 4), list(field("alt_hosts", 5))}},
				{Name: proto.String("TableEntry"), Field: []*descriptorpb.FieldDescriptorProto{field("key", 1), of(field("value", 2), "NameInfo")}, Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}},
			},
		}},
	}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages().Get(0)
})

var kindWords = map[server.Kind]string{server.Clusters: "cluster", server.Endpoints: "endpoints", server.Listeners: "listener", server.Routes: "routes", server.VirtualHosts: "host", server.Extensions: "extension", server.Names: "names"}

// render is the resources of a view that are asked for, as YAML.
func render(t testing.TB, v *server.View, show []string) string {
	t.Helper()
	var b strings.Builder
	var names []string
	for _, part := range v.Parts {
		for _, r := range part.Resources {
			label := kindWords[part.Kind] + "/" + r.Name
			if part.Kind != server.Names { // of which each view has one
				names = append(names, label)
			}
			for _, want := range show {
				prefix, some := strings.CutSuffix(want, "*")
				if label == want || some && strings.HasPrefix(label, prefix) {
					m := messageOf(part.Kind)
					if err := proto.Unmarshal(r.Body, m); err != nil {
						t.Fatal(err)
					}
					js, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
					if err != nil {
						t.Fatal(err)
					}
					var any bytes.Buffer // protojson puts blanks where it likes
					if err := json.Compact(&any, js); err != nil {
						t.Fatal(err)
					}
					y, err := yaml.JSONToYAML(any.Bytes())
					if err != nil {
						t.Fatal(err)
					}
					b.WriteString("# " + label + "\n" + string(y) + "---\n")
					break
				}
			}
		}
	}
	b.WriteString("# all there is:\n# " + strings.Join(names, "\n# ") + "\n")
	return b.String()
}

// valid holds a view to what views are.
func valid(t testing.TB, v *server.View) {
	t.Helper()
	seen := map[string]bool{}
	for _, part := range v.Parts {
		last := ""
		for _, r := range part.Resources {
			if r.Name <= last {
				t.Errorf("%s %s comes after %s", kindWords[part.Kind], r.Name, last)
			}
			last = r.Name
			label := kindWords[part.Kind] + "/" + r.Name
			if seen[label] {
				t.Errorf("%s is told twice", label)
			}
			seen[label] = true
			m := messageOf(part.Kind)
			if err := proto.Unmarshal(r.Body, m); err != nil {
				t.Errorf("%s: %v", label, err)
			}
			if r.Version != version(r.Body) {
				t.Errorf("%s has version %s, which is not of its body", label, r.Version)
			}
			if check, ok := m.(interface{ ValidateAll() error }); ok {
				if err := check.ValidateAll(); err != nil {
					t.Errorf("%s: %v", label, err)
				}
			}
		}
	}
}
