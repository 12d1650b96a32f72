package server

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // so that there is a codec to hand the rest to
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// A response is put together out of what its resources have already been encoded to: a small buffer of its own, and then for each resource one
// with what stands before its body, which all responses share, and the body itself. Two hundred proxies that are told 7 MB at once share them.

// variant is one of the two ways to say what there is.
type variant uint8

const (
	world variant = iota // the state of it
	delta
	variants
)

// frame is a resource as it stands in a response.
type frame struct{ head, body mem.Buffer }

// frame is the resource's, made at most a few times.
func (r *Resource) frame(k Kind, v variant) *frame {
	if f := r.framed[v].Load(); f != nil {
		return f
	}
	url := typePrefix + facts[k].message
	inner := protowire.SizeTag(1) + protowire.SizeBytes(len(url)) + protowire.SizeTag(2) + protowire.SizeBytes(len(r.Body)) // an Any
	head := make([]byte, 0, 256)
	if v == delta {
		outer := protowire.SizeTag(ofEnvelopeName) + protowire.SizeBytes(len(r.Name)) + protowire.SizeTag(ofEnvelopeVersion) + protowire.SizeBytes(len(r.Version)) +
			protowire.SizeTag(ofEnvelopeResource) + protowire.SizeBytes(inner)
		head = protowire.AppendTag(head, ofResponseResources, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(outer))
		head = appendText(head, ofEnvelopeName, r.Name)
		head = appendText(head, ofEnvelopeVersion, r.Version)
		head = protowire.AppendTag(head, ofEnvelopeResource, protowire.BytesType)
	} else {
		head = protowire.AppendTag(head, ofResponseResources, protowire.BytesType)
	}
	head = protowire.AppendVarint(head, uint64(inner))
	head = appendText(head, 1, url)
	head = protowire.AppendTag(head, 2, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(r.Body)))
	f := &frame{head: mem.SliceBuffer(append(make([]byte, 0, len(head)), head...)), body: mem.SliceBuffer(r.Body)}
	r.framed[v].Store(f)
	return f
}

func appendText(b []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
}

// Numbers of fields. What both responses have in common has the same numbers.
const (
	ofResponseVersion   = 1
	ofResponseResources = 2
	ofResponseType      = 4
	ofResponseNonce     = 5
	ofResponseRemoved   = 6 // of a delta

	ofEnvelopeVersion  = 1
	ofEnvelopeResource = 2
	ofEnvelopeName     = 3
)

// response is a message to a proxy.
type response struct {
	buffers mem.BufferSlice
	kind    Kind // kindCount: none
	size    int  // bytes
}

// encode makes a response. Over the state of the world nobody can be told of what is removed.
func encode(k Kind, v variant, version, nonce string, resources []*Resource, removed []string) *response {
	own := make([]byte, 0, 128)
	own = appendText(own, ofResponseVersion, version)
	own = appendText(own, ofResponseType, typePrefix+facts[k].message)
	own = appendText(own, ofResponseNonce, nonce)
	if v == delta {
		for _, name := range removed {
			own = appendText(own, ofResponseRemoved, name)
		}
	}
	r := &response{kind: k, buffers: make(mem.BufferSlice, 0, 1+2*len(resources)), size: len(own)}
	r.buffers = append(r.buffers, mem.SliceBuffer(own))
	for _, one := range resources {
		f := one.frame(k, v)
		r.size += f.head.Len()
		if r.buffers = append(r.buffers, f.head); f.body.Len() > 0 {
			r.size += f.body.Len()
			r.buffers = append(r.buffers, f.body)
		}
	}
	return r
}

// codec is protobuf's, but for responses.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.buffers, nil
	}
	return c.CodecV2.Marshal(v)
}
