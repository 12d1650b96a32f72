package load

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/weftmesh/weft/config"
)

// Cluster is what has been counted of one, since it is there.
type Cluster struct {
	Name      string
	Service   string // as its endpoints are asked for; empty: by the cluster's name
	Endpoints []Endpoint
	ID        any    // tells apart what began to count anew
	Dropped   uint64 // requests that were refused by a limit, or to spare the endpoints
	Spared    uint64 // of those, to spare the endpoints
	Category  string // of these, as the endpoints' source calls it
}

// Endpoint is what has been counted of one, since it is there.
type Endpoint struct {
	ID                        any // tells apart what began to count anew
	Address                   config.Address
	Locality                  config.Locality
	Priority                  uint8
	Issued, Succeeded, Failed uint64
	Active                    uint64 // now
}

// followed is what is known of a cluster that is reported.
type followed struct {
	since     time.Time // the last report
	id        any
	dropped   uint64
	spared    uint64
	endpoints map[any]Endpoint // as they were then
}

// follow begins a period: what is counted so far is not told.
func (f *followed) follow(c *Cluster) {
	f.id, f.dropped, f.spared = c.ID, c.Dropped, c.Spared
	f.endpoints = make(map[any]Endpoint, len(c.Endpoints))
	for _, e := range c.Endpoints {
		f.endpoints[e.ID] = e
	}
}

// place is a locality at a priority.
type place struct {
	locality config.Locality
	priority uint8
}

// report tells what a cluster's numbers have grown by. Localities of which there is nothing to tell are left out.
func (f *followed) report(c *Cluster, now time.Time, each bool) *endpointv3.ClusterStats {
	out := &endpointv3.ClusterStats{ClusterName: c.Name, ClusterServiceName: c.Service, LoadReportInterval: durationpb.New(now.Sub(f.since).Truncate(time.Microsecond))}
	localities := map[place]*endpointv3.UpstreamLocalityStats{}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		was := f.endpoints[e.ID] // of a new one, nothing
		issued, succeeded, failed := e.Issued-was.Issued, e.Succeeded-was.Succeeded, e.Failed-was.Failed
		if issued+succeeded+failed+e.Active == 0 {
			continue
		}
		at := place{e.Locality, e.Priority}
		l := localities[at]
		if l == nil {
			l = &endpointv3.UpstreamLocalityStats{Locality: &corev3.Locality{Region: e.Locality.Region, Zone: e.Locality.Zone, SubZone: e.Locality.SubZone}, Priority: uint32(e.Priority)}
			localities[at] = l
			out.UpstreamLocalityStats = append(out.UpstreamLocalityStats, l)
		}
		l.TotalIssuedRequests += issued
		l.TotalSuccessfulRequests += succeeded
		l.TotalErrorRequests += failed
		l.TotalRequestsInProgress += e.Active
		if each {
			l.UpstreamEndpointStats = append(l.UpstreamEndpointStats, &endpointv3.UpstreamEndpointStats{Address: address(e.Address),
				TotalIssuedRequests: issued, TotalSuccessfulRequests: succeeded, TotalErrorRequests: failed, TotalRequestsInProgress: e.Active})
		}
	}
	dropped, spared := f.dropped, f.spared
	if f.id != c.ID {
		dropped, spared = 0, 0
	}
	out.TotalDroppedRequests = c.Dropped - dropped
	if n := c.Spared - spared; n > 0 {
		out.DroppedRequests = []*endpointv3.ClusterStats_DroppedRequests{{Category: c.Category, DroppedCount: n}}
	}
	f.follow(c)
	f.since = now
	return out
}

func address(a config.Address) *corev3.Address {
	if a.Path != "" {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: a.Path}}}
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: a.AddrPort.Addr().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.AddrPort.Port())}}}}
}
