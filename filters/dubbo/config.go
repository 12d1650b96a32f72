package dubbo

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	wire "github.com/weftmesh/weft/wire/dubbo"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct {
	methods []method
	route   bool // it is a route's: a request that calls none of its methods is refused
}

// method is what requests for a path call.
type method struct {
	invocation wire.Invocation // with all types
	path       []segment
	verbs      []string // empty: those of mayCall
	parameters []parameter
	attach     []string // names of headers, in lower case
	attachAll  bool
	fields     map[string]int // of the body, that are parameters, numbered from 0
	reads      bool           // the body is one of the parameters, or holds one
}

// segment is one part of a path, between slashes: a text, or whatever stands there, under a name.
type segment struct{ text, name string }

// place is where a parameter's value stands.
type place uint8

const (
	inQuery place = iota
	inHeader
	inPath
	inField
	inBody
)

// parameter is one of a method's.
type parameter struct {
	kind wire.Type
	in   place
	name string
	at   int // which of the path's segments, or of the method's fields
}

// mayCall are the verbs that a method has which names none.
var mayCall = []string{"GET", "POST", "PUT", "DELETE", "PATCH"}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "weft.filters.http.dubbo",
		Type:           "weft.dubbo.v1.HTTP",
		Override:       "weft.dubbo.v1.HTTP",
		Decode:         func(wire []byte) (any, error) { return read(wire, false) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return read(wire, true) },
		Hooks:          filters.OnRequestHeaders | filters.OnRequestBody | filters.OnRequestTrailers | filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers,
		Judge:          func(c any, who match.Caller) filters.Judgement { return c.(*settings).judge(who) },
		Build:          build,
	}
}

func read(b []byte, route bool) (*settings, error) {
	var m dubbov1.HTTP
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	s := &settings{route: route}
	for i, service := range m.GetServices() {
		in := fmt.Sprintf("services[%d]", i)
		if service.GetInterface() == "" {
			return nil, decode.Wrong(in+".interface", "a name is missing")
		}
		if len(service.GetMethods()) == 0 {
			return nil, decode.Wrong(in+".methods", "is empty: want the methods that requests may call")
		}
		for k, one := range service.GetMethods() {
			read, err := readMethod(service, one, fmt.Sprintf("%s.methods[%d]", in, k))
			if err != nil {
				return nil, err
			}
			s.methods = append(s.methods, *read)
		}
	}
	return s, nil
}

func readMethod(service *dubbov1.HTTPService, m *dubbov1.HTTPMethod, in string) (*method, error) {
	if m.GetName() == "" {
		return nil, decode.Wrong(in+".name", "a name is missing")
	}
	out := &method{invocation: wire.Invocation{Interface: service.GetInterface(), Version: service.GetVersion(), Group: service.GetGroup(), Method: m.GetName()}}
	path := m.GetPath()
	if path == "" {
		path = "/" + service.GetInterface() + "/" + m.GetName()
	}
	var err error
	if out.path, err = readPath(path, in+".path"); err != nil {
		return nil, err
	}
	for i, verb := range m.GetHttpMethods() {
		switch verb = strings.ToUpper(verb); verb {
		case "GET", "POST", "PUT", "DELETE", "PATCH":
			out.verbs = append(out.verbs, verb)
		default:
			return nil, decode.Wrong(fmt.Sprintf("%s.http_methods[%d]", in, i), "%q: want %s", verb, strings.Join(mayCall, ", "))
		}
	}
	if len(m.GetParameters()) > wire.MaxParameters {
		return nil, decode.Wrong(in+".parameters", "there are %d: a method has %d at most", len(m.GetParameters()), wire.MaxParameters)
	}
	for i, p := range m.GetParameters() {
		one, err := readParameter(p, out.path, fmt.Sprintf("%s.parameters[%d]", in, i))
		if err != nil {
			return nil, err
		}
		if one.in == inField {
			at, is := out.fields[one.name]
			if !is {
				if out.fields == nil {
					out.fields = map[string]int{}
				}
				at = len(out.fields)
				out.fields[one.name] = at
			}
			one.at = at
		}
		out.parameters = append(out.parameters, one)
		out.invocation.Types = append(out.invocation.Types, one.kind)
		out.reads = out.reads || one.in == inField || one.in == inBody
	}
	for i, name := range m.GetAttach() {
		switch {
		case name == "*":
			out.attachAll = true
		case name == "" || strings.HasPrefix(name, ":"):
			return nil, decode.Wrong(fmt.Sprintf("%s.attach[%d]", in, i), "%q: want the name of a header, or *", name)
		default:
			out.attach = append(out.attach, strings.ToLower(name))
		}
	}
	return out, nil
}

// readPath reads a path whose segments are texts, or names between braces.
func readPath(path, in string) (out []segment, err error) {
	if !strings.HasPrefix(path, "/") {
		return nil, decode.Wrong(in, "%q: want a path that begins with /", path)
	}
	seen := map[string]bool{}
	for _, text := range strings.Split(path[1:], "/") {
		name, opened := strings.CutPrefix(text, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case !opened && !closed && !strings.ContainsAny(text, "{}?#"):
			out = append(out, segment{text: text})
		case !opened || !closed || name == "" || strings.ContainsAny(name, "{}"):
			return nil, decode.Wrong(in, "%q: want a text, without ? and #, or one name between braces", text)
		case seen[name]:
			return nil, decode.Wrong(in, "the name %q is there twice", name)
		default:
			seen[name] = true
			out = append(out, segment{name: name})
		}
	}
	return out, nil
}

func readParameter(p *dubbov1.HTTPParameter, path []segment, in string) (out parameter, err error) {
	if out.kind, err = wire.TypeOf(p.GetType()); err != nil {
		return out, decode.Wrong(in+".type", "%v", err)
	}
	field := ""
	switch from := p.GetFrom().(type) {
	case *dubbov1.HTTPParameter_Query:
		out.in, out.name, field = inQuery, from.Query, "query"
	case *dubbov1.HTTPParameter_Header:
		out.in, out.name, field = inHeader, strings.ToLower(from.Header), "header"
	case *dubbov1.HTTPParameter_Segment:
		out.in, out.name, field = inPath, from.Segment, "segment"
		out.at = -1
		for i := range path {
			if path[i].name == from.Segment {
				out.at = i
			}
		}
		if out.at < 0 && from.Segment != "" {
			return out, decode.Wrong(in+".segment", "%q stands between no braces of the path", from.Segment)
		}
	case *dubbov1.HTTPParameter_Field:
		out.in, out.name, field = inField, from.Field, "field"
	case *dubbov1.HTTPParameter_Body:
		out.in = inBody
		if !from.Body {
			return out, decode.Wrong(in+".body", "want true, or another place")
		}
		return out, nil
	default:
		return out, decode.Wrong(in, "where its value stands is missing: want query, header, segment, field or body")
	}
	if out.name == "" || strings.HasPrefix(out.name, ":") {
		return out, decode.Wrong(in+"."+field, "a name is missing")
	}
	return out, nil
}
