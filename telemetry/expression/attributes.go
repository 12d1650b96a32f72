package expression

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// what is the part of an entry that an object shows.
type what uint8

const (
	theRequest what = iota
	theResponse
	theConnection
	theUpstream
	theSource
	theDestination
	theConfiguration
	theState
	theMetadata // and below: messages of metadata
	theRouteMetadata
	theHostMetadata
	theClusterMetadata
	theEndpointMetadata
	theListenerMetadata
	theRequestFields // and below: fields of heads
	theResponseFields
	theTrailerFields
)

// root is a name that an expression may begin with. any has whatever names it has; later are Envoy's that are not kept here.
type root struct {
	name  string
	what  what
	names []string
	later []string
	any   bool
}

var ofTLS = []string{"tls_version", "subject_local_certificate", "subject_peer_certificate", "dns_san_local_certificate", "dns_san_peer_certificate",
	"uri_san_local_certificate", "uri_san_peer_certificate", "sha256_peer_certificate_digest", "peer_certificate"}

// roots are all of Envoy's attributes.
var roots = []root{
	{name: "request", what: theRequest, names: []string{"path", "url_path", "host", "scheme", "method", "headers", "headers_bytes", "referer", "useragent", "time", "id",
		"protocol", "query", "duration", "size", "total_size"}},
	{name: "response", what: theResponse, names: []string{"code", "code_details", "flags", "grpc_status", "headers", "headers_bytes", "trailers", "size", "total_size", "backend_latency"}},
	{name: "connection", what: theConnection, names: append([]string{"id", "mtls", "requested_server_name", "termination_details", "transport_failure_reason"}, ofTLS...)},
	{name: "upstream", what: theUpstream, names: append([]string{"address", "port", "local_address", "transport_failure_reason", "request_attempt_count"}, ofTLS...),
		later: []string{"num_endpoints", "cx_pool_ready_duration", "locality"}},
	{name: "source", what: theSource, names: []string{"address", "port"}},
	{name: "destination", what: theDestination, names: []string{"address", "port"}},
	{name: "xds", what: theConfiguration, names: []string{"cluster_name", "cluster_metadata", "route_name", "route_metadata", "virtual_host_name", "virtual_host_metadata",
		"upstream_host_metadata", "listener_metadata", "filter_chain_name"}, later: []string{"node", "listener_direction", "upstream_host_locality_metadata"}},
	{name: "metadata", what: theMetadata, names: []string{"filter_metadata"}, later: []string{"typed_filter_metadata"}},
	{name: "filter_state", what: theState, any: true},
}

// find is an attribute of the entry, or nil if it is not there.
func (o object) find(name string) ref.Val {
	e := o.entry
	switch o.what {
	case theRequest:
		return requestValue(e, name)
	case theResponse:
		return responseValue(e, name)
	case theConnection:
		switch name {
		case "id":
			return types.Uint(e.ConnectionID)
		case "mtls":
			return types.Bool(e.TLS != nil && len(e.TLS.Peer()) > 0)
		case "requested_server_name":
			return types.String(e.ServerName)
		case "termination_details":
			return some(e.Termination)
		case "transport_failure_reason":
			return some(e.Failure)
		}
		return transport(e.TLS, name)
	case theUpstream:
		switch name {
		case "address":
			return address(e.UpstreamHost, e.UpstreamPath)
		case "port":
			return port(e.UpstreamHost)
		case "local_address":
			return address(e.UpstreamLocal, "")
		case "transport_failure_reason":
			if hasUpstream(e) {
				return types.String(e.UpstreamFailure)
			}
		case "request_attempt_count":
			return types.Uint(e.Attempts)
		}
		return transport(e.UpstreamTLS, name)
	case theSource:
		return peer(name, e.Remote, e.RemotePath)
	case theDestination:
		return peer(name, e.Local, e.LocalPath)
	case theConfiguration:
		return configured(e, name)
	case theState:
		for i := range e.State {
			switch v := &e.State[i]; {
			case v.Name != name:
			case v.Fields != nil:
				return adapter.NativeToValue(v.Fields)
			default:
				return types.Bytes(v.Value)
			}
		}
	case theRequestFields, theResponseFields, theTrailerFields:
		return o.field(name)
	default:
		if name == "filter_metadata" {
			return adapter.NativeToValue(map[string]map[string]any(o.metadata()))
		}
	}
	return nil
}

// transport is what a connection's TLS tells; nil: it speaks none. Of what a certificate has several of, it is the first.
func transport(t accesslog.Transport, name string) ref.Val {
	if t == nil {
		return nil
	}
	if name == "tls_version" {
		version, _, _ := t.Agreed()
		return types.String(version)
	}
	var c *x509.Certificate
	if strings.HasSuffix(name, "_local_certificate") {
		c = t.Own()
	} else if shown := t.Peer(); len(shown) > 0 {
		c = shown[0]
	}
	if c == nil {
		if strings.HasPrefix(name, "subject_") {
			return types.String("") // as in Envoy: it is there, and nothing
		}
		return nil
	}
	switch name {
	case "subject_local_certificate", "subject_peer_certificate":
		return types.String(t.Name(c.RawSubject))
	case "dns_san_local_certificate", "dns_san_peer_certificate":
		if len(c.DNSNames) > 0 {
			return types.String(c.DNSNames[0])
		}
	case "uri_san_local_certificate", "uri_san_peer_certificate":
		if len(c.URIs) > 0 {
			return types.String(c.URIs[0].String())
		}
	case "sha256_peer_certificate_digest":
		sum := sha256.Sum256(c.Raw)
		return types.String(hex.EncodeToString(sum[:]))
	case "peer_certificate":
		return types.String(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return nil
}

func requestValue(e *accesslog.Entry, name string) ref.Val {
	switch name { // what there is without a head
	case "headers":
		return object{e, theRequestFields}
	case "time":
		return types.Timestamp{Time: e.Start}
	case "duration":
		return since(0, e.End)
	case "protocol":
		if e.HasProtocol {
			return types.String(e.Protocol.String())
		}
		return nil
	}
	r, head := e.Request, 0
	if r != nil {
		head = r.HeadSize()
	}
	switch name {
	case "headers_bytes":
		return types.Int(head)
	case "total_size":
		return types.Int(e.BytesReceived + uint64(head))
	case "size":
		if r == nil || !r.Has(http.ContentLength) {
			return types.Int(e.BytesReceived)
		}
		if n, err := strconv.ParseInt(string(r.Get(http.ContentLength)), 10, 64); err == nil {
			return types.Int(n)
		}
		return nil
	}
	if r == nil {
		return nil
	}
	switch name {
	case "path":
		return text(r.Path())
	case "url_path":
		path, _, _ := bytes.Cut(r.Path(), []byte("?"))
		return types.String(path)
	case "query":
		_, query, _ := bytes.Cut(r.Path(), []byte("?"))
		query, _, _ = bytes.Cut(query, []byte("#"))
		return types.String(query)
	case "host":
		return text(r.Authority())
	case "scheme":
		return text(r.Scheme())
	case "method":
		return text(r.Method())
	case "referer":
		return object{e, theRequestFields}.field("referer")
	case "id":
		return object{e, theRequestFields}.field("x-request-id")
	case "useragent":
		return object{e, theRequestFields}.field("user-agent")
	}
	return nil
}

func responseValue(e *accesslog.Entry, name string) ref.Val {
	head, trailers := 0, 0
	if e.Response != nil {
		head = e.Response.HeadSize()
	}
	if e.ResponseTrailers != nil {
		trailers = e.ResponseTrailers.Size()
	}
	switch name {
	case "code":
		if e.Status != 0 {
			return types.Int(e.Status)
		}
	case "code_details":
		return some(e.Details)
	case "flags":
		return types.Int(bits(e.Flags))
	case "grpc_status":
		if code, ok := e.GRPCStatus(); ok {
			return types.Int(code)
		}
	case "headers":
		return object{e, theResponseFields}
	case "trailers":
		return object{e, theTrailerFields}
	case "headers_bytes":
		return types.Int(head)
	case "size":
		return types.Int(e.BytesSent)
	case "total_size":
		return types.Int(e.BytesSent + uint64(head) + uint64(trailers))
	case "backend_latency":
		return since(e.UpstreamFirstSent, e.UpstreamEnd)
	}
	return nil
}

// configured is what the configuration calls those who had to do with it.
func configured(e *accesslog.Entry, name string) ref.Val {
	switch {
	case name == "filter_chain_name":
		return types.String(e.FilterChain)
	case name == "listener_metadata":
		return object{e, theListenerMetadata}
	case name == "cluster_name":
		return some(e.Cluster)
	case name == "cluster_metadata" && e.Cluster != "":
		return object{e, theClusterMetadata}
	case name == "upstream_host_metadata" && hasUpstream(e):
		if e.About[accesslog.OfEndpoint] == nil {
			return types.NullValue // as in Envoy: it is there, and nothing
		}
		return object{e, theEndpointMetadata}
	case name == "virtual_host_name":
		return some(e.VirtualHost)
	case name == "virtual_host_metadata" && e.VirtualHost != "":
		return object{e, theHostMetadata}
	case name == "route_name" && e.Routed:
		return types.String(e.Route)
	case name == "route_metadata" && e.Routed:
		return object{e, theRouteMetadata}
	}
	return nil
}

func (o object) metadata() config.Metadata {
	about := &o.entry.About
	switch o.what {
	case theRouteMetadata:
		return about[accesslog.OfRoute]
	case theHostMetadata:
		return about[accesslog.OfVirtualHost]
	case theClusterMetadata:
		return about[accesslog.OfCluster]
	case theEndpointMetadata:
		return about[accesslog.OfEndpoint]
	case theListenerMetadata:
		return about[accesslog.OfListener]
	}
	return o.entry.Metadata
}

func hasUpstream(e *accesslog.Entry) bool { return e.UpstreamHost.IsValid() || e.UpstreamPath != "" }

func some(s string) ref.Val {
	if s == "" {
		return nil
	}
	return types.String(s)
}

func text(b []byte) ref.Val {
	if len(b) == 0 {
		return nil
	}
	return types.String(b)
}

func since(from, to time.Duration) ref.Val {
	if from < 0 || to < 0 {
		return nil
	}
	return types.Duration{Duration: to - from}
}

func peer(name string, a netip.AddrPort, path string) ref.Val {
	switch name {
	case "address":
		return address(a, path)
	case "port":
		return port(a)
	}
	return nil
}

func address(a netip.AddrPort, path string) ref.Val {
	switch {
	case path != "":
		return types.String(path)
	case !a.IsValid():
		return nil
	}
	return types.String(a.String())
}

func port(a netip.AddrPort) ref.Val {
	if !a.IsValid() {
		return nil
	}
	return types.Int(a.Port())
}

// numbered are the flags by the places that Envoy gives them.
var numbered = [...]accesslog.Flags{accesslog.FailedLocalHealthCheck, accesslog.NoHealthyUpstream, accesslog.UpstreamRequestTimeout, accesslog.LocalReset,
	accesslog.UpstreamRemoteReset, accesslog.UpstreamConnectionFailure, accesslog.UpstreamConnectionTermination, accesslog.UpstreamOverflow, accesslog.NoRouteFound,
	accesslog.DelayInjected, accesslog.FaultInjected, accesslog.RateLimited, accesslog.Unauthorized, accesslog.RateLimitServiceError,
	accesslog.DownstreamConnectionTermination, accesslog.UpstreamRetryLimitExceeded, accesslog.StreamIdleTimeout, accesslog.InvalidEnvoyRequestHeaders,
	accesslog.DownstreamProtocolError, accesslog.UpstreamMaxStreamDurationReached, accesslog.ResponseFromCacheFilter, accesslog.NoFilterConfigFound,
	accesslog.DurationTimeout, accesslog.UpstreamProtocolError, accesslog.NoClusterFound, accesslog.OverloadManager, accesslog.DNSResolutionFailed, accesslog.DropOverload}

func bits(f accesslog.Flags) (n int64) {
	for i, flag := range numbered {
		if f&flag != 0 {
			n |= 1 << i
		}
	}
	return n
}
