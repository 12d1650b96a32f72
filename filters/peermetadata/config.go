package peermetadata

import (
	"encoding/base64"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	peerv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/peer_metadata/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/filters"
)

// settings are the filter's configuration.
type settings struct {
	discoverDown, discoverUp bool // from headers, which are taken out then
	tellDown, tellUp         []telling
	labels                   []string // that are passed on beside those that are always
}

// telling is a way to tell a peer who we are: in headers.
type telling struct {
	notOutside bool // clusters outside the mesh are not told
}

// Bounds of what is passed on beside what always is.
const (
	maxLabels  = 64
	maxTelling = 8
)

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:   "istio.metadata_exchange",
		Type:   "io.istio.http.peer_metadata.Config",
		Decode: func(wire []byte) (any, error) { return read(wire) },
		Hooks:  filters.OnRequestHeaders | filters.OnResponseHeaders,
		Build: func(c any, site filters.Site) func(int) filters.Filter {
			s := c.(*settings)
			own := &introduction{id: []byte(site.Node), value: introduce(site.NodeAs, s.labels)}
			known := make([]acquaintances, site.Stats.Loops()+1)
			return func(loop int) filters.Filter { return &filter{settings: s, own: own, known: &known[loop]} }
		},
	}
}

func read(wire []byte) (*settings, error) {
	var m peerv3.Config
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	if n := len(m.GetAdditionalLabels()); n > maxLabels {
		return nil, fmt.Errorf("additional_labels: %d labels: want %d at most", n, maxLabels)
	}
	s := &settings{labels: m.GetAdditionalLabels()}
	inHeaders := func(d *peerv3.Config_DiscoveryMethod) bool { return d.GetIstioHeaders() != nil }
	s.discoverDown = slices.ContainsFunc(m.GetDownstreamDiscovery(), inHeaders)
	s.discoverUp = slices.ContainsFunc(m.GetUpstreamDiscovery(), inHeaders)
	var err error
	if s.tellDown, err = tellings(m.GetDownstreamPropagation(), "downstream_propagation"); err == nil {
		s.tellUp, err = tellings(m.GetUpstreamPropagation(), "upstream_propagation")
	}
	return s, err
}

func tellings(list []*peerv3.Config_PropagationMethod, field string) (out []telling, err error) {
	if len(list) > maxTelling {
		return nil, fmt.Errorf("%s: %d ways: want %d at most", field, len(list), maxTelling)
	}
	for _, m := range list {
		if h := m.GetIstioHeaders(); h != nil {
			out = append(out, telling{notOutside: h.GetSkipExternalClusters()})
		}
	}
	return out, nil
}

// introduce writes down which workload this process is one of: what its bootstrap says of the node, of which no more is passed on than peers
// look at, the same bytes each time.
func introduce(node []byte, labels []string) []byte {
	var n corev3.Node
	if proto.Unmarshal(node, &n) != nil {
		return nil // it was read when the bootstrap was
	}
	w := describe(n.GetMetadata(), labels)
	w.region, w.zone = either(w.region, n.GetLocality().GetRegion()), either(w.zone, n.GetLocality().GetZone())
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(w.toStruct())
	if err != nil {
		return nil
	}
	return base64.StdEncoding.AppendEncode(nil, b)
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// parse reads an introduction; false: it is none.
func parse(value []byte, labels []string) (workload, bool) {
	for range 2 { // with or without padding
		if n := len(value); n > 0 && value[n-1] == '=' {
			value = value[:n-1]
		}
	}
	b, err := base64.RawStdEncoding.AppendDecode(nil, value)
	if err != nil {
		return workload{}, false
	}
	var m structpb.Struct
	if proto.Unmarshal(b, &m) != nil {
		return workload{}, false
	}
	return describe(&m, labels), true
}

// describe finds what is known of a workload in its node's metadata.
func describe(m *structpb.Struct, labels []string) (w workload) {
	text := func(name string) string { return m.GetFields()[name].GetStringValue() }
	w.instance, w.namespace, w.name, w.cluster = text("NAME"), text("NAMESPACE"), text("WORKLOAD_NAME"), text("CLUSTER_ID")
	w.identity, w.region, w.zone = text("IDENTITY"), text("REGION"), text("AVAILABILITY_ZONE")
	w.kind = kindOf(text("OWNER"), w.name)
	own := m.GetFields()["LABELS"].GetStructValue().GetFields()
	label := func(name string) string { return own[name].GetStringValue() }
	w.service, w.revision = label("service.istio.io/canonical-name"), label("service.istio.io/canonical-revision")
	w.app, w.version = either(label("app.kubernetes.io/name"), label("app")), either(label("app.kubernetes.io/version"), label("version"))
	for _, name := range labels {
		if v, ok := own[name]; ok && !isFixed(name) {
			if w.labels == nil {
				w.labels = map[string]string{}
			}
			w.labels[name] = v.GetStringValue()
		}
	}
	return w
}

// toStruct is what describe reads.
func (w *workload) toStruct() *structpb.Struct {
	m := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	put := func(to *structpb.Struct, name, value string) {
		if value != "" {
			to.Fields[name] = structpb.NewStringValue(value)
		}
	}
	labels := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, p := range [...][2]string{{"NAME", w.instance}, {"NAMESPACE", w.namespace}, {"WORKLOAD_NAME", w.name}, {"CLUSTER_ID", w.cluster}, {"IDENTITY", w.identity},
		{"OWNER", w.owner()}, {"REGION", w.region}, {"AVAILABILITY_ZONE", w.zone}} {
		put(m, p[0], p[1])
	}
	for _, p := range [...][2]string{{"service.istio.io/canonical-name", w.service}, {"service.istio.io/canonical-revision", w.revision}, {"app", w.app}, {"version", w.version}} {
		put(labels, p[0], p[1])
	}
	for name, v := range w.labels {
		labels.Fields[name] = structpb.NewStringValue(v)
	}
	m.Fields["LABELS"] = structpb.NewStructValue(labels)
	return m
}
