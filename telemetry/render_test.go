package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var codes = &Table{Kind: "thing", Sparse: true, Metrics: []Metric{{Name: "rq_200"}, {Name: "rq_404"}, {Name: "rq_5xx"}, {Name: "rq_retry"}}}

func filled() *Store {
	s := NewStore(2)
	a := s.Acquire(testTable, "thing.a.", Tag{"thing_name", "a"})
	a.Loop(0).Add(total, 3)
	a.Loop(1).Inc(total)
	a.Loop(0).Inc(active)
	a.Loop(1).Dec(active)
	a.Loop(1).Dec(active)
	a.Loop(2).Inc(good)
	for _, v := range []uint64{1, 2, 3, 4, 400} {
		a.Loop(0).Observe(took, v)
	}
	s.Acquire(testTable, "thing.b.", Tag{"thing_name", "b"})
	c := s.Acquire(codes, "thing.a.", Tag{"thing_name", "a"})
	c.Loop(0).Add(1, 7)
	c.Loop(0).Add(2, 2)
	s.Acquire(codes, "thing.b.", Tag{"thing_name", "b"})
	s.Acquire(&Table{Kind: "server", Metrics: []Metric{{Name: "live", Type: Gauge}}}, "server.").Loop(2).Set(0, 1)
	return s
}

func text(s *Store, f Filter) string {
	var b bytes.Buffer
	WriteText(&b, s.Read(f))
	return b.String()
}

func TestText(t *testing.T) {
	const quantiles = "thing.a.rq_time: P0(nan,1) P25(nan,2) P50(nan,3) P75(nan,4) P90(nan,408) P95(nan,412) P99(nan,415.2) P99.5(nan,415.6) " +
		"P99.9(nan,415.92) P100(nan,416)\n"
	for _, test := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all", Filter{}, "server.live: 1\nthing.a.rq_2xx: 1\nthing.a.rq_404: 7\nthing.a.rq_5xx: 2\nthing.a.rq_active: -1\nthing.a.rq_total: 4\n" +
			"thing.b.rq_2xx: 0\nthing.b.rq_active: 0\nthing.b.rq_total: 0\n" +
			"thing.a.rq_size: No recorded values\n" + quantiles + "thing.b.rq_size: No recorded values\nthing.b.rq_time: No recorded values\n"},
		{"used only", Filter{UsedOnly: true}, "server.live: 1\nthing.a.rq_2xx: 1\nthing.a.rq_404: 7\nthing.a.rq_5xx: 2\nthing.a.rq_active: -1\n" +
			"thing.a.rq_total: 4\n" + quantiles},
		{"by name", Filter{Name: func(n string) bool { return strings.HasSuffix(n, "total") }}, "thing.a.rq_total: 4\nthing.b.rq_total: 0\n"},
		{"gauges", Filter{Types: [3]bool{Gauge: true}}, "server.live: 1\nthing.a.rq_active: -1\nthing.b.rq_active: 0\n"},
		{"used histograms", Filter{UsedOnly: true, Types: [3]bool{Histogram: true}}, quantiles},
	} {
		if d := cmp.Diff(test.want, text(filled(), test.filter)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	s := filled()
	if err := WriteJSON(&b, s.Read(Filter{UsedOnly: true})); err != nil {
		t.Fatal(err)
	}
	number := func(v string) string { return `{"interval":null,"cumulative":` + v + `}` }
	var values []string
	for _, v := range strings.Fields("1 2 3 4 408 412 415.2 415.6 415.92 416") {
		values = append(values, number(v))
	}
	want := `{"stats":[{"name":"server.live","value":1},{"name":"thing.a.rq_2xx","value":1},{"name":"thing.a.rq_404","value":7},` +
		`{"name":"thing.a.rq_5xx","value":2},{"name":"thing.a.rq_active","value":-1},{"name":"thing.a.rq_total","value":4},` +
		`{"histograms":{"computed_quantiles":[{"name":"thing.a.rq_time","values":[` + strings.Join(values, ",") +
		`]}],"supported_quantiles":[0,25,50,75,90,95,99,99.5,99.9,100]}}]}` + "\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	b.Reset()
	WriteJSON(&b, nil)
	if b.String() != `{"stats":[]}`+"\n" {
		t.Errorf("nothing: %s", b.String())
	}
	b.Reset()
	WriteJSON(&b, s.Read(Filter{Types: [3]bool{Histogram: true}, Name: func(n string) bool { return n == "thing.b.rq_time" }}))
	if !strings.Contains(b.String(), `"values":[`+number("null")) {
		t.Errorf("a histogram without values: %s", b.String())
	}
}

func TestPrometheus(t *testing.T) {
	var b bytes.Buffer
	if err := WritePrometheus(&b, filled().Read(Filter{UsedOnly: true})); err != nil {
		t.Fatal(err)
	}
	want := `# TYPE envoy_server_live gauge
envoy_server_live 1
# TYPE envoy_thing_rq counter
envoy_thing_rq{envoy_response_code="404",envoy_thing_name="a"} 7
# TYPE envoy_thing_rq_active gauge
envoy_thing_rq_active{envoy_thing_name="a"} -1
# TYPE envoy_thing_rq_time histogram
`
	counts := map[string]string{"0.5": "0", "1": "1", "250": "4", "+Inf": "5"}
	last := "0"
	for _, limit := range strings.Fields("0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf") {
		if n, ok := counts[limit]; ok {
			last = n
		}
		switch limit {
		case "5":
			last = "4"
		case "500":
			last = "5"
		}
		want += `envoy_thing_rq_time_bucket{envoy_thing_name="a",le="` + limit + `"} ` + last + "\n"
	}
	want += `envoy_thing_rq_time_sum{envoy_thing_name="a"} 410
envoy_thing_rq_time_count{envoy_thing_name="a"} 5
# TYPE envoy_thing_rq_total counter
envoy_thing_rq_total{envoy_thing_name="a"} 4
# TYPE envoy_thing_rq_xx counter
envoy_thing_rq_xx{envoy_response_code_class="2",envoy_thing_name="a"} 1
envoy_thing_rq_xx{envoy_response_code_class="5",envoy_thing_name="a"} 2
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Names come from configuration; whatever they are, a line stays a line, a label a label, and the page what its format says.
func TestHostileNames(t *testing.T) {
	const hostile = "a\"b\\c\nevil 1\r\x00é\xff}"
	s := NewStore(1)
	s.Acquire(testTable, "thing."+hostile+".", Tag{"thing_name", hostile}).Loop(0).Inc(total)
	s.Acquire(&Table{Kind: "x", Metrics: []Metric{{Name: "n"}}}, hostile+".").Loop(0).Inc(0)
	var b bytes.Buffer
	WritePrometheus(&b, s.Read(Filter{UsedOnly: true, Types: [3]bool{Counter: true}}))
	want := "# TYPE envoy_a_b_c_evil_1___\u005f__n counter\nenvoy_a_b_c_evil_1___\u005f__n 1\n# TYPE envoy_thing_rq_total counter\n" +
		`envoy_thing_rq_total{envoy_thing_name="a\"b\\c\nevil 1` + "\r\x00é\uFFFD" + `}"} 1` + "\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := text(s, Filter{UsedOnly: true, Types: [3]bool{Counter: true}}); strings.Count(got, "\n") != 2 || strings.ContainsAny(got, "\r\x00") {
		t.Errorf("text: %q", got)
	}
	b.Reset()
	WriteJSON(&b, s.Read(Filter{}))
	if !json.Valid(b.Bytes()) {
		t.Errorf("JSON: %s", b.Bytes())
	}
}

func TestRelease(t *testing.T) {
	s := NewStore(1)
	first := s.Acquire(testTable, "x.")
	first.Loop(0).Inc(total)
	second := s.Acquire(testTable, "x.", Tag{"ignored", "the first wins"})
	if first != second {
		t.Fatal("two owners of one name")
	}
	if other := s.Acquire(codes, "x."); other == first {
		t.Fatal("one owner for two tables")
	}
	s.Release(first)
	if got := second.Sum(total); got != 1 || len(s.Read(Filter{})) == 0 {
		t.Errorf("%d after the first release", got)
	}
	s.Release(second)
	if list := s.Read(Filter{}); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
	if again := s.Acquire(testTable, "x."); again == first || again.Sum(total) != 0 {
		t.Error("the numbers outlived their last owner")
	}
}

// What nobody touched costs pointers only, and is shown only if its table is not sparse.
func TestUntouched(t *testing.T) {
	s := NewStore(4)
	o := s.Acquire(testTable, "x.")
	s.Acquire(codes, "x.")
	if list := s.Read(Filter{}); len(list) != len(testTable.Metrics) {
		t.Errorf("%d samples", len(list))
	}
	for i := range o.loops {
		if o.loops[i].Load() != nil {
			t.Error("reading made memory")
		}
	}
	if s.Loops() != 4 || len(o.loops) != 5 {
		t.Error(s.Loops(), len(o.loops))
	}
}
