package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ours is what the proxy says in the tests.
const ours = `# TYPE envoy_cluster_upstream_rq_total counter
envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 3
# TYPE envoy_cluster_upstream_cx counter
envoy_cluster_upstream_cx 5
# TYPE envoy_server_live gauge
envoy_server_live 1
# TYPE istio_request_duration histogram
istio_request_duration_bucket{le="0.5"} 1
istio_request_duration_bucket{le="+Inf"} 2
istio_request_duration_sum 3
istio_request_duration_count 2
`

// merge puts the proxy's and an application's metrics together, in pieces of a size.
func merge(app string, open bool, size int, whole bool) (out string, dropped int) {
	var b strings.Builder
	e := newExposition(&b, open)
	p := e.part(!open)
	p.Write([]byte(ours))
	p.end()
	p = e.part(true)
	for piece := range slices.Chunk([]byte(app), size) {
		p.Write(piece)
	}
	p.whole = whole
	p.end()
	e.close()
	return b.String(), p.dropped
}

func TestMerge(t *testing.T) {
	const oursOpen = `# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 3
# TYPE envoy_cluster_upstream_cx unknown
envoy_cluster_upstream_cx 5
# TYPE envoy_server_live gauge
envoy_server_live 1
# TYPE istio_request_duration histogram
istio_request_duration_bucket{le="0.5"} 1
istio_request_duration_bucket{le="+Inf"} 2
istio_request_duration_sum 3
istio_request_duration_count 2
`
	for _, c := range []struct {
		name      string
		open      bool
		app, want string
		dropped   int
	}{
		{"text", false, "# HELP a What it \\n is.\n# TYPE a counter\na{b=\"c\\\"d\",} 1 1000\n\n# for people\na 2\n", "# HELP a What it \\n is.\n# TYPE a counter\na{b=\"c\\\"d\",} 1 1000\na 2\n", 0},
		{"text without a line's end", false, "a 1\nb 2", "a 1\nb 2\n", 0},
		{"text with other lines' ends", false, "a 1\r\nb 2\r\n", "a 1\nb 2\n", 0},
		{"text in which some lines are none", false, "a 1\nhello world\nb{ 1\nc{x=\"y\",x=\"z\"} 1\nd{x=\"\xff\"} 1\ne one\nf 1\n", "a 1\nf 1\n", 5},
		{"a family that is ours too", false, "# TYPE envoy_server_live gauge\nenvoy_server_live{of=\"mine\"} 0\n", "envoy_server_live{of=\"mine\"} 0\n", 0},
		{"a family that is something else of ours", false, "# TYPE istio_request_duration gauge\nistio_request_duration 1\nistio_request_duration_sum 1\na 1\n", "a 1\n", 3},
		{"a family that is declared twice", false, "# TYPE a gauge\na 1\n# TYPE a gauge\na{b=\"c\"} 1\n", "# TYPE a gauge\na 1\na{b=\"c\"} 1\n", 0},
		{"a family that is declared too late", false, "a 1\n# TYPE a gauge\na{b=\"c\"} 1\n", "a 1\na{b=\"c\"} 1\n", 1},
		{"a type that there is not", false, "# TYPE a stateset\na 1\n", "a 1\n", 1},
		{"a bound that is no number", false, "# TYPE a histogram\na_bucket{le=\"much\"} 1\na_count 1\n", "# TYPE a histogram\na_count 1\n", 1},
		{"an end in text", false, "a 1\n# EOF\nb 1\n", "a 1\nb 1\n", 0},
		{"nothing", false, "", "", 0},
		{"OpenMetrics", true, "# TYPE a counter\n# UNIT a_seconds seconds\na_total{b=\"c\"} 1 1.5 # {trace=\"x\"} 0.5 1.2\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n",
			"# TYPE a counter\n# UNIT a_seconds seconds\na_total{b=\"c\"} 1 1.5 # {trace=\"x\"} 0.5 1.2\n# TYPE i info\ni_info{v=\"1\"} 1\n", 0},
		{"OpenMetrics without an end", true, "a 1\n", "a 1\n", 0},
		{"OpenMetrics that goes on after its end", true, "a 1\n# EOF\nb 1\n", "a 1\n", 1},
		{"OpenMetrics with a family of ours", true, "# TYPE envoy_cluster_upstream_rq counter\nenvoy_cluster_upstream_rq_total 1\n# EOF\n", "envoy_cluster_upstream_rq_total 1\n", 0},
		{"OpenMetrics in which some lines are none", true, "a  1\nb 1 2 3\nc{x=\"y\",} 1\n# TYPE d untyped\nd\t1\ne 1\n# EOF\n", "e 1\n", 5},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			got, dropped := merge(c.app, c.open, size, true)
			want := ours + c.want
			if c.open {
				want = oursOpen + c.want + "# EOF\n"
			}
			if got != want || dropped != c.dropped {
				t.Errorf("%s, in pieces of %d: %d lines are left out, want %d:\n%s\nwant\n%s", c.name, size, dropped, c.dropped, got, want)
			}
			if err := check(got, c.open); err != nil {
				t.Errorf("%s: nobody can read it: %v", c.name, err)
			}
		}
	}
	if got, dropped := merge("a 1\nb 12", false, 3, false); got != ours+"a 1\n" || dropped != 1 {
		t.Errorf("of what breaks off the last line is not left out: %s", got)
	}
	if got, dropped := merge("a{b=\""+strings.Repeat("x", maxLine)+"\"} 1\nb 1\n", false, 1000, true); got != ours+"b 1\n" || dropped != 1 {
		t.Errorf("a line that is too long: %d, %.300s", dropped, got[len(ours):])
	}
}

// check reads an exposition as those do who scrape.
func check(text string, open bool) error {
	if open {
		return checkOpen(text)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	_, err := p.TextToMetricFamilies(strings.NewReader(text))
	return err
}

// checkOpen reads OpenMetrics as Prometheus does, strictly: lines in the grammar of its specification, what is said of families once, of a known type, and one end at the end.
func checkOpen(text string) error {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[len(lines)-1] != "# EOF" || !strings.HasSuffix(text, "\n") {
		return fmt.Errorf("there is no end")
	}
	said := map[string]bool{}
	for _, line := range lines[:len(lines)-1] {
		if rest, is := strings.CutPrefix(line, "# "); is {
			words := strings.SplitN(rest, " ", 3)
			if len(words) < 3 || !slices.Contains([]string{"TYPE", "HELP", "UNIT"}, words[0]) || said[words[0]+" "+words[1]] {
				return fmt.Errorf("a line %q", line)
			}
			said[words[0]+" "+words[1]] = true
			if words[0] == "TYPE" && !slices.Contains(slices.Collect(maps.Keys(openTypes)), words[2]) {
				return fmt.Errorf("a line %q", line)
			}
			continue
		}
		// In the text format a sample of this grammar is one too, but for its exemplar and that its time is in other units.
		sample, _, _ := strings.Cut(line, " # ")
		if i := strings.LastIndexByte(sample, '}'); strings.Count(sample[i+1:], " ") == 2 || i < 0 && strings.Count(sample, " ") == 2 {
			sample = sample[:strings.LastIndexByte(sample, ' ')]
		}
		if err := check(sample+"\n", false); err != nil {
			return fmt.Errorf("a line %q: %w", line, err)
		}
	}
	return nil
}

// FuzzMerge has whatever an application says leave an exposition that can be read, with all that is ours.
func FuzzMerge(f *testing.F) {
	for _, open := range []bool{false, true} {
		f.Add("# HELP a b\n# TYPE a counter\na_total{b=\"c\"} 1 1000\n", open)
		f.Add("# TYPE a histogram\na_bucket{le=\"1\"} 1 # {t=\"x\"} 1 1\na_sum 1\na_count 1\n# EOF\n", open)
		f.Add("# TYPE a summary\na{quantile=\"0.5\"} NaN\na_sum +Inf\n", open)
		f.Add("# UNIT a_b b\n", open)
		f.Add("A{}0 ", open)
		f.Add("#TYPE a summary\na{quantile=\"\"}NAN ", open)
	}
	f.Fuzz(func(t *testing.T, app string, open bool) {
		for _, whole := range []bool{true, false} {
			got, _ := merge(app, open, 5, whole)
			if err := check(got, open); err != nil {
				t.Errorf("of %q: %v in\n%s", app, err, got)
			}
			if !strings.Contains(got, "istio_request_duration_count 2\n") {
				t.Errorf("of %q: ours is not whole", app)
			}
		}
	})
}
