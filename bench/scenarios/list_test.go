package scenarios

import (
	"regexp"
	"testing"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/rivals"
)

func TestListIsSound(t *testing.T) {
	fits := func(s Scenario, name string) bool {
		picked, err := rivals.Pick([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		return s.Fits(picked[0])
	}
	seen := map[string]bool{}
	for _, s := range All() {
		if seen[s.Name] || !regexp.MustCompile(`^[a-z0-9.-]+$`).MatchString(s.Name) || s.Title == "" {
			t.Errorf("scenario %q (%s): its name is taken, or not plain", s.Name, s.Title)
		}
		seen[s.Name] = true
		if !fits(s, "weft") {
			t.Errorf("%s: weft cannot take part", s.Name)
		}
		if len(s.Measures) == 0 {
			t.Errorf("%s: measures nothing", s.Name)
		}
		for _, m := range s.Measures {
			if m.Name == "" || m.Unit == "" {
				t.Errorf("%s: measure %q has no name or unit", s.Name, m.Name)
			}
			for _, target := range m.Targets {
				if target.Of != "" && !fits(s, target.Of) {
					t.Errorf("%s: is to be compared with %s, which cannot take part", s.Name, target.Of)
				}
			}
		}
	}
}

func TestOnlyPassersOfTCPMeasureTCP(t *testing.T) {
	for _, r := range rivals.All() {
		for _, s := range All() {
			tr, ok := s.probe.(traffic)
			if ok && s.Fits(r) != (r.TCP || tr.spec.Protocol == load.HTTP1) {
				t.Errorf("%s in %s: fits %v", r.Name, s.Name, s.Fits(r))
			}
		}
	}
}

func TestTheFloorTakesPartInHTTPTrafficOnly(t *testing.T) {
	picked, err := rivals.Pick([]string{"floor"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range All() {
		tr, ok := s.probe.(traffic)
		_, shared := s.probe.(multiplexed)
		if want := ok && tr.spec.Protocol == load.HTTP1 || shared; s.Fits(picked[0]) != want {
			t.Errorf("%s: fits %v", s.Name, !want)
		}
	}
}

func TestJudge(t *testing.T) {
	good := load.Result{Requests: 1000, Elapsed: time.Second}
	for _, c := range []struct {
		name  string
		spec  load.Spec
		spoil func(*load.Result)
		ended bool
		valid bool
	}{
		{"good", load.Spec{}, func(*load.Result) {}, false, true},
		{"rate kept", load.Spec{Rate: 1010}, func(*load.Result) {}, false, true},
		{"rate not kept", load.Spec{Rate: 1100}, func(*load.Result) {}, false, false},
		{"one fault", load.Spec{}, func(r *load.Result) { r.Faults.Reset = 1 }, false, false},
		{"no request", load.Spec{}, func(r *load.Result) { r.Requests = 0 }, false, false},
		{"proxy gone", load.Spec{}, func(*load.Result) {}, true, false},
	} {
		r := good
		c.spoil(&r)
		if why := judge(c.spec, r, c.ended); (why == "") != c.valid {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}
