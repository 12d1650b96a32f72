package xds

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// Assessment is what would become of the configuration of another proxy here.
type Assessment struct {
	Resources []Assessed     `json:"resources"` // those that would be refused first
	Summary   []AssessedKind `json:"summary"`   // by kind
	Notes     []string       `json:"notes,omitempty"`
}

// AssessedKind counts the resources of one kind. Those that are harmless run, too, but something in them changes nothing.
type AssessedKind struct {
	Kind     string `json:"kind"`
	Run      int    `json:"run"`      // among them those with something harmless
	Harmless int    `json:"harmless"` // fields, over all of them
	Refused  int    `json:"refused"`  // resources
}

// Assessed is one resource.
type Assessed struct {
	Kind     string    `json:"kind"` // such as Listener
	Name     string    `json:"name"`
	From     string    `json:"from"` // where in the dump it is, such as dynamic_listeners
	Refused  []Finding `json:"refused,omitempty"`
	Harmless []Finding `json:"harmless,omitempty"`
}

// Finding is something about a field.
type Finding struct {
	Path string `json:"path,omitempty"`
	Why  string `json:"why"`
}

// Runs tells whether the whole resource would be served.
func (a *Assessed) Runs() bool { return len(a.Refused) == 0 }

// Refused is the number of resources that would not be served.
func (a *Assessment) Refused() (n int) {
	for i := range a.Resources {
		if !a.Resources[i].Runs() {
			n++
		}
	}
	return n
}

// Assess reads what /config_dump of an Envoy, or of this program, says, as if each resource had come from a control plane, by the decoder that
// serves. Files that it names are another machine's and are not looked at, and what it has redacted is taken to be good. An error is about
// the dump as a whole; a resource that cannot be read is refused by itself.
func Assess(dump []byte, specs []filters.Spec) (*Assessment, error) {
	if len(dump) > maxTextBytes {
		return nil, fmt.Errorf("xds: assess: more than %d bytes", maxTextBytes)
	}
	root, err := parseJSON(dump)
	if err != nil {
		var at *textError
		if errors.As(err, &at) && at.line > 0 {
			return nil, fmt.Errorf("xds: assess: not JSON: line %d: %s", at.line, at.text)
		}
		return nil, fmt.Errorf("xds: assess: not JSON: %w", err)
	}
	configs := root.child("configs")
	if configs == nil || configs.kind != listNode {
		return nil, errors.New(`xds: assess: not what /config_dump answers: want an object with "configs"`)
	}
	a := &assessor{specs: specs, out: &Assessment{Resources: []Assessed{}}}
	a.collect(configs)
	a.prepare()
	for i := range a.pieces {
		a.judge(&a.pieces[i])
	}
	a.sum()
	return a.out, nil
}

// child is a field of an object, in either spelling.
func (n *node) child(name string) *node {
	if n == nil || n.kind != objectNode {
		return nil
	}
	for i, k := range n.keys {
		if k.text == name || sameField(k.text, name) {
			return n.items[i]
		}
	}
	return nil
}

// children are the elements of a list.
func (n *node) children(name string) []*node {
	if c := n.child(name); c != nil && c.kind == listNode {
		return c.items
	}
	return nil
}

func (n *node) word(name string) string {
	if c := n.child(name); c != nil && c.kind == stringNode {
		return c.text
	}
	return ""
}

// piece is one resource of a dump.
type piece struct {
	from string
	name string // if the dump says it beside the resource
	node *node  // nil: there is none
}

type assessor struct {
	specs    []filters.Spec
	out      *Assessment
	pieces   []piece
	within   [2]int // route tables and endpoints that are part of listeners and clusters
	decoder  *decode.Decoder
	harmless []Finding // of the resource that is being read
}

// parts say where the resources are in what /config_dump is made of, by the message.
var parts = map[string][]struct{ list, resource string }{
	"envoy.admin.v3.BootstrapConfigDump":    {{"", "bootstrap"}},
	"envoy.admin.v3.ClustersConfigDump":     {{"static_clusters", "cluster"}, {"dynamic_active_clusters", "cluster"}, {"dynamic_warming_clusters", "cluster"}},
	"envoy.admin.v3.ListenersConfigDump":    {{"static_listeners", "listener"}, {"dynamic_listeners", "active_state.listener"}, {"dynamic_listeners", "warming_state.listener"}},
	"envoy.admin.v3.RoutesConfigDump":       {{"static_route_configs", "route_config"}, {"dynamic_route_configs", "route_config"}},
	"envoy.admin.v3.EndpointsConfigDump":    {{"static_endpoint_configs", "endpoint_config"}, {"dynamic_endpoint_configs", "endpoint_config"}},
	"envoy.admin.v3.SecretsConfigDump":      {{"static_secrets", "secret"}, {"dynamic_active_secrets", "secret"}, {"dynamic_warming_secrets", "secret"}},
	"envoy.admin.v3.EcdsConfigDump":         {{"ecds_filters", "ecds_filter"}},
	"envoy.admin.v3.ScopedRoutesConfigDump": {{"inline_scoped_route_configs", "scoped_route_configs"}, {"dynamic_scoped_route_configs", "scoped_route_configs"}},
	// Of ?resource=, which lists elements by themselves.
	"envoy.admin.v3.ClustersConfigDump.StaticCluster":                            {{"", "cluster"}},
	"envoy.admin.v3.ClustersConfigDump.DynamicCluster":                           {{"", "cluster"}},
	"envoy.admin.v3.ListenersConfigDump.StaticListener":                          {{"", "listener"}},
	"envoy.admin.v3.ListenersConfigDump.DynamicListener":                         {{"", "active_state.listener"}, {"", "warming_state.listener"}},
	"envoy.admin.v3.RoutesConfigDump.StaticRouteConfig":                          {{"", "route_config"}},
	"envoy.admin.v3.RoutesConfigDump.DynamicRouteConfig":                         {{"", "route_config"}},
	"envoy.admin.v3.EndpointsConfigDump.StaticEndpointConfig":                    {{"", "endpoint_config"}},
	"envoy.admin.v3.EndpointsConfigDump.DynamicEndpointConfig":                   {{"", "endpoint_config"}},
	"envoy.admin.v3.SecretsConfigDump.StaticSecret":                              {{"", "secret"}},
	"envoy.admin.v3.SecretsConfigDump.DynamicSecret":                             {{"", "secret"}},
	"envoy.admin.v3.EcdsConfigDump.EcdsFilterConfig":                             {{"", "ecds_filter"}},
	"envoy.admin.v3.ScopedRoutesConfigDump.InlineScopedRouteConfigs":             {{"", "scoped_route_configs"}},
	"envoy.admin.v3.ScopedRoutesConfigDump.DynamicScopedRouteConfigs":            {{"", "scoped_route_configs"}},
	"envoy.extensions.transport_sockets.tls.v3.Secret":                           {{"", ""}},
	"envoy.config.listener.v3.Listener":                                          {{"", ""}},
	"envoy.config.cluster.v3.Cluster":                                            {{"", ""}},
	"envoy.config.route.v3.RouteConfiguration":                                   {{"", ""}},
	"envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration": {{"", ""}},
	"envoy.config.endpoint.v3.ClusterLoadAssignment":                             {{"", ""}},
	"envoy.config.route.v3.ScopedRouteConfiguration":                             {{"", ""}},
	"envoy.config.core.v3.TypedExtensionConfig":                                  {{"", ""}},
	"envoy.config.bootstrap.v3.Bootstrap":                                        {{"", ""}},
}

// collect finds all resources. Route tables and endpoints that are written in listeners and clusters are judged with those, if they are there.
func (a *assessor) collect(configs *node) {
	has := map[string]bool{}
	for _, c := range configs.items {
		has[messageOf(c)] = true
	}
	for _, c := range configs.items {
		message := messageOf(c)
		where, known := parts[message]
		if !known {
			a.out.Resources = append(a.out.Resources, Assessed{Kind: cmp.Or(short(message), "unknown"), From: "configs", Refused: []Finding{{Why: fmt.Sprintf("nothing is known of %q in a dump: it is newer than this program", message)}}})
			continue
		}
		for _, w := range where {
			switch {
			case w.list == "static_route_configs" && has["envoy.admin.v3.ListenersConfigDump"]:
				a.within[0] += len(c.children(w.list))
				continue
			case w.list == "static_endpoint_configs" && has["envoy.admin.v3.ClustersConfigDump"]:
				a.within[1] += len(c.children(w.list))
				continue
			}
			if w.list == "" {
				a.add(cmp.Or(w.resource, "configs"), w.resource, c)
				continue
			}
			for _, e := range c.children(w.list) {
				a.add(w.list, w.resource, e)
			}
		}
	}
	if a.within[0] > 0 {
		a.out.Notes = append(a.out.Notes, fmt.Sprintf("%d route tables that are written in listeners are judged with them", a.within[0]))
	}
	if a.within[1] > 0 {
		a.out.Notes = append(a.out.Notes, fmt.Sprintf("%d sets of endpoints that are written in clusters are judged with them", a.within[1]))
	}
}

// add takes a resource, or a list of them, at a path of an element of a dump.
func (a *assessor) add(from, path string, e *node) {
	n := e
	for step := range strings.SplitSeq(path, ".") {
		if path != "" {
			n = n.child(step)
		}
	}
	switch {
	case n == nil: // nothing is in force, or nothing is warming
	case n.kind == listNode:
		for _, one := range n.items {
			a.pieces = append(a.pieces, piece{from: from, node: one})
		}
	default:
		if path == "bootstrap" { // no Any
			a.pieces = append(a.pieces, piece{from: "bootstrap", node: n})
			return
		}
		a.pieces = append(a.pieces, piece{from: from, name: e.word("name"), node: n})
	}
}

// messageOf is the type of an object.
func messageOf(n *node) string {
	if n.kind != objectNode {
		return ""
	}
	t := n.get("@type")
	if t == nil {
		return ""
	}
	return t.text[strings.LastIndexByte(t.text, '/')+1:]
}

func short(message string) string { return message[strings.LastIndexByte(message, '.')+1:] }

// prepare finds out what a resource may name. Where the dump does not say, all may be there.
func (a *assessor) prepare() {
	o := decode.Options{Foreign: true, Shared: true, Servers: map[string]bool{}, Harmless: func(p decode.Problem) {
		a.harmless = append(a.harmless, Finding{p.Path, p.Text})
	}}
	clusters, whole := map[string]bool{}, false
	for i := range a.pieces {
		p := &a.pieces[i]
		switch {
		case p.from == "bootstrap":
			o.Shared = p.node.child("dynamic_resources").child("ads_config") != nil
			for _, c := range p.node.child("static_resources").children("clusters") {
				o.Servers[c.word("name")] = serves(c)
			}
			if b := a.bootstrap(p.node, &Assessed{}); b != nil {
				o.Resolver, o.Binding, o.Ejections = b.Dynamic.Resolver, b.Dynamic.Binding, b.Dynamic.Ejections
			}
		case messageOf(p.node) == Clusters.Message():
			clusters[p.node.word("name")] = true
			whole = true
			if p.from == "static_clusters" {
				o.Servers[p.node.word("name")] = serves(p.node)
			}
		}
	}
	if whole {
		o.HasCluster = func(name string) bool { return clusters[name] }
	}
	a.decoder = decode.New(a.specs, o)
	a.harmless = nil
}

// serves tells whether a cluster can be talked to before anything is discovered.
func serves(c *node) bool {
	kind := c.word("type")
	return kind != "EDS" && kind != "ORIGINAL_DST" && c.child("cluster_type") == nil
}

// judge reads one resource.
func (a *assessor) judge(p *piece) {
	a.harmless = nil
	message := messageOf(p.node)
	one := Assessed{Kind: short(message), Name: cmp.Or(p.node.word("name"), p.node.word("cluster_name"), p.name), From: p.from}
	switch {
	case p.from == "bootstrap" || message == "envoy.config.bootstrap.v3.Bootstrap":
		one.Kind, one.Name = "Bootstrap", p.node.child("node").word("id")
		a.bootstrap(p.node, &one)
	case message == "":
		one.Kind = "unknown"
		one.refuse(Finding{Why: `"@type" is missing: it says what the other fields mean`})
	default:
		a.resource(message, p.node, &one)
	}
	one.Harmless = append(one.Harmless, a.harmless...)
	a.out.Resources = append(a.out.Resources, one)
}

func (one *Assessed) refuse(f ...Finding) { one.Refused = append(one.Refused, f...) }

// read makes a message of an object. What cannot be read is refused.
func (one *Assessed) read(n *node, into proto.Message) bool {
	r := messageReader{file: one.From}
	r.message(into.ProtoReflect(), n, "")
	for _, f := range r.faults {
		one.refuse(Finding{f.Path, f.Text})
	}
	return len(r.faults) == 0
}

func (a *assessor) resource(message string, n *node, one *Assessed) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(message))
	if err != nil {
		one.refuse(Finding{Why: fmt.Sprintf("not supported: nothing is known about %s", message)})
		return
	}
	m := t.New().Interface()
	if message == Endpoints.Message() {
		asItCame(n)
	}
	if !one.read(n, m) {
		return
	}
	wire, err := proto.Marshal(m)
	if err == nil {
		_, err = a.decoder.Wire(message, wire)
	}
	if err != nil {
		for _, p := range problemsOf(err) {
			one.refuse(Finding{p.Path, p.Text})
		}
	}
}

// asItCame takes out of endpoints what Envoy 1.40 shows of them and nobody has sent: localities without a weight weigh 0, which would be refused.
func asItCame(n *node) {
	for _, l := range n.children("endpoints") {
		for i := 0; i < len(l.keys); i++ {
			if w := l.items[i]; l.keys[i].text == "load_balancing_weight" && w.kind == numberNode && w.text == "0" {
				l.keys, l.items = slices.Delete(l.keys, i, i+1), slices.Delete(l.items, i, i+1)
			}
		}
	}
}

// bootstrap reads a bootstrap without its static resources, which are judged by themselves; its clusters stay, for it names them. It gives nil
// if it would be refused.
func (a *assessor) bootstrap(n *node, one *Assessed) *config.Bootstrap {
	m := &bootstrapv3.Bootstrap{}
	if !one.read(n, m) {
		one.Refused = slices.DeleteFunc(one.Refused, func(f Finding) bool { return strings.HasPrefix(f.Path, "static_resources.") })
		if len(one.Refused) > 0 {
			return nil
		}
	}
	if s := m.GetStaticResources(); s != nil {
		s.Listeners, s.Secrets = nil, nil
	}
	d := decode.New(a.specs, decode.Options{Foreign: true, Harmless: func(p decode.Problem) {
		if !strings.HasPrefix(p.Path, "static_resources.") {
			a.harmless = append(a.harmless, Finding{p.Path, p.Text})
		}
	}})
	b, err := d.Bootstrap(m)
	if err == nil {
		return b
	}
	for _, p := range problemsOf(err) {
		if !strings.HasPrefix(p.Path, "static_resources.") {
			one.refuse(Finding{p.Path, p.Text})
		}
	}
	return nil
}

// assessedKinds are the order of the summary.
var assessedKinds = []string{"Bootstrap", "Listener", "RouteConfiguration", "ScopedRouteConfiguration", "MultipleRouteConfiguration", "Cluster", "ClusterLoadAssignment", "Secret", "TypedExtensionConfig"}

// sum counts, and puts what would be refused first.
func (a *assessor) sum() {
	list := a.out.Resources
	rank := func(kind string) int {
		if i := slices.Index(assessedKinds, kind); i >= 0 {
			return i
		}
		return len(assessedKinds)
	}
	first := func(one *Assessed) int {
		if one.Runs() {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(x, y Assessed) int {
		return cmp.Or(first(&x)-first(&y), rank(x.Kind)-rank(y.Kind), strings.Compare(x.Kind, y.Kind))
	})
	counts := map[string]*AssessedKind{}
	var order []string
	for i := range list {
		one := &list[i]
		k := counts[one.Kind]
		if k == nil {
			k = &AssessedKind{Kind: one.Kind}
			counts[one.Kind] = k
			order = append(order, one.Kind)
		}
		k.Harmless += len(one.Harmless)
		if one.Runs() {
			k.Run++
		} else {
			k.Refused++
		}
	}
	slices.SortStableFunc(order, func(x, y string) int { return cmp.Or(rank(x)-rank(y), strings.Compare(x, y)) })
	for _, kind := range order {
		a.out.Summary = append(a.out.Summary, *counts[kind])
	}
}
