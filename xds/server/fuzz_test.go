package server

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// FuzzRequests has a proxy say whatever it likes, two messages in a row: the server neither breaks nor talks for ever.
func FuzzRequests(f *testing.F) {
	seed := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	clusters, endpoints := typePrefix+facts[Clusters].message, typePrefix+facts[Endpoints].message
	f.Add(true, seed(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: clusters, InitialResourceVersions: map[string]string{"a": "1", "x": "2"}}),
		seed(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: clusters, ResponseNonce: "1", ResourceNamesUnsubscribe: []string{"*", "a"}}))
	f.Add(true, seed(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: endpoints, ResourceNamesSubscribe: []string{"a", "b", "a", "*"}, ResourceNamesUnsubscribe: []string{"*", "b"}}),
		seed(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: endpoints, ResourceNamesSubscribe: []string{"", "*"}}))
	f.Add(false, seed(&discoveryv3.DiscoveryRequest{TypeUrl: clusters}), seed(&discoveryv3.DiscoveryRequest{TypeUrl: clusters, ResponseNonce: "1", ResourceNames: []string{"b"}}))
	f.Add(false, seed(&discoveryv3.DiscoveryRequest{TypeUrl: endpoints, ResourceNames: []string{"a", "*", "*"}}), seed(&discoveryv3.DiscoveryRequest{TypeUrl: endpoints, ResponseNonce: "1"}))
	f.Fuzz(func(t *testing.T, isDelta bool, first, second []byte) {
		v := world
		if isDelta {
			v = delta
		}
		p := newProxy(t, v)
		view := &View{Version: "1", Parts: kinds()}
		p.s.Show(view)
		now := time.Unix(1000, 0)
		for _, b := range [][]byte{first, second} {
			r := &request{}
			if isDelta {
				var m discoveryv3.DeltaDiscoveryRequest
				if proto.Unmarshal(b, &m) != nil {
					return
				}
				r.from(m.Node, m.TypeUrl, m.ResponseNonce, m.ErrorDetail)
				r.names, r.unsubscribe, r.versions = m.ResourceNamesSubscribe, m.ResourceNamesUnsubscribe, m.InitialResourceVersions
			} else {
				var m discoveryv3.DiscoveryRequest
				if proto.Unmarshal(b, &m) != nil {
					return
				}
				r.from(m.Node, m.TypeUrl, m.ResponseNonce, m.ErrorDetail)
				r.names = m.ResourceNames
			}
			if p.s.take(r, now) != nil {
				return
			}
			for said := 0; ; said++ {
				one, _ := p.s.next(now)
				if one == nil {
					break
				}
				if said > int(kindCount) { // one of a kind may be on its way
					t.Fatal("the server does not stop talking")
				}
			}
			p.s.Show(&View{Version: "2", Parts: view.Parts[:len(view.Parts)/2]})
		}
	})
}

func kinds() []*Part { return append(first(), part(Secrets, "s=1"), part(Names, "n=1")) }
