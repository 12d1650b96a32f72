package expression

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

var adapter = types.DefaultTypeAdapter

// object is a part of an entry as the library's map: a value is read from the entry when it is asked for, and only then. As in Envoy, only
// fields of heads can be counted.
type object struct {
	entry *accesslog.Entry
	what  what
}

var _ traits.Mapper = object{}

// Find gives the value of a name.
func (o object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	v := o.find(string(name))
	return v, v != nil
}

// Get is the value of a name, or the error that there is none.
func (o object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains is what x in y asks.
func (o object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

// Size counts fields by their names.
func (o object) Size() ref.Val { return types.Int(len(o.names())) }

// Iterator goes over the names of fields.
func (o object) Iterator() traits.Iterator { return types.NewStringList(adapter, o.names()).Iterator() }

// Equal tells whether it is the same part of the same entry.
func (o object) Equal(other ref.Val) ref.Val {
	p, ok := other.(object)
	return types.Bool(ok && o == p)
}

// Type is the library's of maps.
func (o object) Type() ref.Type { return types.MapType }

// Value is the object itself.
func (o object) Value() any { return o }

// ConvertToNative is not asked for by anything that is compiled here.
func (o object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("expression: a map of attributes is no %v", t)
}

// ConvertToType is what type(x) and dyn(x) ask.
func (o object) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return o
	case types.TypeType:
		return types.MapType
	}
	return types.WrapErr(errors.New("a map is converted to nothing else"))
}

// head is the fields, and what of a request's or a response's head is called like a field in HTTP/2.
func (o object) head() (fields *http.Header, request *http.Request, status uint16) {
	e := o.entry
	switch {
	case o.what == theRequestFields && e.Request != nil:
		return &e.Request.Header, e.Request, 0
	case o.what == theResponseFields && e.Response != nil:
		return &e.Response.Header, nil, e.Response.Status
	case o.what == theTrailerFields:
		return e.ResponseTrailers, nil, 0
	}
	return nil, nil, 0
}

var pseudo = []string{":authority", ":method", ":path", ":scheme"}

// field is the value of a field, its lines joined by commas; nil: there is none. Its name may be spelled in any case.
func (o object) field(name string) ref.Val {
	h, r, status := o.head()
	if h == nil {
		return nil
	}
	name = strings.ToLower(name)
	if r != nil && http.IsPseudo(name) {
		return text(r.Pseudo(name))
	}
	if name == ":status" && status != 0 {
		return types.String(fmt.Sprint(status))
	}
	id := http.Lookup(name)
	i := h.Find(id, name, 0)
	if i < 0 {
		return nil
	}
	value := h.Value(i)
	for i = h.Find(id, name, i+1); i >= 0; i = h.Find(id, name, i+1) {
		value = append(append(bytes.Clone(value), ','), h.Value(i)...)
	}
	return types.String(value)
}

// names are those of all fields, each once and sorted.
func (o object) names() (names []string) {
	h, r, status := o.head()
	if h == nil {
		return nil
	}
	if r != nil {
		names = slices.DeleteFunc(slices.Clone(pseudo), func(name string) bool { return o.field(name) == nil })
	}
	if status != 0 {
		names = append(names, ":status")
	}
	for i := range h.Len() {
		names = append(names, string(bytes.ToLower(h.Name(i))))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
