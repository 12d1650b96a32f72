package stream

import (
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

const typePrefix = "type.googleapis.com/"

// maxReason bounds, in bytes, why a response is turned down.
const maxReason = 16 << 10

func reason(err string) *status.Status {
	if err == "" {
		return nil
	}
	if len(err) > maxReason {
		err = strings.ToValidUTF8(err[:maxReason], "") + "\n(more was wrong)"
	}
	return &status.Status{Code: int32(codes.InvalidArgument), Message: err}
}

func (s *Stream) node() *corev3.Node {
	if s.told && s.Once && s.Refresh == 0 { // a poll knows of none before it
		return nil
	}
	s.told = true
	return s.Node
}

// healthOf makes a request that says how the workload does. It is not a refusal, though it looks like one.
func (s *Stream) healthOf(because string) any {
	why := reason(because)
	if why != nil {
		why.Code = int32(codes.Internal)
	}
	if s.Delta {
		return &discoveryv3.DeltaDiscoveryRequest{Node: s.node(), TypeUrl: typePrefix + healthInformation, ErrorDetail: why}
	}
	return &discoveryv3.DiscoveryRequest{Node: s.node(), TypeUrl: typePrefix + healthInformation, ErrorDetail: why}
}

// world makes a request for the state of the world.
func (s *Stream) world(r request) any {
	k := s.kinds[r.message]
	if !k.all && len(k.wanted) == 0 && !k.begun {
		return nil // nothing would mean everything
	}
	k.begun = true
	m := &discoveryv3.DiscoveryRequest{VersionInfo: k.version, Node: s.node(), TypeUrl: typePrefix + r.message, ResponseNonce: k.nonce, ErrorDetail: reason(r.err)}
	if r.answer {
		m.ResponseNonce = r.nonce
	}
	if !k.all || len(k.wanted) > 0 {
		m.ResourceNames = sorted(k.wanted)
	}
	if k.all && len(k.wanted) > 0 {
		m.ResourceNames = slices.Insert(m.ResourceNames, 0, "*")
	}
	return m
}

// delta makes a request for what changes. An answer asks for nothing.
func (s *Stream) delta(r request) any {
	k := s.kinds[r.message]
	m := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typePrefix + r.message, ResponseNonce: r.nonce, ErrorDetail: reason(r.err)}
	if !r.answer {
		for name := range k.wanted {
			if !k.asked[name] {
				m.ResourceNamesSubscribe = append(m.ResourceNamesSubscribe, name)
			}
		}
		for name := range k.asked {
			if !k.wanted[name] {
				m.ResourceNamesUnsubscribe = append(m.ResourceNamesUnsubscribe, name)
			}
		}
		slices.Sort(m.ResourceNamesSubscribe)
		slices.Sort(m.ResourceNamesUnsubscribe)
		if k.all && !k.loose && !k.begun && len(k.wanted) > 0 {
			m.ResourceNamesSubscribe = slices.Insert(m.ResourceNamesSubscribe, 0, "*") // without names it goes without saying
		}
		k.asked = map[string]bool{}
		for name := range k.wanted {
			k.asked[name] = true
		}
		if asks := len(m.ResourceNamesSubscribe)+len(m.ResourceNamesUnsubscribe) > 0; !asks && (!k.all || k.begun) {
			return nil
		}
		if !k.begun {
			m.InitialResourceVersions = map[string]string{}
			for name, version := range k.versions {
				m.InitialResourceVersions[name] = version
			}
		}
		k.begun = true
	}
	m.Node = s.node()
	return m
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
