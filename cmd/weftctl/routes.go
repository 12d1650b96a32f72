package main

import (
	"context"
	"maps"
	"slices"
	"strings"
)

const routesText = `List route tables: each route of each virtual host, or of each interface of Dubbo, what it matches, and where it sends requests.

With NAME, only tables with NAME in their name.

Usage:
  weftctl proxy routes [NAME] [flags]

Examples:
  weftctl proxy routes
  weftctl proxy routes 9080
  weftctl proxy routes 9080 -o json`

func proxyRoutes(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	d, err := p.dump(ctx, nil)
	if err != nil {
		return err
	}
	const part = "RoutesConfigDump"
	list, err := o.picked(p, "route table", slices.Concat(resources(d, part, "static", "static_route_configs", "route_config"), resources(d, part, "active", "dynamic_route_configs", "route_config")))
	if err != nil {
		return err
	}
	if o.format != "table" {
		return printed(s.out, o.format, valuesOf(list))
	}
	rows := [][]string{{"NAME", "VHOST", "DOMAINS", "MATCH", "TO"}}
	for _, r := range list {
		if strings.HasSuffix(textAt(r.value, "@type"), ".MultipleRouteConfiguration") {
			rows = append(rows, dubboRows(r)...)
		} else {
			rows = append(rows, hostRows(r)...)
		}
	}
	return table(s.out, rows)
}

// hostRows are the routes of a table of HTTP.
func hostRows(r resource) (rows [][]string) {
	for _, v := range listAt(r.value, "virtual_hosts") {
		domains := shortList(textsAt(v, "domains"), 2)
		routes := listAt(v, "routes")
		for _, route := range routes {
			rows = append(rows, []string{r.name, textAt(v, "name"), domains, matchWords(at(route, "match")), routeTo(route)})
		}
		if len(routes) == 0 {
			to := "no route"
			if at(v, "matcher") != nil {
				to = "a matcher tree (-o yaml shows it)"
			}
			rows = append(rows, []string{r.name, textAt(v, "name"), domains, "", to})
		}
	}
	if len(listAt(r.value, "virtual_hosts")) == 0 {
		rows = append(rows, []string{r.name, "", "", "", "no virtual host"})
	}
	return rows
}

// dubboRows are the routes of a table of Dubbo. Its interfaces, with their versions and groups, are what domains are there.
func dubboRows(r resource) (rows [][]string) {
	services := listAt(r.value, "route_config")
	for _, s := range services {
		of := textAt(s, "interface")
		for _, f := range []string{"version", "group"} {
			if v := textAt(s, f); v != "" {
				of += " " + f + " " + v
			}
		}
		routes := listAt(s, "routes")
		for _, route := range routes {
			rows = append(rows, []string{r.name, textAt(s, "name"), of, callWords(route), clusterWords(at(route, "route"))})
		}
		if len(routes) == 0 {
			rows = append(rows, []string{r.name, textAt(s, "name"), of, "", "no route"})
		}
	}
	if len(services) == 0 {
		rows = append(rows, []string{r.name, "", "", "", "no interface"})
	}
	return rows
}

// callWords are a rule about calls in short: greet is a method, * stands for the rest of its name or for all methods, and #0 is the first argument.
func callWords(route any) string {
	m := at(route, "match")
	name, words := at(m, "method", "name"), "*"
	switch {
	case textAt(name, "exact") != "":
		words = textAt(name, "exact")
	case textAt(name, "prefix") != "":
		words = textAt(name, "prefix") + "*"
	case textAt(name, "suffix") != "":
		words = "*" + textAt(name, "suffix")
	case textAt(name, "contains") != "":
		words = "*" + textAt(name, "contains") + "*"
	case textAt(name, "safe_regex", "regex") != "" && textAt(name, "safe_regex", "regex") != ".*":
		words = "~ " + textAt(name, "safe_regex", "regex")
	}
	var names []string
	if arguments, is := at(m, "method", "params_match").(map[string]any); is {
		for _, index := range slices.Sorted(maps.Keys(arguments)) {
			names = append(names, "#"+index)
		}
	}
	for _, h := range listAt(m, "headers") {
		names = append(names, textAt(h, "name"))
	}
	if at(route, "route", "metadata_match", "typed_filter_metadata", "weft.dubbo", "match") != nil {
		names = append(names, "more (-o yaml shows it)")
	}
	if len(names) > 0 {
		words += " if " + shortList(names, 3)
	}
	return words
}

// matchWords are a rule in short: /a is a path, /a* what begins with it, and how many more conditions there are.
func matchWords(m any) string {
	words := "?"
	switch {
	case textAt(m, "path") != "":
		words = textAt(m, "path")
	case at(m, "prefix") != nil:
		words = textAt(m, "prefix") + "*"
	case textAt(m, "path_separated_prefix") != "":
		words = textAt(m, "path_separated_prefix") + "/*"
	case at(m, "safe_regex") != nil:
		words = "~ " + textAt(m, "safe_regex", "regex")
	case at(m, "connect_matcher") != nil:
		words = "CONNECT"
	case at(m, "path_match_policy") != nil:
		config, _ := typed(at(m, "path_match_policy"))
		words = textAt(config, "path_template")
	}
	var names []string
	for _, h := range listAt(m, "headers") {
		names = append(names, textAt(h, "name"))
	}
	for _, q := range listAt(m, "query_parameters") {
		names = append(names, "?"+textAt(q, "name"))
	}
	if len(names) > 0 {
		words += " if " + shortList(names, 3)
	}
	if at(m, "grpc") != nil {
		words += " (gRPC)"
	}
	if f := at(m, "runtime_fraction", "default_value"); f != nil {
		of := map[string]string{"": "100", "HUNDRED": "100", "TEN_THOUSAND": "10000", "MILLION": "1000000"}[textAt(f, "denominator")]
		words += " in " + textAt(f, "numerator") + " of " + of
	}
	return words
}

func routeTo(r any) string {
	switch {
	case at(r, "redirect") != nil:
		d := at(r, "redirect")
		for _, f := range []string{"host_redirect", "path_redirect", "prefix_rewrite", "scheme_redirect"} {
			if v := textAt(d, f); v != "" {
				return "redirect to " + v
			}
		}
		if textAt(d, "https_redirect") == "true" {
			return "redirect to https"
		}
		return "redirect"
	case at(r, "direct_response") != nil:
		return "answer " + textAt(r, "direct_response", "status")
	case at(r, "route") != nil:
		return clusterWords(at(r, "route"))
	}
	return "-"
}
