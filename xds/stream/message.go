package stream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

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

// ofWorld reads a response of the state of the world.
func ofWorld(m *discoveryv3.DiscoveryResponse) *Response {
	r := &Response{Message: strings.TrimPrefix(m.GetTypeUrl(), typePrefix), Version: m.GetVersionInfo(), nonce: m.GetNonce(), Whole: true}
	for _, a := range m.GetResources() {
		one := Resource{Version: m.GetVersionInfo()}
		if a.GetTypeUrl() == typePrefix+"envoy.service.discovery.v3.Resource" {
			inner := &discoveryv3.Resource{}
			if err := proto.Unmarshal(a.GetValue(), inner); err != nil {
				one.Err = fmt.Errorf("not a Resource: %v", err)
			} else {
				one = wrapped(inner, r.Message)
			}
		} else {
			one.unpack(a, r.Message)
		}
		r.Resources = append(r.Resources, one)
	}
	return r
}

// ofDelta reads a response of what has changed.
func ofDelta(m *discoveryv3.DeltaDiscoveryResponse) *Response {
	r := &Response{Message: strings.TrimPrefix(m.GetTypeUrl(), typePrefix), Version: m.GetSystemVersionInfo(), nonce: m.GetNonce(), Removed: m.GetRemovedResources()}
	for _, one := range m.GetResources() {
		r.Resources = append(r.Resources, wrapped(one, r.Message))
	}
	return r
}

func wrapped(m *discoveryv3.Resource, message string) Resource {
	one := Resource{Name: m.GetName(), Version: m.GetVersion(), TTL: m.GetTtl().AsDuration(), Aliases: m.GetAliases()}
	if m.GetResource() == nil && message == virtualHosts {
		return one // nobody has it
	}
	if m.GetResource() == nil {
		if one.Renewal = m.GetTtl() != nil; !one.Renewal {
			one.Err = errors.New("a resource is missing")
		}
		return one
	}
	one.unpack(m.GetResource(), message)
	if message == virtualHosts {
		one.Name = m.GetName()
		return one
	}
	if name := m.GetName(); name != "" && name != one.Name && one.Err == nil {
		one.Err = fmt.Errorf("its envelope calls it %q", name)
		one.Name = name
	}
	return one
}

func (o *Resource) unpack(a *anypb.Any, message string) {
	if got := strings.TrimPrefix(a.GetTypeUrl(), typePrefix); got != message {
		o.Err = fmt.Errorf("want a resource of type %s%s, not %q", typePrefix, message, a.GetTypeUrl())
		return
	}
	o.Wire = a.GetValue()
	name, ok := nameIn(o.Wire)
	if !ok {
		o.Err = errors.New("not in protobuf's wire format")
		return
	}
	o.Name = name
}

// nameIn finds the name of a resource, which is field 1 of every kind.
func nameIn(b []byte) (name string, ok bool) {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", false
		}
		b = b[n:]
		if number == 1 && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return "", false
			}
			name, b = string(v), b[n:] // the last one counts
			continue
		}
		if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
			return "", false
		}
		b = b[n:]
	}
	return name, true
}
