package translate

import (
	"fmt"
	"net/http"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
	"github.com/weftmesh/weft/control/source"
)

// Requests become calls of Dubbo in three places: a filter before the router, what a route says to it, and a mark of the clusters whose endpoints speak Dubbo. All three are told to weft alone.
const (
	filterCalls   = "weft.filters.http.dubbo"
	upstreamCalls = "weft.upstreams.dubbo"
)

// callsFilter sees the requests of routes that say something to it, and no others. It is there whether or not there is such a route, and so is the mark: else listeners and clusters would change with the first and the last
// one, and requests of that moment would go as HTTP to who speaks Dubbo.
func callsFilter() *hcmv3.HttpFilter {
	f := httpFilter(filterCalls, &dubbov1.HTTP{})
	f.Disabled = true
	return f
}

// callsOf is what a route says to the filter. Names of headers are in small letters, as HTTP/2 has them: attachments are told apart by them.
func callsOf(d *source.DubboCalls) *dubbov1.HTTP {
	s := &dubbov1.HTTPService{Interface: d.Service, Version: d.Version, Group: d.Group}
	for i := range d.Methods {
		m := &d.Methods[i]
		one := &dubbov1.HTTPMethod{Name: m.ServiceMethod, Path: m.HTTPPath, HttpMethods: m.HTTPMethods}
		for _, name := range m.Attached() {
			one.Attach = append(one.Attach, strings.ToLower(name))
		}
		if body := m.ParamFromEntireBody; body != nil {
			one.Parameters = []*dubbov1.HTTPParameter{{Type: body.ParamType, From: &dubbov1.HTTPParameter_Body{Body: true}}}
		} else {
			for _, p := range m.Params {
				one.Parameters = append(one.Parameters, parameterOf(p))
			}
		}
		s.Methods = append(s.Methods, one)
	}
	return &dubbov1.HTTP{Services: []*dubbov1.HTTPService{s}}
}

func parameterOf(said source.DubboCallParam) *dubbov1.HTTPParameter {
	p := &dubbov1.HTTPParameter{Type: said.ParamType}
	switch said.ParamSource {
	case source.FromQuery:
		p.From = &dubbov1.HTTPParameter_Query{Query: said.ParamKey}
	case source.FromHeader:
		p.From = &dubbov1.HTTPParameter_Header{Header: strings.ToLower(said.ParamKey)}
	case source.FromPath:
		p.From = &dubbov1.HTTPParameter_Segment{Segment: said.ParamKey}
	default: // source.FromBody: others are refused
		if p.From = (&dubbov1.HTTPParameter_Field{Field: said.ParamKey}); said.ParamKey == "" {
			p.From = &dubbov1.HTTPParameter_Body{Body: true}
		}
	}
	return p
}

// markCalls says that the endpoints of a cluster speak Dubbo, also to requests.
func markCalls(c *clusterv3.Cluster) {
	if c.TypedExtensionProtocolOptions == nil {
		c.TypedExtensionProtocolOptions = map[string]*anypb.Any{}
	}
	c.TypedExtensionProtocolOptions[upstreamCalls] = wrap(&dubbov1.Upstream{})
}

// noCalls is what a proxy that is not weft answers: it would send HTTP to who speaks Dubbo.
func noCalls() *routev3.DirectResponseAction {
	return &routev3.DirectResponseAction{Status: http.StatusNotImplemented, Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
		InlineString: "requests of this route become calls of Dubbo, which this proxy does not make: only weft does\n",
	}}}
}

// calls says which routes only weft runs.
func (c *checking) calls(more *source.VirtualServiceMore, routes int) {
	for i := range routes {
		if more.Calls(i) != nil {
			c.warn(fmt.Sprintf("spec.http[%d].dubbo", i), "an Envoy that is not weft makes no calls of requests: it answers them with %d", http.StatusNotImplemented)
		}
	}
}
