package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
)

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("content-type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.Encode(v)
}

func (s *Server) levels(w io.Writer) {
	levels := s.view.Levels()
	io.WriteString(w, "active loggers:\n")
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		fmt.Fprintf(w, "  %s: %s\n", name, levels[name])
	}
}

func (s *Server) serverInfo(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.view.Info()) }

func (s *Server) memory(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	// The names are Envoy's, numbers are strings as in protobuf JSON.
	text := func(n uint64) string { return strconv.FormatUint(n, 10) }
	writeJSON(w, map[string]string{
		"allocated":            text(m.HeapAlloc),
		"heap_size":            text(m.HeapSys),
		"pageheap_unmapped":    text(m.HeapReleased),
		"pageheap_free":        text(m.HeapIdle - m.HeapReleased),
		"total_thread_cache":   text(m.MCacheInuse),
		"total_physical_bytes": text(m.Sys - m.HeapReleased),
	})
}

// maxFilter bounds, in bytes, the regular expression of ?filter=.
const maxFilter = 4 << 10

// filter reads the query of a page with numbers; it answers itself if that is wrong.
func filter(w http.ResponseWriter, r *http.Request) (f telemetry.Filter, ok bool) {
	q := r.URL.Query()
	f.UsedOnly = q.Has("usedonly")
	if text := q.Get("filter"); text != "" {
		if len(text) > maxFilter {
			http.Error(w, "Invalid regex: longer than 4096 bytes", http.StatusBadRequest)
			return f, false
		}
		e, err := regexp.Compile(text)
		if err != nil {
			http.Error(w, "Invalid regex: "+err.Error(), http.StatusBadRequest)
			return f, false
		}
		f.Name = e.MatchString
	}
	switch q.Get("type") {
	case "", "All":
	case "Counters":
		f.Types[telemetry.Counter] = true
	case "Gauges":
		f.Types[telemetry.Gauge] = true
	case "Histograms":
		f.Types[telemetry.Histogram] = true
	default:
		http.Error(w, "invalid /stats?type= value: want All, Counters, Gauges or Histograms", http.StatusBadRequest)
		return f, false
	}
	return f, true
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	f, ok := filter(w, r)
	if !ok {
		return
	}
	switch format := r.URL.Query().Get("format"); format {
	case "", "text":
		s.view.Refresh()
		telemetry.WriteText(w, s.view.Stats.Read(f))
	case "json":
		s.view.Refresh()
		w.Header().Set("content-type", "application/json")
		telemetry.WriteJSON(w, s.view.Stats.Read(f))
	case "prometheus":
		s.prometheus(w, r)
	default:
		http.Error(w, "invalid /stats?format= value: want text, json or prometheus", http.StatusBadRequest)
	}
}

func (s *Server) prometheus(w http.ResponseWriter, r *http.Request) {
	f, ok := filter(w, r)
	if !ok {
		return
	}
	s.view.Refresh()
	w.Header().Set("content-type", "text/plain; version=0.0.4; charset=UTF-8")
	telemetry.WritePrometheus(w, s.view.Stats.Read(f))
}

// socketAddress is an address as protobuf JSON spells it.
func socketAddress(a config.Address) any {
	if a.Path != "" {
		return map[string]any{"pipe": map[string]any{"path": a.Path}}
	}
	return map[string]any{"socket_address": map[string]any{"address": a.AddrPort.Addr().String(), "port_value": a.AddrPort.Port()}}
}

func (s *Server) listeners(w http.ResponseWriter, r *http.Request) {
	list := s.view.Listeners()
	slices.SortFunc(list, func(a, b ListenerView) int { return strings.Compare(a.Name, b.Name) })
	if r.URL.Query().Get("format") == "json" {
		statuses := []any{}
		for _, l := range list {
			statuses = append(statuses, map[string]any{"name": l.Name, "local_address": socketAddress(l.Address)})
		}
		writeJSON(w, map[string]any{"listener_statuses": statuses})
		return
	}
	for _, l := range list {
		fmt.Fprintf(w, "%s::%s\n", l.Name, l.Address)
	}
}

// numbersOf is what is shown of an endpoint, in Envoy's order.
func numbersOf(m *upstream.Member) []struct {
	name  string
	gauge bool
	value int64
} {
	c := &m.Counts
	return []struct {
		name  string
		gauge bool
		value int64
	}{
		{"cx_active", true, c.CxActive.Load()},
		{"cx_connect_fail", false, c.CxConnectFail.Load()},
		{"cx_total", false, c.CxTotal.Load()},
		{"rq_active", true, m.Active.Load()},
		{"rq_error", false, c.RqError.Load()},
		{"rq_success", false, c.RqSuccess.Load()},
		{"rq_timeout", false, c.RqTimeout.Load()},
		{"rq_total", false, c.RqTotal.Load()},
	}
}

func (s *Server) clusters(w http.ResponseWriter, r *http.Request) {
	all := s.view.Clusters()
	names := slices.Sorted(maps.Keys(all))
	if r.URL.Query().Get("format") == "json" {
		s.clustersJSON(w, all, names)
		return
	}
	for _, name := range names {
		c := all[name]
		fmt.Fprintf(w, "%s::observability_name::%s\n", name, c.Config.StatName)
		for i, priority := range []string{"default_priority", "high_priority"} {
			b := &c.Config.Breakers[i]
			fmt.Fprintf(w, "%[1]s::%[2]s::max_connections::%[3]d\n%[1]s::%[2]s::max_pending_requests::%[4]d\n%[1]s::%[2]s::max_requests::%[5]d\n%[1]s::%[2]s::max_retries::%[6]d\n",
				name, priority, b.MaxConnections, b.MaxPending, b.MaxRequests, b.MaxRetries)
		}
		fmt.Fprintf(w, "%s::added_via_api::%t\n", name, c.Config.Discovered)
		e := c.Endpoints()
		for i := range e.All {
			m := &e.All[i]
			at := fmt.Sprintf("%s::%s", name, m.Address())
			for _, n := range numbersOf(m) {
				fmt.Fprintf(w, "%s::%s::%d\n", at, n.name, n.value)
			}
			own, connections := m.Standing.SuccessRates()
			fmt.Fprintf(w, "%[1]s::hostname::%[2]s\n%[1]s::health_flags::%[3]s\n%[1]s::weight::%[4]d\n%[1]s::region::%[5]s\n%[1]s::zone::%[6]s\n%[1]s::sub_zone::%[7]s\n%[1]s::canary::false\n%[1]s::priority::%[8]d\n%[1]s::success_rate::%[9]v\n%[1]s::local_origin_success_rate::%[10]v\n",
				at, m.Hostname, healthFlags(m), m.Weight, m.Locality.Region, m.Locality.Zone, m.Locality.SubZone, m.Priority, own, connections)
		}
	}
}

// healthFlags are Envoy's words for what keeps an endpoint from its share of requests.
func healthFlags(m *upstream.Member) string {
	flags := ""
	if m.Standing.Has(upstream.FailedCheck) {
		flags += "/failed_active_hc"
	}
	if m.Standing.Has(upstream.Ejected) {
		flags += "/failed_outlier_check"
	}
	switch m.Health {
	case config.HealthUnhealthy, config.HealthDraining, config.HealthTimeout:
		flags += "/failed_eds_health"
	case config.HealthDegraded:
		flags += "/degraded_eds_health"
	}
	if m.Standing.Has(upstream.DegradedCheck) {
		flags += "/degraded_active_hc"
	}
	if m.Leaving() {
		flags += "/pending_dynamic_removal"
	}
	if m.Standing.Has(upstream.PendingCheck) {
		flags += "/pending_active_hc"
	}
	if m.Standing.Has(upstream.SaidUnwell) {
		flags += "/excluded_via_immediate_hc_fail"
	}
	if m.Standing.Has(upstream.DegradedAnswer) {
		flags += "/degraded_outlier_detection"
	}
	if flags == "" {
		return "healthy"
	}
	return flags
}

func (s *Server) clustersJSON(w http.ResponseWriter, all upstream.Clusters, names []string) {
	statuses := []any{}
	for _, name := range names {
		c := all[name]
		hosts := []any{}
		e := c.Endpoints()
		for i := range e.All {
			m := &e.All[i]
			stats := []any{}
			for _, n := range numbersOf(m) {
				stat := map[string]any{"name": n.name, "value": strconv.FormatInt(n.value, 10)}
				if n.gauge {
					stat["type"] = "GAUGE"
				}
				stats = append(stats, stat)
			}
			health := [...]string{"HEALTHY", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"}[m.Health]
			status := map[string]any{"eds_health_status": health}
			for mark, name := range map[uint32]string{upstream.Ejected: "failed_outlier_check", upstream.FailedCheck: "failed_active_health_check",
				upstream.DegradedCheck: "failed_active_degraded_check", upstream.PendingCheck: "pending_active_hc", upstream.SaidUnwell: "excluded_via_immediate_hc_fail",
				upstream.DegradedAnswer: "failed_degraded_outlier_detection"} {
				if m.Standing.Has(mark) {
					status[name] = true
				}
			}
			if m.Leaving() {
				status["pending_dynamic_removal"] = true
			}
			hosts = append(hosts, map[string]any{
				"address": socketAddress(m.Address()), "stats": stats, "weight": m.Weight, "hostname": m.Hostname,
				"health_status": status,
				"priority":      m.Priority, "locality": map[string]any{"region": m.Locality.Region, "zone": m.Locality.Zone, "sub_zone": m.Locality.SubZone},
			})
		}
		thresholds := []any{}
		for i, priority := range []string{"DEFAULT", "HIGH"} {
			b := &c.Config.Breakers[i]
			thresholds = append(thresholds, map[string]any{"priority": priority, "max_connections": b.MaxConnections,
				"max_pending_requests": b.MaxPending, "max_requests": b.MaxRequests, "max_retries": b.MaxRetries})
		}
		statuses = append(statuses, map[string]any{"name": name, "observability_name": c.Config.StatName, "host_statuses": hosts,
			"circuit_breakers": map[string]any{"thresholds": thresholds}})
	}
	writeJSON(w, map[string]any{"cluster_statuses": statuses})
}
