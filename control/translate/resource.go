package translate

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/weftmesh/weft/xds/server"
)

// encode writes a message the same way each time.
func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("translate: " + err.Error()) // strings come out of objects, which are valid UTF-8, or they could not have been read
	}
	return b
}

// wrap puts a message into an Any.
func wrap(m proto.Message) *anypb.Any {
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: encode(m)}
}

// version names a body. That two of one resource's have the same is one in 2^64 for each change, by accident; who makes it happen keeps his own
// change from being told.
func version(body []byte) string {
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], xxhash.Sum64(body))
	return hex.EncodeToString(sum[:])
}

type resourceKey struct {
	kind          server.Kind
	name, version string
}

// resource gives the resource of a name with a body. The same body is the same resource, whatever it was made of.
func (t *Translator) resource(kind server.Kind, name string, body []byte) *server.Resource {
	v := version(body)
	r := t.resources.get(resourceKey{kind, name, v}, func() *server.Resource { return &server.Resource{Name: name, Version: v, Body: body} })
	return r
}

func (t *Translator) message(kind server.Kind, name string, m proto.Message) *server.Resource {
	return t.resource(kind, name, encode(m))
}

// part is a server.Part, what it was made of, in that order, and the hash of that.
type part struct {
	server.Part
	of  []*server.Resource
	sum uint64
}

type partKey struct {
	kind server.Kind
	sum  uint64
}

// part gives the part with some resources, of which a later one of a name is left out. The same resources are the same part.
func (t *Translator) part(kind server.Kind, resources []*server.Resource) *part {
	return t.partOf(kind, resources, func() []*server.Resource {
		sorted := slices.Clone(resources)
		slices.SortStableFunc(sorted, byName)
		return slices.Clip(slices.CompactFunc(sorted, func(a, b *server.Resource) bool { return a.Name == b.Name }))
	})
}

// partAfter is part for resources of which most are those of another one, in the same order: putting thousands in order takes longer than all else that a
// change of one endpoint costs here.
func (t *Translator) partAfter(before *part, resources []*server.Resource) *part {
	if !slices.EqualFunc(before.of, resources, func(a, b *server.Resource) bool { return a == b || a.Name == b.Name }) {
		return t.part(before.Kind, resources)
	}
	return t.partOf(before.Kind, resources, func() []*server.Resource {
		sorted := slices.Clone(before.Resources)
		for i, r := range resources {
			if old := before.of[i]; old != r {
				at, _ := slices.BinarySearchFunc(sorted, r, byName)
				if before.Resources[at] == old { // and not left out for an earlier one of its name
					sorted[at] = r
				}
			}
		}
		return sorted
	})
}

func byName(a, b *server.Resource) int { return cmp.Compare(a.Name, b.Name) }

func (t *Translator) partOf(kind server.Kind, resources []*server.Resource, sorted func() []*server.Resource) *part {
	d := xxhash.New()
	for _, r := range resources {
		d.WriteString(r.Name)
		d.WriteString(r.Version)
	}
	sum := d.Sum64()
	fresh := func() *part { return &part{server.Part{Kind: kind, Resources: sorted()}, resources, sum} }
	p := t.parts.get(partKey{kind, sum}, fresh)
	if !slices.Equal(p.of, resources) {
		return fresh() // another one has the same hash
	}
	return p
}
