package stream

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A control plane may say all that there is again when one thing has changed: 7 MB for a mesh of 1,000 services. What comes is read where
// it lies, so that who finds it unchanged has copied nothing, and what is changed is copied out (Resource.Keep).

// Keep copies what a resource has out of its response, for who keeps it.
func (r *Resource) Keep() { r.Wire = append([]byte(nil), r.Wire...) }

// errBroken says that what came is no message.
var errBroken = errors.New("the response is not in protobuf's wire format")

// fields calls each for the fields of a message. A field that has no length has no value.
func fields(b []byte, each func(number protowire.Number, value []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errBroken
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return errBroken
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[n:])
			if err := each(number, value); err != nil {
				return err
			}
		}
		b = b[n+size:]
	}
	return nil
}

// text is a field that has to be UTF-8.
func text(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errors.New("the response has a text that is not UTF-8")
	}
	return string(b), nil
}

// Numbers of fields. What both responses have in common has the same numbers.
const (
	ofResponseVersion   = 1
	ofResponseResources = 2
	ofResponseType      = 4
	ofResponseNonce     = 5
	ofResponseRemoved   = 6 // of a delta
)

// readResponse reads a response about the state of the world, or a delta. What it gives lies in b.
func readResponse(b []byte, delta bool) (*Response, error) {
	r := &Response{Whole: !delta}
	count := 0
	err := fields(b, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case ofResponseVersion:
			r.Version, err = text(value)
		case ofResponseType:
			r.Message, err = text(value)
			r.Message = strings.TrimPrefix(r.Message, typePrefix)
		case ofResponseNonce:
			r.nonce, err = text(value)
		case ofResponseRemoved:
			if !delta { // the number is control_plane's there
				break
			}
			var name string
			name, err = text(value)
			r.Removed = append(r.Removed, name)
		case ofResponseResources:
			count++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Resources = make([]Resource, 0, count)
	err = fields(b, func(number protowire.Number, value []byte) error {
		if number != ofResponseResources {
			return nil
		}
		if delta {
			r.Resources = append(r.Resources, wrapped(value, r.Message))
			return nil
		}
		one := Resource{Version: r.Version}
		if url, value, err := anyIn(value); err != nil {
			one.Err = err
		} else {
			one.open(url, value, r.Message)
		}
		r.Resources = append(r.Resources, one)
		return nil
	})
	return r, err
}

// open takes what an Any holds: a resource, or the envelope of one.
func (o *Resource) open(url string, value []byte, message string) {
	if url == typePrefix+"envoy.service.discovery.v3.Resource" {
		*o = wrapped(value, message)
		return
	}
	o.unpack(url, value, message)
}

func anyIn(b []byte) (url string, value []byte, err error) {
	err = fields(b, func(number protowire.Number, v []byte) (err error) {
		switch number {
		case 1:
			url, err = text(v)
		case 2:
			value = v
		}
		return err
	})
	return url, value, err
}

// Numbers of an envelope's fields.
const (
	ofEnvelopeVersion  = 1
	ofEnvelopeResource = 2
	ofEnvelopeName     = 3
	ofEnvelopeAlias    = 4
	ofEnvelopeTTL      = 6
)

// wrapped reads a resource in its envelope, an envoy.service.discovery.v3.Resource.
func wrapped(b []byte, message string) (one Resource) {
	var inner []byte
	name, has, mortal := "", false, false
	err := fields(b, func(number protowire.Number, v []byte) (err error) {
		switch number {
		case ofEnvelopeVersion:
			one.Version, err = text(v)
		case ofEnvelopeName:
			name, err = text(v)
		case ofEnvelopeAlias:
			var alias string
			alias, err = text(v)
			one.Aliases = append(one.Aliases, alias)
		case ofEnvelopeResource:
			inner, has = v, true
		case ofEnvelopeTTL:
			var d durationpb.Duration
			if err = proto.Unmarshal(v, &d); err == nil {
				one.TTL, mortal = d.AsDuration(), true
			}
		}
		return err
	})
	one.Name = name
	if err != nil {
		one.Err = fmt.Errorf("not a Resource: %w", err)
		return one
	}
	if !has && message == virtualHosts {
		return one // nobody has it
	}
	if !has {
		if one.Renewal = mortal; !mortal {
			one.Err = errors.New("a resource is missing")
		}
		return one
	}
	url, value, err := anyIn(inner)
	if err != nil {
		one.Err = err
		return one
	}
	if one.unpack(url, value, message); message == virtualHosts || message == nameTables {
		one.Name = name
		return one
	}
	if name != "" && name != one.Name && one.Err == nil {
		one.Err = fmt.Errorf("its envelope calls it %q", name)
		one.Name = name
	}
	return one
}

// unpack takes a resource of that type.
func (o *Resource) unpack(url string, value []byte, message string) {
	if got := strings.TrimPrefix(url, typePrefix); got != message {
		o.Err = fmt.Errorf("want a resource of type %s%s, not %q", typePrefix, message, url)
		return
	}
	o.Wire = value
	if message == nameTables {
		return // its first field is an entry
	}
	name, ok := nameIn(o.Wire)
	if !ok {
		o.Err = errors.New("not in protobuf's wire format")
		return
	}
	o.Name = name
}

// nameIn finds the name of a resource, which is field 1 of every kind.
func nameIn(b []byte) (name string, ok bool) {
	err := fields(b, func(number protowire.Number, value []byte) error {
		if number == 1 {
			name = string(value) // the last one counts
		}
		return nil
	})
	return name, err == nil
}
