package status

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWhatInjectionWrites reads what injection puts into pods, as its goldens have it.
func TestWhatInjectionWrites(t *testing.T) {
	written := map[string]string{}
	files, err := filepath.Glob("../../control/inject/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`name: (ISTIO_KUBE_APP_PROBERS|ISTIO_PROMETHEUS_ANNOTATIONS)\n +value: '(.*)'\n`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
			written[filepath.Base(file)+" "+m[1]] = m[2]
		}
	}
	if len(written) < 3 {
		t.Fatalf("the goldens have %v", written)
	}
	for where, text := range written {
		o := Options{AgentAddr: "127.0.0.1:0"}
		if strings.HasSuffix(where, "PROBERS") {
			o.Probers = text
		} else {
			o.Scrape = text
		}
		s, err := Listen(o)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if s.Close(); (s.target == nil) == (o.Scrape != "") || (len(s.probers) == 0) == (o.Probers != "") {
			t.Errorf("%s: of %s there is nothing to be done", where, text)
		}
	}
	s, err := Listen(Options{Probers: written["probes.yaml ISTIO_KUBE_APP_PROBERS"]})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := []string{"/app-health/cart/livez", "/app-health/cart/readyz", "/app-health/cart/startupz", "/app-lifecycle/cart/poststartz"}
	if got := slices.Sorted(maps.Keys(s.probers)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if p := s.probers[want[0]]; p.at != "localhost:8080" || p.HTTPGet.Scheme != "HTTPS" || p.TimeoutSeconds != 2 || s.probers[want[2]].GRPC.Service != "ready" || !s.probers[want[3]].hook {
		t.Errorf("%+v", p)
	}
}
