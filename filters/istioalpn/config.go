package istioalpn

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	alpnv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
)

// settings are what is offered, by the version that is spoken to the cluster; nil: what the cluster says.
type settings [versions]*tls.Offer

const versions = int(http.HTTP2) + 1

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:   "istio.alpn",
		Type:   "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
		Decode: func(wire []byte) (any, error) { return read(wire) },
		Hooks:  filters.OnRequestHeaders,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{offers: c.(*settings)} }
		},
	}
}

// Bounds of an offer. TLS has room for 64 KiB of it (RFC 7301 §3.1).
const (
	maxProtocols = 32
	maxProtocol  = 255 // bytes
)

var spoken = map[alpnv3.FilterConfig_Protocol]http.Version{
	alpnv3.FilterConfig_HTTP10: http.HTTP10,
	alpnv3.FilterConfig_HTTP11: http.HTTP11,
	alpnv3.FilterConfig_HTTP2:  http.HTTP2,
}

func read(wire []byte) (*settings, error) {
	var m alpnv3.FilterConfig
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{}
	seen := [versions]bool{}
	for i, o := range m.GetAlpnOverride() {
		v := spoken[o.GetUpstreamProtocol()]
		list := o.GetAlpnOverride()
		if len(list) > maxProtocols {
			return nil, fmt.Errorf("alpn_override[%d].alpn_override: %d protocols: want %d at most", i, len(list), maxProtocols)
		}
		for j, name := range list {
			// A control character would be taken for what keeps two protocols apart.
			if name == "" || len(name) > maxProtocol || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
				return nil, fmt.Errorf("alpn_override[%d].alpn_override[%d]: a protocol has a name of 1 to %d bytes, none of them a control character", i, j, maxProtocol)
			}
		}
		if seen[v] { // of two that are for the same the first holds, as in Istio's filter
			continue
		}
		if seen[v] = true; len(list) > 0 {
			s[v] = tls.NewOffer(list)
		}
	}
	return s, nil
}
