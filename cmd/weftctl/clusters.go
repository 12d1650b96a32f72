package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const clustersText = `List clusters and how well their endpoints are, as /clusters knows them.

With NAME, only clusters with NAME in their name.

Usage:
  weftctl proxy clusters [NAME] [flags]

Examples:
  weftctl proxy clusters
  weftctl proxy clusters --endpoints reviews    each endpoint, its health, and what is under way
  weftctl proxy clusters -o json`

func proxyClusters(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	b, err := p.get(ctx, "/clusters?format=json")
	if err != nil {
		return err
	}
	v, err := decoded(b)
	if err != nil {
		return fmt.Errorf("what %s answers to /clusters is no JSON: %w; is it the admin address of a proxy?", p.address, err)
	}
	list := slices.DeleteFunc(listAt(v, "cluster_statuses"), func(c any) bool { return !o.wants(textAt(c, "name")) })
	if len(list) == 0 {
		return o.nothing("cluster", p)
	}
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(textAt(a, "name"), textAt(b, "name")) })
	if o.format != "table" {
		return printed(s.out, o.format, list)
	}
	rows := [][]string{{"NAME", "ENDPOINTS", "HEALTHY", "REQUESTS", "FAILED", "UNDER WAY"}}
	if o.endpoints {
		rows = [][]string{{"CLUSTER", "ENDPOINT", "PRIORITY", "LOCALITY", "WEIGHT", "HEALTH", "REQUESTS", "FAILED", "UNDER WAY"}}
	}
	for _, c := range list {
		hosts := listAt(c, "host_statuses")
		well := 0
		var sum [3]uint64
		for _, h := range hosts {
			numbers := [3]uint64{stat64(h, "rq_total"), stat64(h, "rq_error"), stat64(h, "rq_active")}
			for i := range sum {
				sum[i] += numbers[i]
			}
			health := healthWords(at(h, "health_status"))
			if health == "healthy" {
				well++
			}
			if o.endpoints {
				priority := textAt(h, "priority")
				if priority == "" {
					priority = "0"
				}
				locality := strings.TrimRight(textAt(h, "locality", "region")+"/"+textAt(h, "locality", "zone")+"/"+textAt(h, "locality", "sub_zone"), "/")
				rows = append(rows, []string{textAt(c, "name"), addressOf(at(h, "address")), priority, locality, textAt(h, "weight"), health, number(numbers[0]), number(numbers[1]), number(numbers[2])})
			}
		}
		if !o.endpoints {
			rows = append(rows, []string{textAt(c, "name"), strconv.Itoa(len(hosts)), strconv.Itoa(well), number(sum[0]), number(sum[1]), number(sum[2])})
		}
	}
	if len(rows) == 1 {
		fmt.Fprintln(s.out, "no endpoints")
		return nil
	}
	return table(s.out, rows)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// stat64 is one of an endpoint's numbers. One that is 0 need not have a value.
func stat64(host any, name string) uint64 {
	for _, s := range listAt(host, "stats") {
		if textAt(s, "name") == name {
			n, _ := strconv.ParseUint(textAt(s, "value"), 10, 64)
			return n
		}
	}
	return 0
}

// healthWords are what keeps an endpoint from its share.
func healthWords(v any) string {
	var list []string
	for _, f := range []struct{ field, words string }{
		{"failed_active_health_check", "health checks fail"}, {"failed_outlier_check", "ejected"}, {"failed_active_degraded_check", "degraded by health check"},
		{"pending_active_hc", "not checked yet"}, {"pending_dynamic_removal", "leaving"}, {"excluded_via_immediate_hc_fail", "says it is unwell"}, {"failed_degraded_outlier_detection", "says it is degraded"},
	} {
		if textAt(v, f.field) == "true" {
			list = append(list, f.words)
		}
	}
	if s := textAt(v, "eds_health_status"); s != "" && s != "HEALTHY" && s != "UNKNOWN" {
		list = append(list, strings.ToLower(s)+" by EDS")
	}
	if len(list) == 0 {
		return "healthy"
	}
	return strings.Join(list, ", ")
}

const statsText = `Print counters, gauges and histograms.

With REGEX, only those whose names it matches somewhere.

Usage:
  weftctl proxy stats [REGEX] [flags]

Examples:
  weftctl proxy stats --used
  weftctl proxy stats 'cluster\.outbound.*upstream_rq_'
  weftctl proxy stats -o json server.state`

func proxyStats(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	q := url.Values{}
	if o.name() != "" {
		q.Set("filter", o.name())
	}
	if o.used {
		q.Set("usedonly", "")
	}
	if o.format != "table" {
		q.Set("format", "json")
	}
	b, err := p.get(ctx, "/stats?"+q.Encode())
	if err != nil {
		return err
	}
	if o.format != "table" {
		v, err := decoded(b)
		if err != nil {
			return fmt.Errorf("what %s answers to /stats is no JSON: %w", p.address, err)
		}
		return printed(s.out, o.format, v)
	}
	rows := [][]string{{"NAME", "VALUE"}}
	for line := range strings.Lines(string(b)) {
		// A name may have a colon in it, a value has none before its first space.
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			rows = append(rows, []string{name, value})
		}
	}
	if len(rows) == 1 {
		return o.nothing("statistic", p)
	}
	return table(s.out, rows)
}
