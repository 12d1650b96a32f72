package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/scenarios"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Summary
	}{
		{nil, Summary{}},
		{[]float64{7}, Summary{7, 7, 7, 1}},
		{[]float64{9, 1}, Summary{5, 1, 9, 2}},
		{[]float64{3, 1, 100}, Summary{3, 1, 100, 3}},
		{[]float64{4, 1, 3, 2}, Summary{2.5, 1, 4, 4}},
	} {
		values := append([]float64(nil), c.values...)
		if diff := cmp.Diff(c.want, Summarize(values)); diff != "" {
			t.Errorf("%v: %s", c.values, diff)
		}
		if diff := cmp.Diff(c.values, values); diff != "" {
			t.Errorf("the values were moved: %s", diff)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.333: "0.33", 9.994: "9.99", 9.996: "10.0", 20.83: "20.8", 99.96: "100", 1234.5: "1234"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%g) = %s, want %s", v, got, want)
		}
	}
}

func samples(values ...float64) []scenarios.Sample {
	var all []scenarios.Sample
	for _, v := range values {
		all = append(all, scenarios.Sample{Values: []float64{v}, Load: &load.Result{Requests: 3000, Elapsed: time.Second, P50: 500 * time.Microsecond, P99: 4 * time.Millisecond, LateP99: 70 * time.Microsecond}})
	}
	return all
}

func sampleRun(ours []scenarios.Sample) Run {
	return Run{
		Date:     time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Machine:  Machine{CPU: "Test <CPU> & more", Cores: 2, Kernel: "6.1", Go: "1.26"},
		Versions: []Version{{"weft", "1.0"}, {"nginx", "1.22.1"}, {"envoy", "1.40.0"}},
		Rounds:   3,
		Measure:  3 * time.Second,
		Outcomes: []scenarios.Outcome{{
			Scenario: scenarios.Scenario{
				Name: "one", Title: "One & only",
				Measures: []scenarios.Measure{{Name: "CPU per request", Unit: "µs", Targets: []scenarios.Target{
					{AtMost: 0.70, Of: "nginx"}, {AtMost: 0.33, Of: "envoy"}, {AtMost: 15},
				}}},
			},
			Results: []scenarios.Result{
				{Rival: "weft", Samples: ours},
				{Rival: "nginx", Samples: samples(20, 30, 19)},
				{Rival: "envoy", Samples: samples(40, 41, 39)},
			},
		}},
	}
}

func TestVerdicts(t *testing.T) {
	// The ratio is of the medians, 14/20 and 14/40; a mean or a best of rounds would give others.
	got := sampleRun(samples(14, 2, 90)).rows()[0].verdicts
	want := []verdict{
		{asked: "0.70 × nginx", measured: "0.70 × nginx", met: true},
		{asked: "0.33 × envoy", measured: "0.35 × envoy", met: false},
		{asked: "15 µs", measured: "14.0 µs", met: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(verdict{})); diff != "" {
		t.Error(diff)
	}
}

// A target that even the floor misses is told apart from one that is missed by us.
func TestVerdictsKnowTheFloor(t *testing.T) {
	run := sampleRun(samples(24))
	run.Outcomes[0].Results = append(run.Outcomes[0].Results, scenarios.Result{Rival: "floor", Samples: samples(13.6)})
	got := run.rows()[0].verdicts
	want := []verdict{
		{asked: "0.70 × nginx", measured: "1.20 × nginx"},
		{asked: "0.33 × envoy", measured: "0.60 × envoy", floor: "0.34 × envoy"},
		{asked: "15 µs", measured: "24.0 µs"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(verdict{})); diff != "" {
		t.Error(diff)
	}
	if mark := got[1].mark(); mark != "not met, nor by the floor: 0.34 × envoy" {
		t.Errorf("mark %q", mark)
	}
}

func TestInvalidRoundsJudgeNothing(t *testing.T) {
	bad := samples(14, 14, 14)
	bad[1].Invalid = "errors: 1 resets"
	run := sampleRun(bad)
	for _, v := range run.rows()[0].verdicts {
		if v.measured != "" || v.met {
			t.Errorf("judged from an invalid row: %+v", v)
		}
	}
	if notes := run.notes(); len(notes) != 1 || !strings.Contains(notes[0], "weft: invalid: errors: 1 resets") {
		t.Errorf("notes %q", notes)
	}
	absent := sampleRun([]scenarios.Sample{{Absent: "only root can"}})
	if text := absent.rows()[0].text("weft"); text != "– not measured" {
		t.Errorf("cell %q", text)
	}
}

func TestRatioToNothing(t *testing.T) {
	run := sampleRun(samples(1))
	run.Outcomes[0].Results[1].Samples = samples(0)
	row := run.rows()[0]
	if ratio, ok := row.ratio("weft", "nginx"); ok || !math.IsNaN(ratio) {
		t.Errorf("ratio to zero: %g, %v", ratio, ok)
	}
	if _, ok := row.ratio("weft", "haproxy"); ok {
		t.Error("ratio to a contestant that was not there")
	}
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := sampleRun(samples(14, 13, 15)).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Date: 2026-03-04\n", "Test <CPU> & more, 2 cores, Linux 6.1, Go 1.26", "weft 1.0, nginx 1.22.1, envoy 1.40.0",
		"14.0 (13.0..15.0)", "20.0 (19.0..30.0)", "0.70 × nginx   0.70 × nginx  met", "0.33 × envoy   0.35 × envoy  not met",
		"3000        500     4000    70.0",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

// The page must be well-formed with every name in it, and the plot must be drawn to scale.
func TestPage(t *testing.T) {
	bad := samples(14, 14, 14)
	bad[0].Invalid = "errors: 1 <reset>"
	for _, run := range []Run{sampleRun(samples(14, 13, 15)), sampleRun(bad), sampleRun(nil)} {
		var b strings.Builder
		if err := run.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		page := strings.NewReplacer("<!doctype html>", "", `<meta charset="utf-8">`, "",
			`<meta name="viewport" content="width=device-width, initial-scale=1">`, "").Replace(b.String())
		for d := xml.NewDecoder(strings.NewReader(page)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in:\n%s", err, page)
			}
		}
	}
	var b strings.Builder
	row := sampleRun(samples(14, 13, 15)).rows()[0]
	row.plot(&b, sampleRun(nil).Versions)
	// The largest of all is 41, so our 14 is 14/41 of the room from 66 to 286.
	for _, want := range []string{`class="ours" x="66" y="2.0" width="75.1"`, `class="other" x="66" y="54.0" width="214.6"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in:\n%s", want, b.String())
		}
	}
}

func TestFilesNameNoMachine(t *testing.T) {
	dir := t.TempDir()
	machine, err := ThisMachine()
	if err != nil {
		t.Fatal(err)
	}
	run := sampleRun(samples(14, 13, 15))
	run.Machine = machine
	names, err := run.WriteFiles(dir)
	if diff := cmp.Diff([]string{"2026-03-04.md", "2026-03-04.html", "2026-03-04.json"}, names); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{" " + host + " ", `"` + host + `"`, dir, here, os.TempDir()} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s names %q", name, secret)
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, names[2]))
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Scenarios []struct{ Results []scenarios.Result }
	}
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run.Outcomes[0].Results, back.Scenarios[0].Results); diff != "" {
		t.Errorf("raw rounds: %s", diff)
	}
}
