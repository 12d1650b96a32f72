package xds

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"github.com/weftmesh/weft/config"
)

// maxNameRegex bounds, in bytes, the expression of ?name_regex=.
const maxNameRegex = 4 << 10

// Dump writes the configuration in force as Envoy's /config_dump does, in protobuf's JSON: ?resource= lists the elements of one field of the
// parts, ?mask= leaves fields of the parts, or of the elements, ?name_regex= picks by name, ?include_eds adds endpoints. What is wrong with the
// query is an error, which may say by which status it is answered.
func (f *Feed) Dump(w io.Writer, boot *config.Bootstrap, query url.Values) error {
	pick := func(string) bool { return true }
	if text := query.Get("name_regex"); text != "" {
		if len(text) > maxNameRegex {
			return fmt.Errorf("invalid name_regex: longer than %d bytes", maxNameRegex)
		}
		e, err := regexp.Compile(text)
		if err != nil {
			return fmt.Errorf("invalid name_regex: %v", err)
		}
		pick = e.MatchString
	}
	d := dumper{snapshot: f.Snapshot(), states: f.States(), pick: pick}
	parts := []proto.Message{d.bootstrap(boot), d.clusters()}
	if query.Has("include_eds") || query.Has("resource") {
		parts = append(parts, d.endpoints())
	}
	parts = append(parts, d.listeners(), d.scopes(), d.routes(Routes))
	if d.dubbo() {
		parts = append(parts, d.routes(DubboRoutes))
	}
	parts = append(parts, d.secrets(), d.extensions())
	for _, p := range parts {
		redact(p.ProtoReflect())
	}
	var err error
	switch resource, text := query.Get("resource"), query.Get("mask"); {
	case resource != "":
		parts, err = elements(parts, resource, text)
	case text != "":
		parts, err = masked(parts, text)
	}
	if err != nil {
		return err
	}
	out := &adminv3.ConfigDump{}
	for _, p := range parts {
		a, err := anypb.New(p)
		if err != nil {
			return err
		}
		out.Configs = append(out.Configs, a)
	}
	b, err := protojson.MarshalOptions{Multiline: true, Indent: " ", UseProtoNames: true}.Marshal(out)
	if err != nil {
		return fmt.Errorf("xds: write the configuration as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// notThere is a resource that no part has.
type notThere string

// Error says what there is.
func (e notThere) Error() string {
	return string(e) + " not found in config dump: want static_clusters, dynamic_active_clusters, dynamic_warming_clusters, static_listeners, dynamic_listeners, " +
		"static_route_configs, dynamic_route_configs, inline_scoped_route_configs, dynamic_scoped_route_configs, static_endpoint_configs, dynamic_endpoint_configs, static_secrets, dynamic_active_secrets, dynamic_warming_secrets or ecds_filters"
}

// Status is the one that it is answered by.
func (notThere) Status() int { return 404 }

// elements are those of one field of the parts that have it, each by itself. (Envoy lists the first of those parts only: of routes of Dubbo and of HTTP, those of Dubbo.)
func elements(parts []proto.Message, resource, text string) (out []proto.Message, err error) {
	found := false
	for _, p := range parts {
		m := p.ProtoReflect()
		f := m.Descriptor().Fields().ByName(protoreflect.Name(resource))
		switch {
		case f == nil:
			continue
		case !f.IsList():
			return nil, fmt.Errorf("%[1]s is not a repeated field. Use ?mask=%[1]s to get only this field", resource)
		}
		k, list := readMask(text), m.Get(f).List()
		for i := range list.Len() {
			if err := k.trim(list.Get(i).Message()); err != nil {
				return nil, fmt.Errorf("FieldMask %q could not be successfully used: %v", text, err)
			}
			out = append(out, list.Get(i).Message().Interface())
		}
		found = true
	}
	if !found {
		return nil, notThere(resource)
	}
	return out, nil
}

// masked are the parts that have all fields of a mask, without their others.
func masked(parts []proto.Message, text string) (out []proto.Message, err error) {
	k := readMask(text)
	if k == nil {
		return parts, nil
	}
	for _, p := range parts {
		if k.trim(p.ProtoReflect()) == nil {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("FieldMask %s could not be successfully applied to any configs", text)
	}
	return out, nil
}

// dumper puts the parts together.
type dumper struct {
	snapshot *config.Snapshot
	states   []State
	pick     func(name string) bool
}

// packed is a resource in wire format as an Any.
func packed(message string, wire []byte) *anypb.Any {
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + message, Value: wire}
}

func (d *dumper) bootstrap(boot *config.Bootstrap) *adminv3.BootstrapConfigDump {
	b := &bootstrapv3.Bootstrap{}
	// What was read in wire format once is valid.
	_ = proto.Unmarshal(boot.Raw, b)
	return &adminv3.BootstrapConfigDump{Bootstrap: b}
}

func (d *dumper) clusters() *adminv3.ClustersConfigDump {
	out := &adminv3.ClustersConfigDump{}
	for _, c := range d.snapshot.Clusters {
		if !c.Discovered && d.pick(c.Name) {
			out.StaticClusters = append(out.StaticClusters, &adminv3.ClustersConfigDump_StaticCluster{Cluster: packed("envoy.config.cluster.v3.Cluster", c.Raw)})
		}
	}
	s := d.top(Clusters)
	out.VersionInfo = s.Version
	for _, m := range d.members(s) {
		if w := m.Warming; w != nil {
			out.DynamicWarmingClusters = append(out.DynamicWarmingClusters, &adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: w.Version,
				Cluster: packed(s.Kind.Message(), w.Wire), LastUpdated: timestamppb.New(w.Updated), ClientStatus: adminv3.ClientResourceStatus_ACKED})
			if m.Resource == nil && m.Failure == nil {
				continue
			}
		}
		c := &adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: m.Version, ErrorState: m.failure(s), ClientStatus: m.status(s)}
		if m.Resource != nil {
			c.Cluster, c.LastUpdated = packed(s.Kind.Message(), m.Wire), timestamppb.New(m.Updated)
		}
		out.DynamicActiveClusters = append(out.DynamicActiveClusters, c)
	}
	return out
}

// failure is the last attempt at one of the members, if it was turned down: by itself, or with the file that it is in.
func (m *Member) failure(s State) *adminv3.UpdateFailureState {
	if m.Failure != nil {
		s.Failure = m.Failure
	}
	return failure(s, m.Name)
}

func (m *Member) status(s State) adminv3.ClientResourceStatus {
	if m.Failure != nil {
		s.Failure = m.Failure
	}
	return resourceStatus(s)
}

// top is what is known of the file of listeners or clusters, if there is one.
func (d *dumper) top(kind Kind) State {
	i := slices.IndexFunc(d.states, func(s State) bool { return s.Kind == kind })
	if i < 0 {
		return State{Kind: kind}
	}
	s := d.states[i]
	for _, other := range d.states[i+1:] { // clusters that requests have missed
		if other.Kind == kind {
			s.Members = append(slices.Clip(s.Members), other.Members...)
		}
	}
	return s
}

// members are what is in force of a file, and what was refused of it, which has a name only. If that cannot be told, it has no name.
func (d *dumper) members(s State) []Member {
	all := slices.Clone(s.Members)
	if s.Failure != nil {
		for _, name := range slices.Sorted(maps.Keys(s.Failure.Wires)) {
			if !slices.ContainsFunc(all, func(m Member) bool { return m.Name == name }) {
				all = append(all, Member{Name: name})
			}
		}
		if len(all) == 0 {
			all = append(all, Member{})
		}
	}
	return slices.DeleteFunc(all, func(m Member) bool { return !d.pick(m.Name) })
}

func (d *dumper) listeners() *adminv3.ListenersConfigDump {
	out := &adminv3.ListenersConfigDump{}
	s := d.top(Listeners)
	out.VersionInfo = s.Version
	dynamic := map[string]bool{}
	for _, m := range s.Members {
		dynamic[m.Name] = true
	}
	for _, m := range d.members(s) {
		l := &adminv3.ListenersConfigDump_DynamicListener{Name: m.Name, ErrorState: m.failure(s), ClientStatus: m.status(s)}
		of := func(m *Member) *adminv3.ListenersConfigDump_DynamicListenerState {
			return &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: m.Version, Listener: packed(s.Kind.Message(), m.Wire), LastUpdated: timestamppb.New(m.Updated)}
		}
		if m.Resource != nil {
			l.ActiveState = of(&m)
		}
		if m.Warming != nil {
			l.WarmingState = of(m.Warming)
		}
		out.DynamicListeners = append(out.DynamicListeners, l)
	}
	for _, l := range d.snapshot.Listeners {
		if !dynamic[l.Name] && d.pick(l.Name) {
			out.StaticListeners = append(out.StaticListeners, &adminv3.ListenersConfigDump_StaticListener{Listener: packed("envoy.config.listener.v3.Listener", l.Raw)})
		}
	}
	return out
}

// dubbo says that somebody serves Dubbo, whose tables of routes have a part of their own, as with Envoy.
func (d *dumper) dubbo() bool {
	for _, l := range d.snapshot.Listeners {
		for c := range l.AllChains() {
			if c.Dubbo != nil {
				return true
			}
		}
	}
	return slices.ContainsFunc(d.states, func(s State) bool { return s.Kind == DubboRoutes })
}

// routes are the tables of one kind.
func (d *dumper) routes(kind Kind) *adminv3.RoutesConfigDump {
	out := &adminv3.RoutesConfigDump{}
	for _, l := range d.snapshot.Listeners {
		for c := range l.AllChains() {
			if key, raw, is := ownTable(c); is && key.kind == kind && d.pick(key.name) {
				out.StaticRouteConfigs = append(out.StaticRouteConfigs, &adminv3.RoutesConfigDump_StaticRouteConfig{RouteConfig: packed(kind.Message(), raw)})
			}
		}
	}
	for _, s := range d.states {
		if s.Kind != kind || !d.pick(s.Name) || s.pending() {
			continue
		}
		dynamic := &adminv3.RoutesConfigDump_DynamicRouteConfig{VersionInfo: s.Version, ErrorState: failure(s, s.Name), ClientStatus: resourceStatus(s)}
		if _, _, raw := identity(s.Resource); s.Resource != nil {
			dynamic.RouteConfig, dynamic.LastUpdated = packed(kind.Message(), raw), timestamppb.New(s.Updated)
		}
		out.DynamicRouteConfigs = append(out.DynamicRouteConfigs, dynamic)
	}
	return out
}

// scopes are those of each connection manager, by its own name for them.
func (d *dumper) scopes() *adminv3.ScopedRoutesConfigDump {
	out := &adminv3.ScopedRoutesConfigDump{}
	told := map[string]bool{}
	for _, l := range d.snapshot.Listeners {
		for c := range l.AllChains() {
			if c.HTTP == nil || c.HTTP.Scoped == nil || !d.pick(c.HTTP.Scoped.Name) {
				continue
			}
			r := c.HTTP.Scoped
			if r.Source == (config.ScopeSource{}) {
				one := &adminv3.ScopedRoutesConfigDump_InlineScopedRouteConfigs{Name: r.Name}
				for _, c := range r.Inline {
					one.ScopedRouteConfigs = append(one.ScopedRouteConfigs, packed(Scopes.Message(), c.Raw))
				}
				out.InlineScopedRouteConfigs = append(out.InlineScopedRouteConfigs, one)
				continue
			}
			i := slices.IndexFunc(d.states, func(s State) bool {
				return s.Kind == Scopes && (s.source == r.Source || s.File != "" && s.File == r.Source.File.Path)
			})
			if told[r.Name] || i < 0 {
				continue
			}
			told[r.Name] = true
			s := d.states[i]
			one := &adminv3.ScopedRoutesConfigDump_DynamicScopedRouteConfigs{Name: r.Name, VersionInfo: s.Version}
			if !s.Updated.IsZero() {
				one.LastUpdated = timestamppb.New(s.Updated)
			}
			for _, c := range d.snapshot.Scopes[r.Source] {
				one.ScopedRouteConfigs = append(one.ScopedRouteConfigs, packed(Scopes.Message(), c.Raw))
			}
			one.ClientStatus = resourceStatus(s)
			if one.ErrorState = failure(s, ""); one.ErrorState == nil {
				for _, m := range s.Members {
					if m.Failure != nil {
						one.ErrorState, one.ClientStatus = m.failure(s), m.status(s)
					}
				}
			}
			out.DynamicScopedRouteConfigs = append(out.DynamicScopedRouteConfigs, one)
		}
	}
	return out
}

func (d *dumper) endpoints() *adminv3.EndpointsConfigDump {
	out := &adminv3.EndpointsConfigDump{}
	for _, c := range d.snapshot.Clusters {
		if c.Static != nil && d.pick(c.Name) {
			out.StaticEndpointConfigs = append(out.StaticEndpointConfigs, &adminv3.EndpointsConfigDump_StaticEndpointConfig{EndpointConfig: packed(Endpoints.Message(), c.Static.Raw)})
		}
	}
	for _, s := range d.states {
		if s.Kind != Endpoints || !d.pick(s.Name) || s.pending() {
			continue
		}
		dynamic := &adminv3.EndpointsConfigDump_DynamicEndpointConfig{VersionInfo: s.Version, ErrorState: failure(s, s.Name), ClientStatus: resourceStatus(s)}
		if a, ok := s.Resource.(*config.Assignment); ok {
			dynamic.EndpointConfig, dynamic.LastUpdated = packed(Endpoints.Message(), a.Raw), timestamppb.New(s.Updated)
		}
		out.DynamicEndpointConfigs = append(out.DynamicEndpointConfigs, dynamic)
	}
	return out
}

func (d *dumper) secrets() *adminv3.SecretsConfigDump {
	out := &adminv3.SecretsConfigDump{}
	dynamic := map[string]bool{}
	for _, s := range d.states {
		if s.Kind != Secrets {
			continue
		}
		dynamic[s.Name] = true
		if !d.pick(s.Name) {
			continue
		}
		if s.pending() {
			out.DynamicWarmingSecrets = append(out.DynamicWarmingSecrets, &adminv3.SecretsConfigDump_DynamicSecret{Name: s.Name, ClientStatus: adminv3.ClientResourceStatus_REQUESTED})
			continue
		}
		one := &adminv3.SecretsConfigDump_DynamicSecret{Name: s.Name, VersionInfo: s.Version, ErrorState: failure(s, s.Name), ClientStatus: resourceStatus(s)}
		if v, ok := s.Resource.(*config.Secret); ok {
			one.Secret, one.LastUpdated = packed(Secrets.Message(), v.Raw), timestamppb.New(s.Updated)
		}
		out.DynamicActiveSecrets = append(out.DynamicActiveSecrets, one)
	}
	for _, name := range slices.Sorted(maps.Keys(d.snapshot.Secrets)) {
		if !dynamic[name] && d.pick(name) {
			out.StaticSecrets = append(out.StaticSecrets, &adminv3.SecretsConfigDump_StaticSecret{Name: name, Secret: packed(Secrets.Message(), d.snapshot.Secrets[name].Raw)})
		}
	}
	return out
}

func (d *dumper) extensions() *adminv3.EcdsConfigDump {
	out := &adminv3.EcdsConfigDump{}
	for _, s := range d.states {
		if s.Kind != Extensions || !d.pick(s.Name) || s.pending() {
			continue
		}
		one := &adminv3.EcdsConfigDump_EcdsFilterConfig{VersionInfo: s.Version, ErrorState: failure(s, s.Name), ClientStatus: resourceStatus(s)}
		if e, ok := s.Resource.(*config.Extension); ok {
			one.EcdsFilter, one.LastUpdated = packed(Extensions.Message(), e.Raw), timestamppb.New(s.Updated)
		}
		out.EcdsFilters = append(out.EcdsFilters, one)
	}
	return out
}

// pending says that nothing has come.
func (s *State) pending() bool { return s.Resource == nil && s.Failure == nil }

// failure is the last attempt, if it was turned down.
func failure(s State, name string) *adminv3.UpdateFailureState {
	if s.Failure == nil {
		return nil
	}
	f := &adminv3.UpdateFailureState{LastUpdateAttempt: timestamppb.New(s.Failure.Time), Details: s.Failure.Details, VersionInfo: s.Failure.Version}
	if wire := s.Failure.Wires[name]; wire != nil {
		f.FailedConfiguration = packed(s.Kind.Message(), wire)
	}
	return f
}

func resourceStatus(s State) adminv3.ClientResourceStatus {
	if s.Failure != nil {
		return adminv3.ClientResourceStatus_NACKED
	}
	return adminv3.ClientResourceStatus_ACKED
}
