package decode

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"
	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/peer_metadata/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/decompressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/decompressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/decompressor/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/csrf/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/decompressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/test/authority"
)

// fake is a filter that reads Envoy's Buffer, for the tests.
var fake = filters.Spec{
	Name:     "envoy.filters.http.buffer",
	Type:     "envoy.extensions.filters.http.buffer.v3.Buffer",
	Override: "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
	Decode: func(wire []byte) (any, error) {
		var m bufferv3.Buffer
		if err := proto.Unmarshal(wire, &m); err != nil {
			return nil, err
		}
		if m.GetMaxRequestBytes().GetValue() == 13 {
			return nil, Problems{{Path: "max_request_bytes", Text: "want any other number"}}
		}
		return m.GetMaxRequestBytes().GetValue(), nil
	},
	DecodeOverride: func(wire []byte, _ string) (any, error) {
		var m bufferv3.BufferPerRoute
		err := proto.Unmarshal(wire, &m)
		return m.GetDisabled(), err
	},
}

// parse reads YAML into a message.
func parse[M proto.Message](t testing.TB, text string, m M) M {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

// unlike are run fields that nothing can be told from by themselves here, and why.
var unlike = map[string]string{
	"envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider.fallback": "it counts where the processor or FIPS mode has no batches, and is an error there without it",
}

// TestEveryRunFieldCounts takes each run field out of a configuration that sets all of them, or changes it, and wants another result.
func TestEveryRunFieldCounts(t *testing.T) {
	t.Setenv("WEFT_TEST_BODY", "from env")
	text, err := os.ReadFile(filepath.Join("testdata", "run.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := authority.New(t, dir)
	a.Staple("staple", a.Issue("a", []string{"a.test"}, nil).Leaf, time.Now().Add(time.Hour))
	a.IssueRSA("r", []string{"r.test"})
	a.Revoke("crl.pem")
	a.Write("tickets", []byte(strings.Repeat("k", 80)))
	text = bytes.ReplaceAll(text, []byte("TLS/"), []byte(dir+"/"))
	d := New([]filters.Spec{fake}, Options{})
	seen := map[string]bool{}
	for _, root := range parts(parse(t, string(text), &bootstrapv3.Bootstrap{})) {
		want, err := d.Bootstrap(proto.CloneOf(root))
		if err != nil {
			t.Fatal(err)
		}
		f := flipper{t: t, want: want, root: root, seen: seen, read: func(m proto.Message) (any, error) { return d.Bootstrap(proto.CloneOf(m.(*bootstrapv3.Bootstrap))) }}
		f.message(root.ProtoReflect(), "", nil, func() {})
	}
	d = New([]filters.Spec{fake}, Options{Shared: true})
	for _, one := range alone {
		m := parse(t, one.text, proto.Clone(one.message))
		f := flipper{t: t, root: m, seen: seen, read: func(m proto.Message) (any, error) {
			return d.Wire(string(m.ProtoReflect().Descriptor().FullName()), marshal(m))
		}}
		var err error
		if f.want, err = f.read(m); err != nil {
			t.Fatal(err)
		}
		f.message(m.ProtoReflect(), "", nil, func() {})
	}
	for key, fields := range index() {
		message, _, _ := strings.Cut(key, "@")
		if filterTable[key] != nil || bodyTable[key] != nil || limitTable[key] != nil {
			continue // a filter's own fields are flipped where the filter runs, in test/fields
		}
		for _, fd := range fieldsOf(t, message) {
			a := fields[string(fd.Name())]
			if a.answer == isRun && !onlyZero(fd, a) && !container(fd) && !seen[key+"."+string(fd.Name())] {
				t.Errorf("%s.%s is run, and testdata/run.yaml does not set it", key, fd.Name())
			}
		}
	}
}

// alone are resources that are part of no bootstrap.
var alone = map[string]struct {
	message proto.Message
	text    string
}{
	"extension": {&corev3.TypedExtensionConfig{}, `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 5}}`},
	"hosts":     {&routev3.RouteConfiguration{}, `{name: a, vhds: {config_source: {ads: {}, initial_fetch_timeout: 7s}}}`},
	"scope":     {&routev3.ScopedRouteConfiguration{}, `{name: a, on_demand: true, route_configuration_name: t, key: {fragments: [{string_key: a}, {string_key: b}]}}`},
	"layer":     {&runtimev3.Runtime{}, `{name: x, layer: {k: 7}}`},
}

// parts cuts a bootstrap up, since each flip reads the whole of what it is part of.
func parts(root *bootstrapv3.Bootstrap) []*bootstrapv3.Bootstrap {
	all := root.StaticResources
	root.StaticResources = &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{{Name: "up"}}} // whom streams are with
	out := []*bootstrapv3.Bootstrap{root}
	for _, m := range []*metricsv3.StatsMatcher{
		{StatsMatcher: &metricsv3.StatsMatcher_RejectAll{RejectAll: true}},
		{StatsMatcher: &metricsv3.StatsMatcher_ExclusionList{ExclusionList: &matcherv3.ListStringMatcher{Patterns: []*matcherv3.StringMatcher{{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "a"}}}}}},
	} {
		out = append(out, &bootstrapv3.Bootstrap{StatsConfig: &metricsv3.StatsConfig{StatsMatcher: m}})
	}
	out = append(out, &bootstrapv3.Bootstrap{ApplicationLogConfig: &bootstrapv3.Bootstrap_ApplicationLogConfig{LogFormat: &bootstrapv3.Bootstrap_ApplicationLogConfig_LogFormat{
		LogFormat: &bootstrapv3.Bootstrap_ApplicationLogConfig_LogFormat_JsonFormat{JsonFormat: &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStringValue("%j")}}}}}})
	for _, c := range all.Secrets {
		out = append(out, &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{Secrets: []*tlsv3.Secret{c}}})
	}
	for _, c := range all.Clusters {
		out = append(out, &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{c}}})
	}
	for _, l := range all.Listeners {
		out = append(out, &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{l}, Clusters: []*clusterv3.Cluster{{Name: "up"}}}})
	}
	return out
}

// container says that what is inside of a field counts, and not the field.
func container(fd protoreflect.FieldDescriptor) bool {
	m := fd.Message()
	return m != nil && !fd.IsMap() && !leaf(m) && m.FullName() != "google.protobuf.Any" && m.Fields().Len() > 0
}

// onlyZero says that an enum has nothing that is run but what is meant by saying nothing.
func onlyZero(fd protoreflect.FieldDescriptor, a field) bool {
	if fd.Enum() == nil || fd.HasPresence() {
		return false
	}
	for name, v := range a.values {
		if v.answer == isRun && fd.Enum().Values().ByName(protoreflect.Name(name)).Number() != 0 {
			return false
		}
	}
	return true
}

// flipper walks a message and tries what each field is for.
type flipper struct {
	t    *testing.T
	want any
	root proto.Message
	read func(proto.Message) (any, error)
	seen map[string]bool
}

// message flips all that is set in m; sync writes m back to where it came from, if that was an Any.
func (f *flipper) message(m protoreflect.Message, word string, p *at, sync func()) {
	key := tableKey(string(m.Descriptor().FullName()), word)
	answers := index()[key]
	for _, fd := range fieldsOf(f.t, string(m.Descriptor().FullName())) {
		a := answers[string(fd.Name())]
		if a.answer != isRun || !m.Has(fd) {
			continue
		}
		f.seen[key+"."+string(fd.Name())] = true
		p := p.field(string(fd.Name()))
		v := m.Get(fd)
		switch {
		case fd.IsMap() && fd.MapValue().Message() == nil:
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				f.inside(v.Message(), a, p.key(k.String()), sync)
				return true
			})
		case fd.Message() != nil && fd.IsList():
			for i := range v.List().Len() {
				f.inside(v.List().Get(i).Message(), a, p.item(i), sync)
			}
		case fd.Message() != nil && !leaf(fd.Message()):
			f.inside(v.Message(), a, p, sync)
		}
		if container(fd) {
			continue
		}
		f.flip(m, fd, p, sync)
	}
}

func (f *flipper) inside(m protoreflect.Message, a field, p *at, sync func()) {
	any, ok := m.Interface().(*anypb.Any)
	if !ok {
		f.message(m, a.table, p, sync)
		return
	}
	if !slices.Contains(a.any, string(any.MessageName())) {
		return
	}
	inner, err := any.UnmarshalNew()
	if err != nil {
		f.t.Fatal(err)
	}
	f.message(inner.ProtoReflect(), a.table, p.as(string(any.MessageName())), func() {
		any.Value = marshal(inner)
		sync()
	})
}

// flip takes a field out and, if that changes nothing, gives it another value.
func (f *flipper) flip(m protoreflect.Message, fd protoreflect.FieldDescriptor, p *at, sync func()) {
	old := proto.Clone(m.Interface()).ProtoReflect().Get(fd) // a list or map is a view of the message
	defer func() { m.Set(fd, old); sync() }()
	m.Clear(fd)
	sync()
	if f.differs() {
		return
	}
	if fd.Message() == nil {
		m.Set(fd, other(fd, old))
	} else if inner := fd.Message().Fields().ByName("value"); inner != nil && fd.Message().FullName() != "google.protobuf.Any" {
		w := m.NewField(fd).Message()
		w.Set(inner, other(inner, old.Message().Get(inner)))
		m.Set(fd, protoreflect.ValueOfMessage(w))
	}
	sync()
	if !f.differs() && unlike[string(fd.FullName())] == "" {
		f.t.Errorf("%s: neither without it nor with another value is anything different", p)
	}
}

func other(fd protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!v.Bool())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(v.String() + "x")
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(v.Uint()) - 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(v.Enum() + 1)
	}
	return v
}

func (f *flipper) differs() bool {
	got, err := f.read(f.root)
	return err != nil || !sameConfig(f.want, got)
}

// sameConfig compares all but fingerprints and bytes to show, which it takes out.
func sameConfig(a, b any) bool {
	bare(reflect.ValueOf(a))
	bare(reflect.ValueOf(b))
	return reflect.DeepEqual(a, b)
}

func bare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type().Elem().PkgPath() == reflect.TypeFor[config.Listener]().PkgPath() && !v.IsNil() {
			bare(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			bare(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			bare(v.MapIndex(k))
		}
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[config.Listener]().PkgPath() {
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "Raw" || name == "Hash" {
				v.Field(i).SetZero()
				continue
			}
			bare(v.Field(i))
		}
	}
}
