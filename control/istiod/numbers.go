package istiod

import (
	"bufio"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// shortTypes are kinds of resources in the words of Istio's numbers.
var shortTypes = [server.Kinds]string{server.Clusters: "cds", server.Endpoints: "eds", server.Listeners: "lds", server.Routes: "rds", server.VirtualHosts: "vhds",
	server.Secrets: "sds", server.Extensions: "ecds", server.Names: "nds"}

// own is a kind in the words of our own numbers.
func own(k int) string { return strings.ReplaceAll(server.Kind(k).String(), " ", "_") }

// maxVersions bounds by how many versions proxies are told apart: whoever connects says his own. The rest are "other".
const maxVersions = 20

// Upper bounds of Istio's histograms, in seconds and in bytes.
var (
	pushLimits     = []float64{.01, .1, 1, 3, 5, 10, 20, 30}
	convergeLimits = []float64{.1, .5, 1, 3, 5, 10, 20, 30}
	sizeLimits     = []float64{1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000}
)

// registry are the kinds that Istio counts as a registry's, with their names there.
var registry = map[source.Kind]string{source.Service: "Services", source.EndpointSlice: "EndpointSlice", source.Pod: "Pods", source.Node: "Nodes"}

// reading is what is known at one time, out of which Istio's numbers are made.
type reading struct {
	samples map[string]telemetry.Sample
	tally   push.Tally
	// services and virtual are how many services and VirtualServices there are.
	services, virtual int
	// outbound is how many ports of services get no connections, since another service has them, and inbound how many of workloads are taken for what another says.
	outbound, inbound int
	local, remote     int // clusters
	version           string
	until             func() (root, chain time.Time)
	now               time.Time
	machine           machine
}

// sum adds up numbers of our own. One whose part of weftd does not run is 0.
func (r *reading) sum(names ...string) (n float64) {
	for _, name := range names {
		n += float64(r.samples[name].Value)
	}
	return n
}

// family is one of Istio's numbers.
type family struct {
	name, kind, help string
	put              func(*reading, *lines)
}

// plain is one without labels.
func plain(name, kind, help string, value func(*reading) float64) family {
	return family{name, kind, help, func(r *reading, l *lines) { l.value("", value(r)) }}
}

// counted is one without labels that is a number of our own.
func counted(name, help string, own ...string) family {
	return plain(name, "counter", help, func(r *reading) float64 { return r.sum(own...) })
}

// families are those of Istio's numbers that its dashboards read, or people's alerts, and that mean something here.
func families() []family {
	list := []family{
		{"istio_build", "gauge", "1, with the version of this program", func(r *reading, l *lines) {
			l.value(telemetry.Label("component", "pilot")+","+telemetry.Label("tag", r.version), 1)
		}},
		{"pilot_info", "gauge", "1, with the version of this program", func(r *reading, l *lines) { l.value(telemetry.Label("version", r.version), 1) }},
		{"pilot_xds", "gauge", "streams of proxies, by the version of Istio that they say", putVersions},
		{"pilot_xds_pushes", "counter", "responses, by type", func(r *reading, l *lines) {
			for k, short := range shortTypes {
				l.value(telemetry.Label("type", short), r.sum("xds."+own(k)+"_responses", "xds_secure."+own(k)+"_responses"))
			}
		}},
		{"pilot_xds_push_time", "histogram", "seconds from a change to when it is on its way to every proxy", func(r *reading, l *lines) {
			l.histogram(pushLimits, 1000, r.samples["push.computed"].Spread)
		}},
		{"pilot_proxy_convergence_time", "histogram", "seconds from a change until a proxy has taken all of it", func(r *reading, l *lines) {
			l.histogram(convergeLimits, 1000, r.samples["push.answered"].Spread)
		}},
		{"pilot_xds_config_size_bytes", "histogram", "bytes of responses", func(r *reading, l *lines) {
			l.histogram(sizeLimits, 1, r.samples["xds.response_bytes"].Spread, r.samples["xds_secure.response_bytes"].Spread)
		}},
		counted("pilot_total_xds_internal_errors", "views of proxies that could not be made", "push.failures_total"),
		{"pilot_total_xds_rejects", "counter", "responses that proxies have refused, by type", func(r *reading, l *lines) {
			for k, short := range shortTypes {
				l.value(telemetry.Label("type", short), r.sum("push."+own(k)+"_nacks"))
			}
		}},
		counted("pilot_xds_expired_nonce", "answers of proxies to what is not waited for", "xds.requests_stale", "xds_secure.requests_stale"),
		counted("pilot_xds_write_timeout", "streams that did not read in time", "xds_connections.stuck", "xds_secure_connections.stuck"),
		{"istiod_managed_clusters", "gauge", "clusters that are followed: the first, and others", func(r *reading, l *lines) {
			l.value(telemetry.Label("cluster_type", "local"), float64(r.local))
			l.value(telemetry.Label("cluster_type", "remote"), float64(r.remote))
		}},
		counted("remote_cluster_sync_timeouts_total", "other clusters that were waited for at the start, and no longer", "clusters.late_total"),
		plain("pilot_services", "gauge", "services", func(r *reading) float64 { return float64(r.services) }),
		plain("pilot_virt_services", "gauge", "VirtualServices", func(r *reading) float64 { return float64(r.virtual) }),
		plain("pilot_conflict_outbound_listener_tcp_over_current_tcp", "gauge", "ports of services that get no connections, since another service that everybody sees has their addresses", func(r *reading) float64 { return float64(r.outbound) }),
		plain("pilot_conflict_inbound_listener", "gauge", "ports of services that workloads take for what an older service says of them", func(r *reading) float64 { return float64(r.inbound) }),
		{"pilot_push_triggers", "counter", "rounds of telling, by what set them off", func(r *reading, l *lines) {
			for _, what := range push.TriggerNames {
				l.value(telemetry.Label("type", what), r.sum("events.trigger."+what))
			}
		}},
		{"pilot_k8s_cfg_events", "counter", "what has become of objects of Istio's kinds, whatever source they are from", func(r *reading, l *lines) {
			for k := source.VirtualService; k <= source.WasmPlugin; k++ {
				l.events(r, k, k.String())
			}
		}},
		{"pilot_k8s_reg_events", "counter", "what has become of Services and what serves them", func(r *reading, l *lines) {
			for _, k := range slices.Sorted(maps.Keys(registry)) {
				l.events(r, k, registry[k])
			}
		}},
		counted("galley_validation_passed", "objects that were sent to weftd, or that an API server has asked about, and that are right", "console.objects_right", "webhook.validated_total"),
		counted("galley_validation_failed", "those that are not", "console.objects_wrong", "webhook.validation_refused_total"),
		counted("sidecar_injection_success_total", "pods that got a sidecar", "webhook.injected_total"),
		counted("sidecar_injection_skip_total", "pods that get none", "webhook.injection_skipped_total"),
		counted("sidecar_injection_failure_total", "pods that were refused", "webhook.injection_refused_total"),
		counted("auto_registration_success_total", "WorkloadEntries of machines that have registered themselves", "register.created_total"),
		counted("auto_registration_updates_total", "those whose machine has come back, or is well or not any more", "register.updated_total"),
		counted("auto_registration_unregister_total", "those whose machine's last stream has ended", "register.disconnected_total"),
		counted("auto_registration_deletes_total", "those that were taken away after their time", "register.deleted_total"),
		counted("auto_registration_errors_total", "proxies that may not register, and attempts to write that have failed", "register.refused_total", "register.failures_total"),
		counted("citadel_server_csr_count", "requests for certificates", "ca.requests_total"),
		counted("citadel_server_authentication_failure_count", "requests for certificates by callers that have not shown who they are", "ca.requests_unproven"),
		counted("citadel_server_csr_parsing_err_count", "requests for certificates that cannot be read", "ca.requests_broken"),
		counted("citadel_server_csr_sign_err_count", "requests for certificates that were right and not granted", "ca.requests_unsigned", "ca.signer_answers_unfitting"),
		counted("citadel_server_success_cert_issuance_count", "certificates that were issued", "ca.issued_total"),
		expiry("citadel_server_root_cert_expiry_timestamp", "when the root ends, in seconds since 1970", func(_ time.Time, root, _ time.Time) float64 { return float64(root.Unix()) }),
		expiry("citadel_server_root_cert_expiry_seconds", "how many seconds are left of the root", func(now, root, _ time.Time) float64 { return root.Sub(now).Seconds() }),
		expiry("citadel_server_cert_chain_expiry_timestamp", "when the first certificate up to the root ends, in seconds since 1970", func(_, _, chain time.Time) float64 { return float64(chain.Unix()) }),
		expiry("citadel_server_cert_chain_expiry_seconds", "how many seconds are left of the first of those", func(now, _, chain time.Time) float64 { return chain.Sub(now).Seconds() }),
	}
	for _, k := range []server.Kind{server.Clusters, server.Endpoints, server.Listeners, server.Routes} {
		list = append(list, plain("pilot_xds_"+shortTypes[k]+"_reject", "gauge", k.String()+" that proxies do not take as they are, now", func(r *reading) float64 { return float64(r.tally.Refused[k]) }))
	}
	return append(list, machineFamilies()...)
}

// expiry is one about an authority: nothing is said where there is none.
func expiry(name, help string, value func(now, root, chain time.Time) float64) family {
	return family{name, "gauge", help, func(r *reading, l *lines) {
		if r.until != nil {
			root, chain := r.until()
			l.value("", value(r.now, root, chain))
		}
	}}
}

func putVersions(r *reading, l *lines) {
	names := slices.SortedFunc(maps.Keys(r.tally.Versions), func(a, b string) int {
		if d := r.tally.Versions[b] - r.tally.Versions[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	other := 0
	for i, name := range names {
		if i >= maxVersions {
			other += r.tally.Versions[name]
			continue
		}
		l.value(telemetry.Label("version", name), float64(r.tally.Versions[name]))
	}
	if other > 0 {
		l.value(telemetry.Label("version", "other"), float64(other))
	}
}

// conflicts are how many ports of services are another one's. They are found once for the services of a mesh: whoever asks for the numbers again and again
// would have that take a second each time of 5,000 services in 64 clusters, and nobody asks who that is.
type conflicts struct {
	mu                sync.Mutex // is held while they are found, by one of those who ask
	services          weak.Pointer[mesh.Services]
	clusters          []string
	outbound, inbound int
}

func (c *conflicts) of(m *mesh.Mesh) (outbound, inbound int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.services.Value() != m.Services || !slices.Equal(c.clusters, m.Clusters()) {
		c.services, c.clusters = weak.Make(m.Services), m.Clusters()
		c.outbound, c.inbound = len(translate.OutboundConflicts(m)), len(translate.InboundConflicts(m))
	}
	return c.outbound, c.inbound
}

// WriteNumbers writes them as Prometheus reads them.
func (f *Face) WriteNumbers(w io.Writer) error {
	r := &reading{samples: map[string]telemetry.Sample{}, tally: f.Push.Tally(), version: f.Version, until: f.Until, now: time.Now(), machine: readMachine()}
	for _, s := range f.Stats.Read(telemetry.Filter{}) {
		r.samples[s.Name] = s
	}
	for _, c := range f.Clusters() {
		if c.First {
			r.local++
		} else {
			r.remote++
		}
	}
	if m := f.Push.Mesh(); m != nil {
		r.services, r.virtual = m.Services.Len(), m.Objects(source.VirtualService).Len()
		r.outbound, r.inbound = f.conflicts.of(m)
	}
	return write(w, r)
}

func write(w io.Writer, r *reading) error {
	l := &lines{w: bufio.NewWriter(w)}
	for _, one := range families() {
		l.family = one.name
		l.w.WriteString("# HELP " + one.name + " " + one.help + "\n# TYPE " + one.name + " " + one.kind + "\n")
		one.put(r, l)
	}
	return l.w.Flush()
}

// lines are those of a family.
type lines struct {
	w      *bufio.Writer
	family string
}

func (l *lines) value(labels string, v float64) { l.line("", labels, v) }

func (l *lines) line(suffix, labels string, v float64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	l.w.WriteString(l.family + suffix + labels + " " + number(v) + "\n")
}

func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// histogram adds up spreads whose values are a number of times those of the limits.
func (l *lines) histogram(limits []float64, times float64, spreads ...*telemetry.Quantiles) {
	var count, sum uint64
	below := make([]uint64, len(limits))
	for _, q := range spreads {
		if q == nil {
			continue
		}
		count, sum = count+q.Count, sum+q.Sum
		for i, limit := range limits {
			below[i] += q.Below(limit * times)
		}
	}
	for i, limit := range limits {
		l.line("_bucket", telemetry.Label("le", number(limit)), float64(below[i]))
	}
	l.line("_bucket", telemetry.Label("le", "+Inf"), float64(count))
	l.line("_sum", "", float64(sum)/times)
	l.line("_count", "", float64(count))
}

// events are what has become of objects of a kind. A kind that there never was is left out.
func (l *lines) events(r *reading, k source.Kind, name string) {
	for _, what := range push.EventNames {
		if n := r.sum("events." + k.String() + "." + what); n > 0 {
			l.value(telemetry.Label("event", what)+","+telemetry.Label("type", name), n)
		}
	}
}
