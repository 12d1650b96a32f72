package xds

import (
	"fmt"
	"syscall"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/weftmesh/weft/config"
)

// sidecarCluster is a cluster as istiod sends it for a service with automatic mTLS.
func sidecarCluster(t testing.TB, i int) (name string, wire []byte) {
	name = fmt.Sprintf("outbound|80||service-%d.namespace-%d.svc.cluster.local", i, i%20)
	return name, fromYAML(t, fmt.Sprintf(`
name: %[1]q
type: EDS
eds_cluster_config: {eds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}, service_name: %[1]q}
connect_timeout: 10s
lb_policy: LEAST_REQUEST
circuit_breakers: {thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295, track_remaining: true}]}
common_lb_config: {locality_weighted_lb_config: {}}
metadata: {filter_metadata: {istio: {services: [{host: service-%[2]d.namespace.svc.cluster.local, name: service-%[2]d, namespace: n}]}}}
transport_socket_matches:
- name: tlsMode-istio
  match: {tlsMode: istio}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: %[1]q
      common_tls_context:
        alpn_protocols: [istio-peer-exchange, istio]
        tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}
        tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}, initial_fetch_timeout: 0s}}]
        combined_validation_context:
          default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/n/sa/s-%[2]d"}}]}
          validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}, initial_fetch_timeout: 0.001s}}
- {name: tlsMode-disabled, match: {}, transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}
`, name, i), &clusterv3.Cluster{})
}

// BenchmarkSidecar is what a sidecar does with 3,000 services: reads them for the first time, gets all of them again with one that is
// another, and gets other endpoints of one.
func BenchmarkSidecar(b *testing.B) {
	const services = 3000
	w := &truth{map[resourceKey][]byte{}, map[resourceKey][]byte{}}
	var clusters []resourceKey
	size := 0
	for i := range services {
		name, wire := sidecarCluster(b, i)
		w.now[resourceKey{Clusters, name}], w.now[resourceKey{Endpoints, name}] = wire, assignmentWire(b, name, 1)
		clusters = append(clusters, resourceKey{Clusters, name})
		size += len(wire)
	}
	serve := func(*config.Snapshot) error { return nil }
	// used is the processor's time so far, which counts on a machine that does other things, too.
	used := func() (ms float64) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
	}
	b.Run("first", func(b *testing.B) {
		b.ReportMetric(float64(size)/1e6, "MB")
		before := used()
		for b.Loop() {
			w.told = map[resourceKey][]byte{}
			f := stageADS(b)
			f.advance(serve)
			w.tell(f, clusters...)
			f.advance(serve)
			w.rest(f, serve)
		}
		b.ReportMetric((used()-before)/float64(b.N), "cpu-ms/op")
	})
	w.told = map[resourceKey][]byte{}
	f := stageADS(b)
	f.advance(serve)
	w.rest(f, serve)
	n := 0
	b.Run("all again, one is another", func(b *testing.B) {
		before := used()
		for b.Loop() {
			n++
			name := clusters[7].name
			w.now[clusters[7]] = clusterWire(b, name, n%2)
			w.tell(f, clusters...)
			f.advance(serve)
		}
		b.ReportMetric((used()-before)/float64(b.N), "cpu-ms/op")
	})
	b.Run("endpoints of one", func(b *testing.B) {
		before := used()
		for b.Loop() {
			n++
			key := resourceKey{Endpoints, clusters[9].name}
			w.now[key] = assignmentWire(b, key.name, n%2)
			w.tell(f, key)
			f.advance(serve)
		}
		b.ReportMetric((used()-before)/float64(b.N), "cpu-ms/op")
	})
}
