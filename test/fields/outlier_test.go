package fields

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

// failing answers 503 at 127.0.0.2, or 500 if that is asked for, or either every other time; everywhere else all is well.
func failing(t testing.TB) *e2e.Upstream {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		if host == "127.0.0.2" && (r.URL.Path != "/half" || n.Add(1)%2 == 0) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, host)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return &e2e.Upstream{Port: l.Addr().(*net.TCPAddr).Port}
}

const (
	detection = "outlier_detection: {interval: 1000s, base_ejection_time: 1000s, max_ejection_time: 1000s, PIECE},"
	rates     = "outlier_detection: {interval: 0.1s, consecutive_5xx: 100000, max_ejection_percent: 50, base_ejection_time: 1000s, max_ejection_time: 1000s, PIECE},"
)

// refusing is a second endpoint where nobody listens.
var refusing = strings.Replace(strings.Replace(two, "@PORT@", "7", 1), "127.0.0.2", "127.0.0.9", 1)

// outlierOf gives, after twenty requests and what they have brought about, a number of outlier detection.
func outlierOf(name string) func(*world) string {
	return func(w *world) string {
		c := w.dial()
		for range 20 {
			c.Get("/")
		}
		w.Connections() // when every loop has answered this, it has done what it was asked to do before
		return fmt.Sprint(w.stat("cluster.up.outlier_detection." + name))
	}
}

// found tells whether a number grows within a moment of requests.
func found(path, name string) func(*world) string {
	return func(w *world) string {
		c := w.dial()
		for i, end := 0, time.Now().Add(moment); i < 20 || time.Now().Before(end); i++ { // a slow machine needs longer
			for range 10 {
				c.Get(path)
			}
			if w.stat("cluster.up.outlier_detection."+name) > 0 {
				return "yes"
			}
		}
		return "no"
	}
}

// returns tells whether an ejected endpoint comes back within a moment.
func returns(w *world) string {
	c := w.dial()
	for range 20 {
		c.Get("/")
	}
	w.Connections()
	if w.stat("cluster.up.outlier_detection.ejections_enforced_total") == 0 {
		return "never ejected"
	}
	tick := time.NewTicker(time.Millisecond)
	for end := time.Now().Add(moment); time.Now().Before(end); <-tick.C {
		if w.stat("cluster.up.outlier_detection.ejections_active") == 0 {
			return "yes"
		}
	}
	return "no"
}

// apart is a cluster with that outlier detection and one endpoint that refuses connections.
func apart(own string) func(string) string { return fleet(own, zone("a", one), zone("b", refusing)) }

const (
	split      = "split_external_local_origin_errors: true, "
	few        = "success_rate_minimum_hosts: 2, success_rate_stdev_factor: 500, "
	rateOf     = few + "success_rate_request_volume: 1, "
	failureOf  = "failure_percentage_minimum_hosts: 2, failure_percentage_request_volume: 2, success_rate_minimum_hosts: 1000, "
	returning  = "outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 50, PIECE},"
	soonEnough = "interval: 0.02s, "
)

func piece(text, in string) string { return strings.Replace(in, "PIECE", text, 1) }

var outlierTrials = failingToo([]trial{
	{paths: "OutlierDetection.consecutive_5xx", site: twins(detection), base: "consecutive_5xx: 100", flip: "consecutive_5xx: 3", probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"0", "3"}},
	{paths: "OutlierDetection.enforcing_consecutive_5xx", site: twins(piece("consecutive_5xx: 3, max_ejection_percent: 50, PIECE", detection)), base: "enforcing_consecutive_5xx: 0", flip: "enforcing_consecutive_5xx: 100", probe: outlierOf("ejections_enforced_consecutive_5xx"), want: [2]string{"0", "1"}},
	{paths: "OutlierDetection.consecutive_gateway_failure", site: twins(detection), base: "consecutive_gateway_failure: 100", flip: "consecutive_gateway_failure: 5", probe: outlierOf("ejections_detected_consecutive_gateway_failure"), want: [2]string{"0", "2"}},
	{paths: "OutlierDetection.enforcing_consecutive_gateway_failure", site: twins(piece("consecutive_gateway_failure: 3, max_ejection_percent: 50, PIECE", detection)), base: "", flip: "enforcing_consecutive_gateway_failure: 100", probe: outlierOf("ejections_enforced_consecutive_gateway_failure"), want: [2]string{"0", "1"}},
	{paths: "OutlierDetection.max_ejection_percent", site: twins(piece("consecutive_5xx: 3, PIECE", detection)), base: "max_ejection_percent: 49", flip: "max_ejection_percent: 50", probe: outlierOf("ejections_active"), want: [2]string{"0", "1"}},
	{paths: "OutlierDetection.always_eject_one_host", site: twins(piece("consecutive_5xx: 3, PIECE", detection)), base: "", flip: "always_eject_one_host: true", probe: outlierOf("ejections_active"), want: [2]string{"0", "1"}},
	{paths: "OutlierDetection.base_ejection_time", site: twins(piece(soonEnough+"PIECE", returning)), base: "base_ejection_time: 100s", flip: "base_ejection_time: 0.001s", probe: returns, want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.interval", site: twins(piece("base_ejection_time: 0.001s, PIECE", returning)), base: "interval: 100s", flip: "interval: 0.02s", probe: returns, want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.max_ejection_time_jitter", site: twins(piece(soonEnough+"base_ejection_time: 0.001s, PIECE", returning)), base: "", flip: "max_ejection_time_jitter: 100000s", probe: returns, want: [2]string{"yes", "no"}},
	{paths: "OutlierDetection.max_ejection_time", site: twins(piece("base_ejection_time: 10s, PIECE", returning)), base: "max_ejection_time: 10s", flip: "max_ejection_time: 9s", probe: served, want: [2]string{"true", "false"}},
	{paths: "OutlierDetection.success_rate_minimum_hosts", site: twins(piece("success_rate_stdev_factor: 500, success_rate_request_volume: 1, PIECE", rates)), base: "", flip: "success_rate_minimum_hosts: 2", probe: found("/", "ejections_detected_success_rate"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.success_rate_request_volume", site: twins(piece(few+"PIECE", rates)), base: "success_rate_request_volume: 1000000", flip: "success_rate_request_volume: 1", probe: found("/", "ejections_detected_success_rate"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.success_rate_stdev_factor", site: twins(piece("success_rate_minimum_hosts: 2, success_rate_request_volume: 1, PIECE", rates)), base: "success_rate_stdev_factor: 1900", flip: "success_rate_stdev_factor: 500", probe: found("/", "ejections_detected_success_rate"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.enforcing_success_rate", site: twins(piece(rateOf+"PIECE", rates)), base: "enforcing_success_rate: 0", flip: "", probe: found("/", "ejections_enforced_success_rate"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.failure_percentage_minimum_hosts", site: twins(piece("failure_percentage_request_volume: 1, PIECE", rates)), base: "", flip: "failure_percentage_minimum_hosts: 2", probe: found("/", "ejections_detected_failure_percentage"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.failure_percentage_request_volume", site: twins(piece("failure_percentage_minimum_hosts: 2, PIECE", rates)), base: "failure_percentage_request_volume: 1000000", flip: "failure_percentage_request_volume: 1", probe: found("/", "ejections_detected_failure_percentage"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.failure_percentage_threshold", site: twins(piece(failureOf+"PIECE", rates)), base: "failure_percentage_threshold: 85", flip: "failure_percentage_threshold: 20", probe: found("/half", "ejections_detected_failure_percentage"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.enforcing_failure_percentage", site: twins(piece(failureOf+"PIECE", rates)), base: "", flip: "enforcing_failure_percentage: 100", probe: found("/", "ejections_enforced_failure_percentage"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.split_external_local_origin_errors", site: apart(piece("consecutive_local_origin_failure: 3, PIECE", detection)), base: "", flip: split, probe: outlierOf("ejections_detected_consecutive_local_origin_failure"), want: [2]string{"0", "3"}},
	{paths: "OutlierDetection.consecutive_local_origin_failure", site: apart(piece(split+"PIECE", detection)), base: "consecutive_local_origin_failure: 100", flip: "consecutive_local_origin_failure: 3", probe: outlierOf("ejections_detected_consecutive_local_origin_failure"), want: [2]string{"0", "3"}},
	{paths: "OutlierDetection.enforcing_consecutive_local_origin_failure", site: apart(piece(split+"consecutive_local_origin_failure: 3, max_ejection_percent: 50, PIECE", detection)), base: "enforcing_consecutive_local_origin_failure: 0", flip: "", probe: outlierOf("ejections_active"), want: [2]string{"0", "1"}},
	{paths: "OutlierDetection.enforcing_local_origin_success_rate", site: apart(piece(split+"consecutive_local_origin_failure: 100000, "+rateOf+"PIECE", rates)), base: "enforcing_local_origin_success_rate: 0", flip: "", probe: found("/", "ejections_enforced_local_origin_success_rate"), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.enforcing_failure_percentage_local_origin", site: apart(piece(split+"consecutive_local_origin_failure: 100000, "+failureOf+"PIECE", rates)), base: "", flip: "enforcing_failure_percentage_local_origin: 100", probe: found("/", "ejections_enforced_local_origin_failure_percentage"), want: [2]string{"no", "yes"}},
})

func failingToo(list []trial) []trial {
	for i := range list {
		list[i].up = failing
	}
	return list
}
