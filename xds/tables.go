package xds

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// tableUse is a table of routes that a filter chain takes from elsewhere: from a file, or else over a stream.
type tableUse struct {
	resourceKey
	file   *config.WatchedFile
	stream *config.Subscription
}

// tableOf is the table of routes that a chain takes from elsewhere by a name of its own; false: it does not.
func tableOf(c *config.FilterChain) (t tableUse, is bool) {
	switch h, d := c.HTTP, c.Dubbo; {
	case h != nil:
		t = tableUse{resourceKey{Routes, h.RouteName}, h.RouteFile, h.RouteStream}
	case d != nil:
		t = tableUse{resourceKey{DubboRoutes, d.RouteName}, d.RouteFile, d.RouteStream}
	}
	return t, t.file != nil || t.stream != nil
}

// countedTable is how updates of a table are counted for a chain.
func countedTable(c *config.FilterChain, name string) (prefix string, tags []telemetry.Tag) {
	if h := c.HTTP; h != nil {
		return "http." + h.StatPrefix + ".rds." + name + ".", []telemetry.Tag{{Name: "http_conn_manager_prefix", Value: h.StatPrefix}, {Name: "rds_route_config", Value: name}}
	}
	if prefix = "dubbo." + c.Dubbo.StatPrefix + ".drds."; name != "" {
		prefix += name + "."
	}
	return prefix, nil
}

// ownTable is the table of routes that stands in a chain itself, with its bytes; nil: there is none.
func ownTable(c *config.FilterChain) (key resourceKey, raw []byte, is bool) {
	switch {
	case c.HTTP != nil && c.HTTP.Routes != nil:
		return resourceKey{Routes, c.HTTP.Routes.Name}, c.HTTP.Routes.Raw, true
	case c.Dubbo != nil && c.Dubbo.Routes != nil:
		return resourceKey{DubboRoutes, c.Dubbo.Routes.Name}, c.Dubbo.Routes.Raw, true
	}
	return key, nil, false
}

// tableIn is a table of routes that a configuration has under its name; nil: it has none.
func tableIn(s *config.Snapshot, key resourceKey) any {
	if t := s.Routes[key.name]; key.kind == Routes && t != nil {
		return t
	}
	if t := s.DubboRoutes[key.name]; key.kind == DubboRoutes && t != nil {
		return t
	}
	return nil
}

// namedIn calls add for each cluster that a listener itself names; whatever says that it may be any.
func namedIn(l *config.Listener, add func(name string, whatever bool)) {
	for c := range l.AllChains() {
		switch {
		case c.TCP != nil:
			for _, w := range c.TCP.Clusters {
				add(w.Name, w.Header != "" || c.TCP.ByServerName)
			}
		case c.HTTP != nil:
			routed(c.HTTP.Routes, add)
		case c.Dubbo != nil:
			routed(c.Dubbo.Routes, add)
		}
	}
}

// routed is namedIn for a table of routes; nil has none.
func routed(table any, add func(name string, whatever bool)) {
	switch t := table.(type) {
	case *config.RouteConfiguration:
		routedHTTP(t, add)
	case *config.DubboRoutes:
		routedDubbo(t, add)
	}
}

func routedHTTP(t *config.RouteConfiguration, add func(name string, whatever bool)) {
	if t == nil {
		return
	}
	for _, v := range t.VirtualHosts {
		for _, r := range v.Routes {
			if r.Forward == nil {
				continue
			}
			for _, w := range r.Forward.Clusters {
				add(w.Name, w.Header != "")
			}
			mirrored(r.Forward.Mirrors, add)
		}
	}
}

func mirrored(to []config.Mirror, add func(name string, whatever bool)) {
	for _, m := range to {
		add(m.Cluster, m.ClusterHeader != "")
	}
}

func routedDubbo(t *config.DubboRoutes, add func(name string, whatever bool)) {
	if t == nil {
		return
	}
	for i := range t.Services {
		for k := range t.Services[i].Routes {
			r := &t.Services[i].Routes[k]
			for _, w := range r.Clusters {
				add(w.Name, false)
			}
			for _, m := range r.Mirrors {
				add(m.Cluster, false)
			}
			for _, list := range r.Fallbacks {
				for _, name := range list {
					add(name, false)
				}
			}
		}
	}
}
