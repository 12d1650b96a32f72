package decode

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"github.com/weftmesh/weft/config"
)

// discovered reads an HTTP filter whose configuration comes by itself.
func (s *session) discovered(m *hcmv3.HttpFilter, p *at) config.HTTPFilter {
	c, p := m.GetConfigDiscovery(), p.field("config_discovery")
	f := config.HTTPFilter{Name: m.GetName(), Disabled: m.GetDisabled(), Discovery: &config.Discovery{NoWait: c.GetApplyDefaultConfigWithoutWarming()}}
	if m.GetName() == "" {
		s.problem(p.up.field("name"), "a name is missing: the configuration is asked for by it")
	}
	f.Discovery.File, f.Discovery.Stream = s.source(c.GetConfigSource(), p.field("config_source"))
	for i, url := range c.GetTypeUrls() {
		name := url[strings.LastIndexByte(url, '/')+1:]
		if s.filters[name] == nil {
			s.problem(p.field("type_urls").item(i), "%s is not supported here; %s", name, s.allowed(filterIn(inChain)))
		}
		f.Discovery.Types = append(f.Discovery.Types, name)
	}
	if c.GetDefaultConfig() == nil {
		if f.Discovery.NoWait {
			s.problem(p.field("apply_default_config_without_warming"), "there is no default_config to be applied")
		}
		return f
	}
	o := s.open(c.GetDefaultConfig())
	spec := s.filters[o.name]
	if spec == nil {
		return f // refused by the table
	}
	f.Type = spec.Name
	var err error
	if f.Config, err = spec.Decode(s.filterWire(c.GetDefaultConfig(), o)); err != nil {
		s.inFilter(err, p.field("default_config").as(o.name))
	}
	return f
}

// extension reads a filter's configuration that came by itself.
func (s *session) extension(m *corev3.TypedExtensionConfig, p *at) *config.Extension {
	raw := s.bytes(m)
	e := &config.Extension{Name: m.GetName(), Hash: hash(raw), Raw: raw}
	p = p.field("typed_config")
	if m.GetTypedConfig() == nil {
		s.problem(p, "a configuration is missing")
		return e
	}
	o := s.open(m.GetTypedConfig())
	e.Message = o.name
	spec := s.filters[o.name]
	if spec == nil {
		return e // refused by the table
	}
	e.Type = spec.Name
	var err error
	if e.Config, err = spec.Decode(s.filterWire(m.GetTypedConfig(), o)); err != nil {
		s.inFilter(err, p.as(o.name))
	}
	return e
}

// layer reads runtime values that came by themselves.
func (s *session) layer(m *runtimev3.Runtime, p *at) *config.RuntimeValues {
	raw := s.bytes(m)
	l := &config.RuntimeValues{Name: m.GetName(), Hash: hash(raw), Raw: raw, Values: map[string]*config.Value{}}
	s.runtimeValues(l.Values, "", m.GetLayer(), p.field("layer"))
	return l
}
