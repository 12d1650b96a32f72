package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkloadProbes(t *testing.T) {
	plain, _, rpc := application(t)
	for _, c := range []struct{ name, probe, want string }{
		{"HTTP", fmt.Sprintf(`{"httpGet":{"path":"/echo","port":%d,"httpHeaders":[{"name":"X-Probe","value":"yes"}]}}`, plain), ""},
		{"HTTP that says no", fmt.Sprintf(`{"httpGet":{"path":"/bad","port":%d,"host":"127.0.0.1","scheme":"HTTP"}}`, plain), "it answers with status 503: no database"},
		{"TCP", fmt.Sprintf(`{"tcpSocket":{"port":%d,"host":"localhost"}}`, plain), ""},
		{"gRPC", fmt.Sprintf(`{"grpc":{"port":%d,"service":"well"}}`, rpc), ""},
		{"gRPC that says no", fmt.Sprintf(`{"grpc":{"port":%d,"service":"ill"}}`, rpc), "the service says that it does not serve"},
		{"a command", `{"exec":{"command":["true"]}}`, ""},
		{"a command that says no", `{"exec":{"command":["sh","-c","echo no space left; exit 3"]}}`, "sh: exit status 3: no space left"},
		{"a command that says much", `{"exec":{"command":["sh","-c","head -c 10000000 /dev/zero; exit 1"]}}`, "sh: exit status 1"},
		{"a command that does not end", `{"exec":{"command":["sleep","60"]}}`, "sleep: context deadline exceeded"},
		{"a command that there is not", `{"exec":{"command":["/nowhere/at/all"]}}`, "no such file"},
	} {
		w, err := ParseWorkload(c.probe)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		got := ""
		if err := w.probe(ctx); err != nil {
			got = err.Error()
		}
		if cancel(); got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %.200q, want %q", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ probe, want string }{
		{`{`, "readinessProbe"},
		{`{}`, "want one of"},
		{`{"exec":{"command":[]}}`, "want one of"},
		{`{"exec":{"command":["true"]},"tcpSocket":{"port":1}}`, "want one of"},
		{`{"tcpSocket":{"port":0}}`, "want one of"},
		{`{"tcpSocket":{"port":1,"host":"other.example"}}`, "an address of the machine"},
		{`{"tcpSocket":{"port":1},"periodSeconds":-1}`, "less than 0"},
	} {
		if _, err := ParseWorkload(c.probe); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.probe, err, c.want)
		}
	}
}

// TestWorkloadThresholds has a workload be well and not by turns.
func TestWorkloadThresholds(t *testing.T) {
	for _, c := range []struct {
		name, probe, said string // of each probe: + or -
		want              []string
	}{
		{"as usual", `{"tcpSocket":{"port":1}}`, "-+--+---+----", []string{"10s well", "1m10s ill", "1m20s well", "1m50s ill"}},
		{"with thresholds", `{"tcpSocket":{"port":1},"initialDelaySeconds":5,"periodSeconds":2,"successThreshold":2,"failureThreshold":1}`, "++++-+-+++", []string{"7s well", "13s ill", "21s well"}},
		{"never well", `{"tcpSocket":{"port":1},"periodSeconds":1}`, "-----", []string{"2s ill"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, err := ParseWorkload(c.probe)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			began, n := time.Now(), 0
			var got []string
			w.run(ctx, func(context.Context) error {
				if n++; n == len(c.said) {
					defer cancel()
				}
				if n > len(c.said) || c.said[n-1] == '-' {
					return errors.New("ill")
				}
				return nil
			}, func(because string) {
				if because == "" {
					because = "well"
				}
				got = append(got, fmt.Sprint(time.Since(began), " ", because))
			})
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		})
	}
}
