package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const configText = `Print the configuration in force, as /config_dump has it. Private keys are not shown.

With NAME, only resources with NAME in their name.

Usage:
  weftctl proxy config [NAME] [flags]

Examples:
  weftctl proxy config > dump.json              all of it, for weftctl assess
  weftctl proxy config -o yaml reviews          what has to do with reviews
  weftctl proxy config --resource dynamic_listeners --mask active_state
  weftctl proxy config --mask bootstrap.node`

func proxyConfig(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	q := url.Values{}
	if o.resource != "" {
		q.Set("resource", o.resource)
	}
	if o.mask != "" {
		q.Set("mask", o.mask)
	}
	if o.name() != "" {
		q.Set("name_regex", ".*"+regexp.QuoteMeta(o.name())+".*")
	}
	if o.endpoints {
		q.Set("include_eds", "")
	}
	d, err := p.dump(ctx, q)
	if err != nil {
		return err
	}
	return printed(s.out, o.format, d)
}

// dump reads /config_dump.
func (p *pages) dump(ctx context.Context, query url.Values) (any, error) {
	path := "/config_dump"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	b, err := p.get(ctx, path)
	if err != nil {
		return nil, err
	}
	d, err := decoded(b)
	if err != nil {
		return nil, fmt.Errorf("what %s answers to /config_dump is no JSON: %w; is it the admin address of a proxy?", p.address, err)
	}
	return hide(d, false), nil
}

// resource is one resource of a dump.
type resource struct {
	name, state, version, updated string
	value                         any
}

// resources are those in a field of a part of a dump; path leads from the field's elements to the resource.
func resources(dump any, part, state string, field string, path ...string) (out []resource) {
	for _, c := range listAt(dump, "configs") {
		if !strings.HasSuffix(textAt(c, "@type"), "."+part) {
			continue
		}
		for _, e := range listAt(c, field) {
			value := at(e, path...)
			if value == nil {
				continue
			}
			r := resource{state: state, value: value, name: textAt(value, "name")}
			if r.name == "" {
				r.name = textAt(e, "name")
			}
			within := e
			if len(path) > 1 {
				within = at(e, path[0])
			}
			r.version, r.updated = textAt(within, "version_info"), textAt(within, "last_updated")
			out = append(out, r)
		}
	}
	return out
}

// picked are the resources that are asked for, or the error that there are none.
func (o *proxyOptions) picked(p *pages, what string, list []resource) ([]resource, error) {
	list = slices.DeleteFunc(list, func(r resource) bool { return !o.wants(r.name) })
	if len(list) == 0 {
		return nil, o.nothing(what, p)
	}
	slices.SortStableFunc(list, func(a, b resource) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

func valuesOf(list []resource) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i].value
	}
	return out
}

const listenersText = `List listeners, their filter chains, what those are for, and where they lead.

With NAME, only listeners with NAME in their name.

Usage:
  weftctl proxy listeners [NAME] [flags]

Examples:
  weftctl proxy listeners
  weftctl proxy listeners virtualInbound
  weftctl proxy listeners 0.0.0.0_80 -o yaml`

func proxyListeners(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	d, err := p.dump(ctx, nil)
	if err != nil {
		return err
	}
	const part = "ListenersConfigDump"
	list, err := o.picked(p, "listener", slices.Concat(resources(d, part, "static", "static_listeners", "listener"), resources(d, part, "active", "dynamic_listeners", "active_state", "listener"),
		resources(d, part, "warming", "dynamic_listeners", "warming_state", "listener")))
	if err != nil {
		return err
	}
	if o.format != "table" {
		return printed(s.out, o.format, valuesOf(list))
	}
	bound, err := p.bound(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "ADDRESS", "CHAIN", "MATCH", "TO"}}
	for _, l := range list {
		address := addressOf(at(l.value, "address"))
		if b := bound[l.name]; b != "" && l.state != "warming" {
			address = b
		}
		if b, ok := at(l.value, "bind_to_port").(bool); ok && !b {
			address += " (not bound)"
		}
		if l.state == "warming" {
			address += " (warming)"
		}
		chains := listAt(l.value, "filter_chains")
		if c := at(l.value, "default_filter_chain"); c != nil {
			chains = append(slices.Clone(chains), c)
		}
		for i, c := range chains {
			name, match := textAt(c, "name"), chainWords(at(c, "filter_chain_match"))
			if name == "" {
				name = fmt.Sprintf("#%d", i)
			}
			if i == len(chains)-1 && at(l.value, "default_filter_chain") != nil {
				name, match = "default", "what no other matches"
			}
			rows = append(rows, []string{l.name, address, name, match, chainTo(c)})
		}
		if len(chains) == 0 {
			rows = append(rows, []string{l.name, address, "", "", ""})
		}
	}
	return table(s.out, rows)
}

// bound are the addresses that listeners are bound to in fact.
func (p *pages) bound(ctx context.Context) (map[string]string, error) {
	b, err := p.get(ctx, "/listeners?format=json")
	if err != nil {
		return nil, err
	}
	v, err := decoded(b)
	if err != nil {
		return nil, fmt.Errorf("what %s answers to /listeners is no JSON: %w", p.address, err)
	}
	out := map[string]string{}
	for _, l := range listAt(v, "listener_statuses") {
		out[textAt(l, "name")] = addressOf(at(l, "local_address"))
	}
	return out, nil
}

func addressOf(v any) string {
	if path := textAt(v, "pipe", "path"); path != "" {
		return path
	}
	host, port := textAt(v, "socket_address", "address"), textAt(v, "socket_address", "port_value")
	if port == "" && host != "" {
		port = "0"
	}
	switch {
	case host == "":
		return textAt(v, "envoy_internal_address", "server_listener_name")
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// chainWords are what a filter chain is for.
func chainWords(m any) string {
	var list []string
	add := func(what string, values ...string) {
		if values = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(values) > 0 {
			list = append(list, what+shortList(values, 3))
		}
	}
	add(":", textAt(m, "destination_port"))
	add("", prefixesAt(m, "prefix_ranges")...)
	add("sni ", textsAt(m, "server_names")...)
	add("", textAt(m, "transport_protocol"))
	add("alpn ", textsAt(m, "application_protocols")...)
	add("peer ", prefixesAt(m, "direct_source_prefix_ranges")...)
	add("source ", prefixesAt(m, "source_prefix_ranges")...)
	add("source port ", textsAt(m, "source_ports")...)
	add("source ", strings.ToLower(textAt(m, "source_type")))
	if len(list) == 0 {
		return "everything"
	}
	return strings.Join(list, "; ")
}

func textsAt(v any, field string) (out []string) {
	for _, e := range listAt(v, field) {
		out = append(out, textAt(map[string]any{"v": e}, "v"))
	}
	return out
}

func prefixesAt(v any, field string) (out []string) {
	for _, e := range listAt(v, field) {
		length := textAt(e, "prefix_len")
		if length == "" {
			length = "0"
		}
		out = append(out, textAt(e, "address_prefix")+"/"+length)
	}
	return out
}

// typed is an extension's message, taken out of a TypedStruct, and the name of its type.
func typed(v any) (config any, kind string) {
	config = at(v, "typed_config")
	kind = textAt(config, "@type")
	if strings.HasSuffix(kind, ".TypedStruct") {
		kind, config = textAt(config, "type_url"), at(config, "value")
	}
	return config, kind[strings.LastIndexByte(kind, '.')+1:]
}

// chainTo is where a filter chain leads.
func chainTo(c any) string {
	to := ""
	for _, f := range listAt(c, "filters") {
		config, kind := typed(f)
		switch kind {
		case "HttpConnectionManager":
			switch {
			case at(config, "rds") != nil:
				to = "routes " + textAt(config, "rds", "route_config_name")
			case at(config, "route_config") != nil:
				to = "routes " + strings.TrimSpace(textAt(config, "route_config", "name")+" (inline)")
			case at(config, "scoped_routes") != nil:
				to = "scoped routes " + textAt(config, "scoped_routes", "name")
			}
		case "DubboProxy":
			if at(config, "drds") != nil {
				to = strings.TrimSpace("Dubbo routes " + textAt(config, "drds", "route_config_name"))
			} else {
				to = "Dubbo routes " + strings.TrimSpace(textAt(config, "multiple_route_config", "name")+" (inline)")
			}
		case "TcpProxy":
			to = clusterWords(config)
		case "Echo", "Config":
			if to == "" {
				to = kind
			}
		}
	}
	if to == "" {
		for _, f := range listAt(c, "filters") {
			to = strings.TrimPrefix(to+", "+textAt(f, "name"), ", ")
		}
	}
	return to
}

// clusterWords are the clusters of a route, or of a TCP proxy.
func clusterWords(v any) string {
	if name := textAt(v, "cluster"); name != "" {
		return name
	}
	if header := textAt(v, "cluster_header"); header != "" {
		return "cluster named by header " + header
	}
	list := listAt(v, "weighted_clusters", "clusters")
	total, weights := 0, make([]int, len(list))
	for i, c := range list {
		fmt.Sscan(textAt(c, "weight"), &weights[i])
		total += weights[i]
	}
	var words []string
	for i, c := range list {
		name := textAt(c, "name")
		if name == "" {
			name = "header " + textAt(c, "cluster_header")
		}
		words = append(words, fmt.Sprintf("%s %.4g%%", name, 100*float64(weights[i])/float64(max(total, 1))))
	}
	if len(words) == 0 {
		return "-"
	}
	return shortList(words, 4)
}
