package decode

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// resources are one of each kind, empty.
func resources() []proto.Message {
	return []proto.Message{&listenerv3.Listener{}, &clusterv3.Cluster{}, &routev3.RouteConfiguration{}, &endpointv3.ClusterLoadAssignment{}, &tlsv3.Secret{}}
}

// held are messages that an Any of a random message holds.
var held = []string{
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "envoy.extensions.filters.http.router.v3.Router",
	"envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "google.protobuf.StringValue", "envoy.config.route.v3.FilterConfig",
}

// scribble fills a message with a few of its fields.
func scribble(r *rand.Rand, m protoreflect.Message, depth int) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		t, _ := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(held[r.IntN(len(held))]))
		inner := t.New()
		scribble(r, inner, depth-1)
		a.TypeUrl, a.Value = "type.googleapis.com/"+string(inner.Descriptor().FullName()), marshal(inner.Interface())
		return
	}
	list := m.Descriptor().Fields()
	if list.Len() == 0 {
		return
	}
	value := func(f protoreflect.FieldDescriptor, fresh func() protoreflect.Value) protoreflect.Value {
		number := []uint64{0, 1, 2, 100, 127, 128, math.MaxInt32}[r.IntN(7)]
		switch f.Kind() {
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(r.IntN(2) == 0)
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(f.Enum().Values().Get(r.IntN(f.Enum().Values().Len())).Number())
		case protoreflect.StringKind:
			return protoreflect.ValueOfString([]string{"", "a", "b", "longer than that"}[r.IntN(4)])
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte{0, 1, 2}[:r.IntN(4)])
		case protoreflect.MessageKind:
			v := fresh()
			scribble(r, v.Message(), depth-1)
			return v
		case protoreflect.DoubleKind:
			return protoreflect.ValueOfFloat64(float64(number))
		case protoreflect.FloatKind:
			return protoreflect.ValueOfFloat32(float32(number))
		case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
			return protoreflect.ValueOfInt32(int32(number))
		case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
			return protoreflect.ValueOfInt64(int64(number))
		case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
			return protoreflect.ValueOfUint32(uint32(number))
		}
		return protoreflect.ValueOfUint64(number)
	}
	for range r.IntN(5) {
		f := list.Get(r.IntN(list.Len()))
		if f.Message() != nil && depth <= 0 {
			continue
		}
		switch {
		case f.IsMap():
			to := m.Mutable(f).Map()
			for range r.IntN(4) {
				to.Set(value(f.MapKey(), nil).MapKey(), value(f.MapValue(), to.NewValue))
			}
		case f.IsList():
			to := m.Mutable(f).List()
			for range r.IntN(4) {
				to.Append(value(f, to.NewElement))
			}
		default:
			m.Set(f, value(f, func() protoreflect.Value { return m.NewField(f) }))
		}
	}
}

// scanned holds what a scan of bytes says against the walk and against what writing the message again gives.
func scanned(d *Decoder, m proto.Message, wire []byte) (s scan, err error) {
	s = scan{decoder: d, clean: true, same: true}
	s.message(wire, d.outline(m.ProtoReflect().Descriptor(), "", false))
	m = m.ProtoReflect().New().Interface()
	if proto.Unmarshal(wire, m) != nil {
		return s, nil // nobody asks then
	}
	r := d.session()
	r.canonical(m.ProtoReflect())
	if again := marshal(m); s.same && !bytes.Equal(again, wire) {
		return s, fmt.Errorf("same, and %x would be written as %x", wire, again)
	}
	r.walk(m.ProtoReflect(), "", nil)
	if s.clean && len(r.problems) > 0 {
		return s, fmt.Errorf("clean, and there is %v", r.problems)
	}
	return s, nil
}

// TestScan of messages in the form in which they are written, and of what else the same bytes can become.
func TestScan(t *testing.T) {
	d := decoder()
	r := rand.New(rand.NewPCG(1, 2))
	clean, same, other := 0, 0, 0
	for range 20_000 {
		m := resources()[r.IntN(5)]
		scribble(r, m.ProtoReflect(), 5)
		s := d.session()
		s.canonical(m.ProtoReflect())
		wire := marshal(m)
		got, err := scanned(d, m, wire)
		if err != nil {
			t.Fatal(err)
		}
		if !got.same && !oddKeys(m.ProtoReflect()) {
			t.Fatalf("not the same: %v\n%x", m, wire)
		}
		if got.clean {
			clean++
		}
		for range 4 {
			changed := slices.Clone(wire)
			if len(changed) == 0 {
				break
			}
			switch i := r.IntN(len(changed)); r.IntN(3) {
			case 0:
				changed[i] = byte(r.Uint32())
			case 1:
				changed = append(changed[i:], changed[:i]...)
			case 2:
				changed = append(changed, changed...)
			}
			got, err := scanned(d, m, changed)
			if err != nil {
				t.Fatal(err)
			}
			if got.same {
				same++
			} else {
				other++
			}
		}
	}
	t.Logf("%d were clean; of what was changed %d were in form, %d not", clean, same, other)
	if clean < 1000 || same < 1000 || other < 1000 {
		t.Error("these are no trials")
	}
}

// oddKeys says that a message has maps whose keys are not strings, which a scan leaves to others.
func oddKeys(m protoreflect.Message) (odd bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			odd = odd || f.MapKey().Kind() != protoreflect.StringKind
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					odd = odd || oddKeys(v.Message())
					return true
				})
			}
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				odd = odd || oddKeys(v.List().Get(i).Message())
			}
		default:
			if a, ok := v.Message().Interface().(*anypb.Any); ok {
				if inner, err := a.UnmarshalNew(); err == nil {
					odd = odd || oddKeys(inner.ProtoReflect())
				}
				return true
			}
			odd = odd || oddKeys(v.Message())
		}
		return true
	})
	return odd
}

// FuzzScan is TestScan for whatever bytes.
func FuzzScan(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 50 {
		m := resources()[i%5]
		scribble(r, m.ProtoReflect(), 5)
		f.Add(uint8(i), marshal(m))
	}
	d := decoder()
	f.Fuzz(func(t *testing.T, kind uint8, wire []byte) {
		if _, err := scanned(d, resources()[int(kind)%5], wire); err != nil {
			t.Error(err)
		}
	})
}
