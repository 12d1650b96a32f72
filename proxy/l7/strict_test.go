package l7

import (
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

func TestWhatMeansSomething(t *testing.T) {
	for _, c := range []struct {
		id    http.ID
		value string
		want  bool
	}{
		{http.XEnvoyMaxRetries, "0", true},
		{http.XEnvoyMaxRetries, "+12", true},
		{http.XEnvoyMaxRetries, "9999999999999999999", true},
		{http.XEnvoyMaxRetries, "", false},
		{http.XEnvoyMaxRetries, "+", false},
		{http.XEnvoyMaxRetries, "-1", false},
		{http.XEnvoyMaxRetries, "1.0", false},
		{http.XEnvoyMaxRetries, "1,2", false},
		{http.XEnvoyMaxRetries, "10000000000000000000000", false},
		{http.XEnvoyRetryOn, "5xx, reset", true},
		{http.XEnvoyRetryOn, ",", true},
		{http.XEnvoyRetryOn, "5xx,unavailable", false},
		{http.XEnvoyRetryGRPCOn, "unavailable", true},
		{http.XEnvoyRetryGRPCOn, "5xx", false},
	} {
		if got := meansSomething(c.id, []byte(c.value)); got != c.want {
			t.Errorf("%q: %v", c.value, got)
		}
	}
}
