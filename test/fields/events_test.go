package fields

import (
	"bytes"
	"os"
	"path/filepath"
	"time"
)

// eventTrials flip what is written of checks and ejections, and what endpoints say of themselves.
var eventTrials = []trial{
	{paths: "HealthCheck.event_log_path", site: noticing, base: "", flip: "event_log_path: @DIR@/events", up: ward, probe: linesIn("events", 1), want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.event_logger TypedExtensionConfig@event.typed_config HealthCheckEventFileSink.event_log_path", site: noticing, base: "event_logger: [" + fileSink("other") + "]", flip: "event_logger: [" + fileSink("events") + "]", up: ward, probe: linesIn("events", 1), want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.always_log_health_check_success", site: noticing, base: "event_log_path: @DIR@/events", flip: "event_log_path: @DIR@/events, always_log_health_check_success: true", up: ward, probe: linesIn("events", 3), want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.always_log_health_check_failures", site: checkedBy(usually + "http_health_check: {path: /500}, PIECE"), base: "event_log_path: @DIR@/events", flip: "event_log_path: @DIR@/events, always_log_health_check_failures: true", up: ward, probe: linesIn("events", 3), want: [2]string{"no", "yes"}},
	{paths: "HttpHealthCheck.service_name_matcher", site: checkedAt("hc", "PIECE"), base: "", flip: "service_name_matcher: {exact: mine}", up: ward, probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "OutlierDetection.detect_degraded_hosts", site: func(p string) string { return cluster("outlier_detection: {consecutive_5xx: 3, " + p + "}") }, base: "", flip: "detect_degraded_hosts: true", up: answer("HTTP/1.1 200 OK\r\nx-envoy-degraded: 1\r\ncontent-length: 0\r\n\r\n"), probe: func(w *world) string {
		w.dial().Get("/")
		return becomes("cluster.up.membership_degraded", 1)(w)
	}, want: [2]string{"no", "yes"}},
	{paths: "ClusterManager.outlier_detection OutlierDetection.event_log_path", site: func(p string) string {
		return cluster("outlier_detection: {consecutive_5xx: 1, max_ejection_percent: 100}") + "\ncluster_manager: {upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}}, " + p + "}"
	}, base: "", flip: "outlier_detection: {event_log_path: @DIR@/events}", up: answer("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"), probe: func(w *world) string {
		w.dial().Get("/")
		return linesIn("events", 1)(w)
	}, want: [2]string{"no", "yes"}},
}

var noticing = checkedBy(usually + "http_health_check: {path: /hc}, PIECE")

func fileSink(name string) string {
	return `{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink, event_log_path: @DIR@/` + name + "}}"
}

// linesIn tells whether a file has at least n lines within a moment.
func linesIn(name string, n int) func(*world) string {
	return func(w *world) string {
		for end := time.Now().Add(moment); ; <-time.After(time.Millisecond) {
			b, _ := os.ReadFile(filepath.Join(w.dir, name))
			if bytes.Count(b, []byte("\n")) >= n {
				return "yes"
			}
			if time.Now().After(end) {
				return "no"
			}
		}
	}
}
