package decode

import (
	"slices"

	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/common/workload_discovery/v3" // so that it can be named
	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"          // likewise
	metadataexchange "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3" // likewise
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/mongo_proxy/v3" // likewise
)

// Harmless is an extension that is accepted and not run, because whoever sends traffic cannot tell.
type Harmless struct {
	Message string // in full
	Where   string // it may stand
	Why     string
	// Seen says that the real Envoy was run with and without it, in test/istio; else it is Istio's own, which a stock Envoy does not know, and
	// Why is the whole argument.
	Seen bool
}

// Where harmless extensions may stand.
const (
	inBootstrap = "bootstrap_extensions"
	inNetwork   = "filters of a filter chain"
	inCluster   = "filters of a cluster"
	inHTTP      = "http_filters"
)

// Reasons that several say.
const (
	listensWithin    = "it lets listeners be internal, and those are refused where they are configured"
	asksForWorkloads = "it has workloads told by a control plane for metrics; peers say who they are in headers, and that is read"
	neverExchanged   = "istio-peer-exchange is neither offered nor chosen by ALPN, so no peer begins with the preamble that it reads and writes"
	countsLater      = "it counts requests and connections and changes nothing about them; its numbers come with Istio's metrics"
	readsMongo       = "it watches what is said and passes all of it on; its numbers are not kept"
)

// harmlessList is all there are. Anything that is not on it and not run is refused.
var harmlessList = []Harmless{
	{"envoy.extensions.bootstrap.internal_listener.v3.InternalListener", inBootstrap, listensWithin, true},
	{"istio.workload.BootstrapExtension", inBootstrap, asksForWorkloads, false},
	{"envoy.tcp.metadataexchange.config.MetadataExchange", inNetwork, neverExchanged, false},
	{"envoy.tcp.metadataexchange.config.MetadataExchange", inCluster, neverExchanged, false},
	{"stats.PluginConfig", inNetwork, countsLater, false},
	{"stats.PluginConfig", inHTTP, countsLater, false},
	{"envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy", inNetwork, readsMongo, true},
}

// HarmlessExtensions lists them, for the tests that hold the list to its word and for docs/support.md.
func HarmlessExtensions() []Harmless { return slices.Clone(harmlessList) }

// harmlessAt are the messages that may stand somewhere.
func harmlessAt(where string) (messages []string) {
	for _, h := range harmlessList {
		if h.Where == where {
			messages = append(messages, h.Message)
		}
	}
	return messages
}

// harmlessIn is an Any in which nothing but harmless extensions may be.
func harmlessIn(where string) field { return extension(harmlessAt(where)...) }

// isHarmlessAt tells whether a message is on the list for a place.
func isHarmlessAt(where, message string) bool { return slices.Contains(harmlessAt(where), message) }

// peerExchange is the one protocol whose preamble peers are spared, since it is left out of what TLS offers and chooses.
const peerExchange = "istio-peer-exchange"

// exchange refuses an exchange of metadata over a protocol that may be chosen: its peers would then send what nobody here reads.
func (s *session) exchange(m *metadataexchange.MetadataExchange, p *at) {
	if m.GetProtocol() != peerExchange {
		s.problem(p.field("protocol"), "not supported: %q: want %s, which is never chosen", m.GetProtocol(), peerExchange)
	}
}
