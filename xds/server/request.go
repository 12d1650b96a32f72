package server

import (
	"slices"
	"strings"
	"unique"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// request is what a proxy says, in either variant.
type request struct {
	node        *corev3.Node
	url         string
	nonce       string
	refusal     string   // why the response of that nonce is turned down
	names       []string // all that are wanted, over the state of the world; those that are wanted from now on, of a delta
	unsubscribe []string // of a delta
	versions    map[string]string
}

// unsaid stands for a reason that a proxy did not give.
const unsaid = "the proxy did not say why"

// maxRefusal bounds, in bytes, how much of a proxy's reason is kept.
const maxRefusal = 4 << 10

func read(stream grpc.ServerStream, v variant) (*request, error) {
	r := &request{}
	if v == delta {
		var m discoveryv3.DeltaDiscoveryRequest
		if err := stream.RecvMsg(&m); err != nil {
			return nil, err
		}
		r.from(m.Node, m.TypeUrl, m.ResponseNonce, m.ErrorDetail)
		r.names, r.unsubscribe, r.versions = m.ResourceNamesSubscribe, m.ResourceNamesUnsubscribe, m.InitialResourceVersions
		return r, nil
	}
	var m discoveryv3.DiscoveryRequest
	if err := stream.RecvMsg(&m); err != nil {
		return nil, err
	}
	r.from(m.Node, m.TypeUrl, m.ResponseNonce, m.ErrorDetail)
	r.names = m.ResourceNames
	return r, nil
}

// from takes what both variants have.
func (r *request) from(node *corev3.Node, url, nonce string, refusal *rpcstatus.Status) {
	r.node, r.url, r.nonce = node, url, nonce
	if refusal == nil {
		return
	}
	if r.refusal = refusal.Message; r.refusal == "" {
		r.refusal = unsaid
	}
	if len(r.refusal) > maxRefusal {
		r.refusal = strings.ToValidUTF8(r.refusal[:maxRefusal], "") + " (more was said)"
	}
}

// What one stream may ask for: names of all kinds together, and their bytes.
const (
	maxNames     = 100_000
	maxNameBytes = 8 << 20
)

// star asks for all that there is.
const star = "*"

// names are a set of names, sorted. The strings of many proxies that ask for the same are one.
type names []string

func (n names) has(name string) bool {
	_, ok := slices.BinarySearch(n, name)
	return ok
}

// set makes names of what was asked for, and says whether all is.
func set(list []string) (n names, all bool) {
	n = make(names, 0, len(list))
	for _, name := range list {
		if name == star {
			all = true
			continue
		}
		n = append(n, unique.Make(name).Value())
	}
	if !slices.IsSorted(n) {
		slices.Sort(n)
	}
	return slices.Clip(slices.Compact(n)), all
}

// with is both sets together.
func (n names) with(more names) names {
	if len(n) == 0 {
		return more
	}
	if len(more) == 0 {
		return n
	}
	out := make(names, 0, len(n)+len(more))
	out = append(append(out, n...), more...)
	slices.Sort(out)
	return slices.Compact(out)
}

// without is the set less another.
func (n names) without(less names) names {
	if len(n) == 0 || len(less) == 0 {
		return n
	}
	out := make(names, 0, len(n))
	for _, name := range n {
		if !less.has(name) {
			out = append(out, name)
		}
	}
	return out
}

func (n names) bytes() (sum int) {
	for _, name := range n {
		sum += len(name)
	}
	return sum
}

// tooMany says that a stream asks for more than one may.
func tooMany(count, bytes int) error {
	return status.Errorf(codes.ResourceExhausted, "this stream asks for %d names of %d bytes: a stream may ask for %d names of %d bytes", count, bytes, maxNames, maxNameBytes)
}
