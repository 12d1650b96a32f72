package decode

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/config"
)

// flags are those of Envoy's feature flags that change nothing here, or what they say, and why. All others are refused: whoever turns one
// off wants what an older Envoy did.
var flags = map[string]string{
	"envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": "use_original_dst is run, old or not",
	"envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update":                                       "how often a balancer is put together is seen by nobody",
	"envoy.reloadable_features.fixed_heap_use_allocated":                                                   "no memory of a fixed size is watched",
	"envoy.reloadable_features.http_reject_path_with_fragment":                                             "run: it is asked for whenever a path has a fragment",
	"envoy.reloadable_features.no_extension_lookup_by_name":                                                "the type of an extension's configuration decides, never its name",
}

// isFlag tells whether a key is one of Envoy's own switches.
func isFlag(key string) bool {
	for _, prefix := range []string{"envoy.reloadable_features.", "envoy.restart_features.", "envoy.deprecated_features"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// CheckRuntimeKey says why a key may not be set; empty: it may.
func CheckRuntimeKey(key string) string {
	if isFlag(key) && flags[key] == "" {
		return "not supported: a switch of Envoy's own code, which is not here to be switched"
	}
	return ""
}

// runtime reads the layers of runtime values. Without any there is one for the operator, as in Envoy.
func (s *session) runtime(m *bootstrapv3.LayeredRuntime, p *at) (layers []config.RuntimeLayer) {
	if len(m.GetLayers()) == 0 {
		return []config.RuntimeLayer{{Admin: true}}
	}
	for i, l := range m.GetLayers() {
		p := p.field("layers").item(i)
		c := config.RuntimeLayer{Name: l.GetName(), Admin: l.GetAdminLayer() != nil}
		for j, o := range layers {
			if o.Name == c.Name {
				s.problem(p.field("name"), "layers[%d] is called %q, too", j, c.Name)
			}
			if o.Admin && c.Admin {
				s.problem(p.field("admin_layer"), "layers[%d] is one already: want at most one", j)
			}
		}
		if l.GetStaticLayer() != nil {
			c.Values = map[string]*config.Value{}
			s.runtimeValues(c.Values, "", l.GetStaticLayer(), p.field("static_layer"))
		}
		if r := l.GetRtdsLayer(); r != nil {
			p := p.field("rtds_layer")
			if c.Resource = r.GetName(); c.Resource == "" {
				s.problem(p.field("name"), "a name is missing: the values are asked for by it")
			}
			c.File, c.Stream = s.source(r.GetRtdsConfig(), p.field("rtds_config"))
		}
		layers = append(layers, c)
	}
	return layers
}

// runtimeValues reads values; the names of objects within one another are strung together with dots.
func (s *session) runtimeValues(to map[string]*config.Value, prefix string, m *structpb.Struct, p *at) {
	for name, v := range m.GetFields() {
		p, key := p.key(name), prefix+name
		inner := v.GetStructValue()
		switch v.GetKind().(type) {
		case *structpb.Value_ListValue, *structpb.Value_NullValue, nil:
			s.problem(p, "want a number, true or false, a string or an object")
		default:
			if why := CheckRuntimeKey(key); inner == nil && why != "" {
				s.problem(p, "%s", why)
				continue
			}
			if inner != nil && !isShare(inner) {
				s.runtimeValues(to, key+".", inner, p)
				continue
			}
			to[key] = RuntimeValue("", v)
		}
	}
}

// isShare tells whether an object is a share, not values of longer names.
func isShare(m *structpb.Struct) bool {
	return slices.ContainsFunc([]string{"numerator", "denominator"}, func(name string) bool { _, ok := m.GetFields()[name]; return ok })
}

// RuntimeValue reads a value as all that it can be. raw is how it was written, if that is known.
func RuntimeValue(raw string, m *structpb.Value) *config.Value {
	v := &config.Value{Text: raw}
	set := func(text string) {
		if raw == "" {
			v.Text = text
		}
	}
	switch k := m.GetKind().(type) {
	case *structpb.Value_BoolValue:
		v.Bool = &k.BoolValue
		set(strconv.FormatBool(k.BoolValue))
	case *structpb.Value_NumberValue:
		v.Number = &k.NumberValue
		set(strconv.FormatFloat(k.NumberValue, 'g', -1, 64))
	case *structpb.Value_StringValue:
		set(k.StringValue)
		word := strings.TrimSpace(v.Text)
		if b := strings.EqualFold(word, "true"); b || strings.EqualFold(word, "false") {
			v.Bool = &b
		}
		if n, err := strconv.ParseFloat(word, 64); err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) {
			v.Number = &n
		}
	case *structpb.Value_StructValue:
		text, _ := protojson.Marshal(k.StructValue)
		set(string(text))
		var f typev3.FractionalPercent
		if isShare(k.StructValue) && protojson.Unmarshal(text, &f) == nil {
			share := Fraction(&f)
			v.Share = &share
		}
	}
	return v
}
