package scenarios

import (
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/plane"
	"github.com/weftmesh/weft/bench/upstream"
)

// All is the list. The numbers asked are those of the engine's design: what its prototype reached
// beside these rivals, with room for everything the prototype did not do.
func All() []Scenario {
	return []Scenario{
		{"http1-1k-c64", "HTTP/1.1 1 KiB, 64 connections", cpu(of("nginx", 0.70), of("envoy", 0.33)), get(upstream.Path1K, upstream.Size1K, 64, 0)},
		{"http1-1k-c512", "HTTP/1.1 1 KiB, 512 connections", cpu(of("nginx", 0.48), of("envoy", 0.15)), get(upstream.Path1K, upstream.Size1K, 512, 0)},
		{"http1-64k-c64", "HTTP/1.1 64 KiB, 64 connections", cpu(of("nginx", 0.60), of("envoy", 0.65)), get(upstream.Path64K, upstream.Size64K, 64, 0)},
		{"http1-1k-c1", "HTTP/1.1 1 KiB, 1 connection", cpu(of("nginx", 1.0), of("envoy", 0.40)), get(upstream.Path1K, upstream.Size1K, 1, 0)},
		{"http1-1k-4000rps", "HTTP/1.1 1 KiB, 4,000 requests a second", cpu(of("nginx", 0.75)), get(upstream.Path1K, upstream.Size1K, 64, 4000)},
		{"http1-1k-20000rps", "HTTP/1.1 1 KiB, 20,000 requests a second", cpu(of("nginx", 0.75)), get(upstream.Path1K, upstream.Size1K, 64, 20000)},
		{"tcp-1k-c64", "TCP ping-pong 1 KiB, 64 connections", cpu(of("haproxy", 1.0), of("envoy", 0.75)), pingpong(upstream.Size1K, 64)},
		{"tcp-64k-c64", "TCP 64 KiB answers, 64 connections", cpu(of("haproxy", 0.65), of("envoy", 1.0)), pingpong(upstream.Size64K, 64)},
		{"memory-start", "Just started", one("resident memory", "MiB", atMost(30)), atStart{}},
		{"memory-connections", "5,000 idle keep-alive connections", one("resident memory per connection", "KiB", atMost(1.5)), perConnection{conns: 5000}},
		{"clusters", "2,000 static clusters with one endpoint", []Measure{
			{"resident memory per cluster", "KiB", []Target{atMost(6)}},
			{"ready after", "s", []Target{atMost(0.5)}},
		}, perCluster{clusters: 2000}},
		{"idle", "Idle after a request", []Measure{
			{"context switches", "/s", []Target{atMost(0)}},
			{"CPU", "µs/s", []Target{atMost(0)}},
		}, atRest{}},
		{"tls-handshake-rsa", "Full TLS 1.3 handshakes, RSA-2048, X25519, 64 at once", one("CPU per handshake", "µs", of("nginx", 0.75), of("envoy", 0.5)), shaking("rsa", x25519, 64)},
		{"tls-handshake-rsa-mlkem", "Full TLS 1.3 handshakes, RSA-2048, X25519MLKEM768 where there is one, 64 at once", one("CPU per handshake", "µs"), shaking("rsa", 0, 64)},
		{"tls-handshake-p256", "Full TLS 1.3 handshakes, P-256, X25519, 64 at once", one("CPU per handshake", "µs", of("nginx", 1.1)), shaking("p256", x25519, 64)},
		{"https-1k-c64", "HTTPS 1 KiB, 64 connections", cpu(of("nginx", 0.70), of("envoy", 0.35)), https(upstream.Path1K, upstream.Size1K, 64)},
		{"https-64k-c16", "HTTPS 64 KiB, 16 connections", cpu(of("nginx", 0.75), of("envoy", 0.65)), https(upstream.Path64K, upstream.Size64K, 16)},
		{"memory-tls-connections", "1,000 idle TLS connections that made a request", one("resident memory per connection", "KiB", atMost(16)), perSecureConnection{conns: 1000}},
		{"tls-rotation", "A certificate and a root replaced every second for 30 s, under load", one("lost", "requests and handshakes", atMost(0)), rotated{seconds: 30}},
		{"h2-1k-c8m32", "HTTP/2 GET 1 KiB, 8 connections, 32 streams each", cpu(of("haproxy", 0.75), of("envoy", 0.25)), streams(load.HTTP2, upstream.Path1K, upstream.Size1K, 8, 32)},
		{"h2-1k-c8m1", "HTTP/2 GET 1 KiB, 8 connections, 1 stream each", cpu(of("haproxy", 0.90), of("envoy", 0.45)), streams(load.HTTP2, upstream.Path1K, upstream.Size1K, 8, 1)},
		{"grpc-unary-c8m32", "gRPC unary 100 B, 8 connections, 32 calls each", cpu(of("haproxy", 0.45), of("envoy", 0.25)), streams(load.GRPC, upstream.PathUnary, upstream.MessageSize, 8, 32)},
		{"grpc-unary-c8m1", "gRPC unary 100 B, 8 connections, 1 call each", cpu(of("haproxy", 0.75), of("envoy", 0.40)), streams(load.GRPC, upstream.PathUnary, upstream.MessageSize, 8, 1)},
		{"grpc-stream-m32", "gRPC bidirectional streams, messages of 100 B, 8 connections, 32 streams each", one("CPU per message", "µs", of("envoy", 0.45)), streams(load.GRPCStream, upstream.PathStream, upstream.MessageSize, 8, 32)},
		{"h2-1g", "HTTP/2, one stream of 1 GiB after another", one("CPU per GB", "ms", of("haproxy", 1.0)), multiplexed{streams(load.HTTP2, upstream.PathBig, upstream.SizeBig, 1, 1).traffic, true}},
		{"memory-h2-connections", "1,000 idle HTTP/2 connections that made a request", one("resident memory per connection", "KiB", atMost(8)), perSharedConnection{conns: 1000}},
		{"memory-h2-unread", "10 connections of 100 streams that ask for 1 MiB each and read nothing", one("memory taken", "MB", atMost(32)), unread{conns: 10, streams: 100}},
		{"h2-resets", "8 clients of HTTP/2 while another one opens and resets 100,000 streams", []Measure{
			{"p99 beside calm", "×", []Target{atMost(2)}},
			{"p99", "ms", nil},
		}, attacked{}},
		{"dubbo-1k-c8m32", "Dubbo 2 echo 1 KiB, 8 connections, 32 calls each", []Measure{
			{"CPU per call", "µs", []Target{of("envoy", 0.40)}},
			{"CPU per call beside an HTTP/2 GET of 1 KiB, 32 at once", "×", []Target{atMost(1.3)}},
		}, called{spec: load.Spec{Protocol: load.Dubbo, Body: upstream.Size1K, Conns: 8, Streams: 32}}},
		policed("c64", "1 KiB, 64 connections", upstream.Path1K, upstream.Size1K, 64, 0),
		policed("c512", "1 KiB, 512 connections", upstream.Path1K, upstream.Size1K, 512, 0),
		policed("64k-c64", "64 KiB, 64 connections", upstream.Path64K, upstream.Size64K, 64, 0),
		policed("c1", "1 KiB, 1 connection", upstream.Path1K, upstream.Size1K, 1, 0),
		policed("4000rps", "1 KiB, 4,000 requests a second", upstream.Path1K, upstream.Size1K, 64, 4000),
		policed("20000rps", "1 KiB, 20,000 requests a second", upstream.Path1K, upstream.Size1K, 64, 20000),
		{"routes", "10,000 routes", one("time to find one beside one of ten", "µs", atMost(0.5)), manyRoutes{10_000}},
		{"rate-limit", "Local rate limit of 200 a second, 2,000 asked for over 10 s", one("admitted beside the limit", "%", atMost(1)), limited{limit: 200, seconds: 10 * time.Second}},
		{"killed", "One of two endpoints killed at 5,000 requests a second, with retries", one("failed", "requests", atMost(0)), killed{rate: 5000}},
		{"budget", "All endpoints failing, retry budget of 20 %", one("attempts", "/request", atMost(1.2)), budgeted{percent: 20}},
		{"least-request", "One of ten endpoints, with one worker each, 20 times slower, 64 connections", one("p99 with LEAST_REQUEST beside ROUND_ROBIN", "×", atMost(0.5)), slowOne{delay: 2 * time.Millisecond, endpoints: 10, slower: 20}},
		{"mesh-first", "A sidecar's first configuration: 1,000 services, 3,000 clusters with automatic mutual TLS", []Measure{
			{"ready after", "s", []Target{atMost(0.4)}},
			{"CPU", "s", []Target{atMost(0.4)}},
			{"resident memory", "MB", []Target{atMost(60)}},
		}, firstTold{plane.Shape{Services: 1000, Ports: 3}}},
		{"mesh-weight", "One weight there, while all clusters are sent again as they are", one("CPU per push", "ms", atMost(20)), retold{plane.Shape{Services: 1000, Ports: 3}, plane.OneWeight, 20}},
		{"mesh-endpoint", "One of 1,000 endpoints of one of 2,000 clusters", one("CPU per push", "ms", atMost(0.3)), retold{plane.Shape{Services: 1000, Ports: 2, Endpoints: 1000}, plane.OneEndpoint, 200}},
		{"mesh-host", "One of 1,000 virtual hosts of a table", one("CPU per push", "ms", atMost(5)), retold{plane.Shape{Services: 1000, Ports: 1}, plane.OneHost, 20}},
		{"mesh-hosts", "All 1,000 virtual hosts of a table", one("CPU per push", "ms"), retold{plane.Shape{Services: 1000, Ports: 1}, plane.AllHosts, 20}},
		{"churn", "Everything changed 20 times a second for 60 s, under HTTP/1.1, HTTP/2, HTTPS, TCP and WebSocket", untouched(atMost(1.5)), churned{last: time.Minute}},
		{"churn-wrong-order", "The same, each cluster removed before the route to it is changed", untouched(), churned{last: time.Minute, astray: true}},
		{"hot-restart", "Three processes taking one another's place, under the same traffic", untouched(), restarted{times: 3, every: 5 * time.Second}},
		{"control", "A control plane over 1,000 services, each with two subsets, four endpoints, a VirtualService and a DestinationRule, as sidecars come", []Measure{
			{"reading, CPU", "s", []Target{atMost(0.4)}},
			{"resident memory, nobody there", "MB", []Target{atMost(60)}},
			{"CPU for the first sidecar", "ms", nil},
			{"CPU for a further sidecar", "ms", []Target{atMost(12)}},
			{"resident memory, 50 sidecars", "MB", []Target{atMost(100)}},
			{"resident memory, 200 sidecars", "MB", []Target{atMost(160)}},
		}, governing{services: 1000}},
		{"control-rush", "The same, 200 sidecars at once", one("all are told after", "s", atMost(4)), rush{services: 1000, sidecars: 200}},
		{"control-weight", "One weight there, 200 sidecars that are weft", reaching(60, 60, 4), changed{services: 1000, sidecars: 200, weft: true, change: oneWeight}},
		{"control-weight-table", "One weight there, 200 sidecars that are Envoy", reaching(1500, 1500, 1500), changed{services: 1000, sidecars: 200, change: oneWeight}},
		{"control-endpoint", "One endpoint there, 200 sidecars", reaching(30, 5, 1.7), changed{services: 1000, sidecars: 200, weft: true, change: oneEndpoint}},
		{"control-rule", "One DestinationRule there, 200 sidecars", reaching(60, 60, 20), changed{services: 1000, sidecars: 200, weft: true, change: oneRule}},
		{"control-idle", "Nothing there, 200 sidecars", one("CPU", "ms/s", atMost(0.1)), resting{services: 1000, sidecars: 200}},
		{"control-certificates", "Certificates of P-256 for who shows his own", one("CPU per certificate", "µs", atMost(333)), certified{count: 5000}},
		{"control-churn", "A gateway under weftd, of whose mesh clusters, routes, weights and endpoints change 20 times a second for 60 s, under the same traffic as churn", untouched(), edited{last: time.Minute}},
		{"control-crowd", "2,000 services, 10,000 sidecars that see 20 each, by mutual TLS, under two control planes on one core; a weight of what all see", []Measure{
			{"all are told after", "s", nil},
			{"resident memory of one", "MB", []Target{atMost(1500)}},
			{"file write to the last", "ms", []Target{atMost(1000)}},
			{"CPU", "ms", nil},
			{"told each", "KB", nil},
		}, crowded{services: 2000, quarters: 100, planes: 2, sidecars: 10000}},
		{"sidecars", "Two sidecars between client and server, captured and by mutual TLS, HTTP/1.1 1 KiB, 1,000 requests a second over 16 connections", []Measure{
			{"CPU of one sidecar per request", "µs", []Target{of("envoy", 0.4)}},
			{"resident memory of one", "MB", []Target{atMost(35)}},
			{"added to the median", "µs", []Target{of("envoy", 0.6)}},
			{"added to the p99", "µs", []Target{of("envoy", 0.6)}},
		}, captured{rate: 1000, conns: 16}},
		{"sidecars-short-cuts", "The same, captured by programs, what is sent to a proxy going from socket to socket", []Measure{
			{"median beside the same without", "×", []Target{atMost(0.85)}},
			{"median", "µs", nil},
			{"p99 beside the same without", "×", nil},
		}, shortened{captured{rate: 1000, conns: 16}}},
		{"quota-0.2", "2,000 requests a second within 0.2 of a core", one("p99", "ms", of("envoy", 1.0)), quota{cores: 0.2, rate: 2000, conns: 64}},
		{"quota-0.5", "2,000 requests a second within 0.5 of a core", one("p99", "ms", of("envoy", 1.0)), quota{cores: 0.5, rate: 2000, conns: 64}},
	}
}

// untouched is what is asked of traffic while something happens: that nothing of it is lost, and how late it may be.
func untouched(late ...Target) []Measure {
	return []Measure{
		{"lost", "requests and streams", []Target{atMost(0)}},
		{"p99 of HTTP/1.1 beside calm", "×", late},
		{"p99 of HTTP/1.1", "ms", nil},
	}
}

// policed is an HTTP scenario with policies, beside itself without.
func policed(name, title, path string, body, conns int, rate float64) Scenario {
	return Scenario{"policies-" + name, "HTTP/1.1 " + title + ", with outlier detection, retries and a local rate limit",
		one("CPU per request beside without", "×", atMost(1.05)), withPolicies{spec: get(path, body, conns, rate).spec}}
}

// x25519 is the curve's number in TLS (RFC 8446 §4.2.7).
const x25519 = 0x001d

func of(rival string, times float64) Target { return Target{AtMost: times, Of: rival} }
func atMost(units float64) Target           { return Target{AtMost: units} }

func one(name, unit string, targets ...Target) []Measure {
	return []Measure{{Name: name, Unit: unit, Targets: targets}}
}

func cpu(targets ...Target) []Measure { return one("CPU per request", "µs", targets...) }

func get(path string, body, conns int, rate float64) traffic {
	return traffic{load.Spec{Protocol: load.HTTP1, Path: path, Body: body, Conns: conns, Rate: rate}}
}

func pingpong(body, conns int) traffic {
	return traffic{load.Spec{Protocol: load.TCP, Body: body, Conns: conns}}
}
