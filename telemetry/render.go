package telemetry

import (
	"bufio"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// quantiles are those that Envoy shows.
var quantiles = []float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1}

// WriteText writes samples as Envoy's /stats does: counters and gauges, then histograms.
func WriteText(w io.Writer, list []Sample) error {
	b := bufio.NewWriter(w)
	for _, s := range list {
		if s.Metric.Type != Histogram {
			b.WriteString(printable(s.Name))
			b.WriteString(": ")
			b.WriteString(strconv.FormatInt(s.Value, 10))
			b.WriteByte('\n')
		}
	}
	for _, s := range list {
		if s.Metric.Type != Histogram {
			continue
		}
		b.WriteString(printable(s.Name))
		b.WriteByte(':')
		if s.Spread == nil {
			b.WriteString(" No recorded values\n")
			continue
		}
		for _, q := range quantiles {
			// Envoy's first number is of the last interval; there are no intervals here, since an idle proxy does not wake up to
			// cut them.
			b.WriteString(" P" + number(100*q) + "(nan," + number(s.Spread.At(q)) + ")")
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}

// printable keeps a name from ending its line: names come out of configuration, which is others' too.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
}

func number(v float64) string { return strconv.FormatFloat(math.Round(v*1e4)/1e4, 'f', -1, 64) }

// WriteJSON writes samples as Envoy's /stats?format=json does.
func WriteJSON(w io.Writer, list []Sample) error {
	type value struct {
		Interval   *float64 `json:"interval"`
		Cumulative *float64 `json:"cumulative"`
	}
	type histogram struct {
		Name   string  `json:"name"`
		Values []value `json:"values"`
	}
	type stat struct {
		Name  string `json:"name"`
		Value int64  `json:"value"`
	}
	stats := []any{}
	computed := []histogram{}
	for _, s := range list {
		if s.Metric.Type != Histogram {
			stats = append(stats, stat{s.Name, s.Value})
			continue
		}
		h := histogram{Name: s.Name}
		for _, q := range quantiles {
			v := value{}
			if s.Spread != nil {
				at := s.Spread.At(q)
				v.Cumulative = &at
			}
			h.Values = append(h.Values, v)
		}
		computed = append(computed, h)
	}
	if len(computed) > 0 {
		supported := make([]float64, len(quantiles))
		for i, q := range quantiles {
			supported[i] = 100 * q
		}
		stats = append(stats, map[string]any{"histograms": map[string]any{"supported_quantiles": supported, "computed_quantiles": computed}})
	}
	return json.NewEncoder(w).Encode(map[string]any{"stats": stats})
}

// buckets are the upper bounds of a Prometheus histogram, as Envoy's by default.
var buckets = []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// WritePrometheus writes samples in Prometheus's text format (version 0.0.4), with Envoy's names: what tells owners apart, and the
// class or code of a response, are labels.
func WritePrometheus(w io.Writer, list []Sample) error {
	type line struct {
		labels string
		sample *Sample
	}
	families := map[string][]line{}
	for i := range list {
		name, labels := promName(&list[i])
		families[name] = append(families[name], line{labels, &list[i]})
	}
	names := make([]string, 0, len(families))
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	b := bufio.NewWriter(w)
	for _, name := range names {
		lines := families[name]
		kind := [...]string{Counter: "counter", Gauge: "gauge", Histogram: "histogram"}[lines[0].sample.Metric.Type]
		b.WriteString("# TYPE " + name + " " + kind + "\n")
		for _, l := range lines {
			if l.sample.Metric.Type != Histogram {
				b.WriteString(name + braces(l.labels) + " " + strconv.FormatInt(l.sample.Value, 10) + "\n")
				continue
			}
			writePromHistogram(b, name, l.labels, l.sample.limits(), l.sample.Spread)
		}
	}
	return b.Flush()
}

func writePromHistogram(b *bufio.Writer, name, labels string, limits []float64, q *Quantiles) {
	if q == nil {
		q = &Quantiles{}
	}
	comma := ""
	if labels != "" {
		comma = ","
	}
	for _, limit := range limits {
		b.WriteString(name + "_bucket{" + labels + comma + `le="` + number(limit) + `"} ` + strconv.FormatUint(q.Below(limit), 10) + "\n")
	}
	b.WriteString(name + "_bucket{" + labels + comma + `le="+Inf"} ` + strconv.FormatUint(q.Count, 10) + "\n")
	b.WriteString(name + "_sum" + braces(labels) + " " + strconv.FormatUint(q.Sum, 10) + "\n")
	b.WriteString(name + "_count" + braces(labels) + " " + strconv.FormatUint(q.Count, 10) + "\n")
}

func braces(labels string) string {
	if labels == "" {
		return ""
	}
	return "{" + labels + "}"
}

// promName is a sample's family and labels: envoy_, if nothing else is said, and the kind, then the metric without class or code.
func promName(s *Sample) (name, labels string) {
	family := "envoy_"
	if n := s.naming; n != nil && n.Family != "" {
		family = n.Family
	}
	if n := s.naming; n != nil && n.Labels != nil {
		left, tags := cut(n.Labels, s.Name)
		return family + sanitize(left), strings.Join(tags, ",")
	}
	metric := s.Metric.Name
	var tags []string
	if at := len(metric) - 4; at > 0 && metric[at] == '_' {
		tail := metric[at+1:]
		switch {
		case tail[0] >= '1' && tail[0] <= '5' && tail[1:] == "xx":
			tags = append(tags, Label("envoy_response_code_class", tail[:1]))
			metric = metric[:at] + "_xx"
		case s.Owner.Table.Sparse && allDigits(tail):
			tags = append(tags, Label("envoy_response_code", tail))
			metric = metric[:at]
		}
	}
	for _, t := range s.Owner.Tags {
		tags = append(tags, Label("envoy_"+t.Name, t.Value))
	}
	prefix := s.Owner.Table.Kind
	if len(s.Owner.Tags) == 0 {
		prefix = strings.TrimSuffix(s.Owner.Prefix, ".")
	}
	return family + sanitize(prefix) + "_" + sanitize(metric), strings.Join(tags, ",")
}

func allDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// Label writes a label of a Prometheus line: it escapes as the format says; it is UTF-8, and one value that is not would cost its reader the whole page.
func Label(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}

// sanitize turns what Prometheus does not allow in a name into underscores.
func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == ':' {
			return r
		}
		return '_'
	}, name)
}
