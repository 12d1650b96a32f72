package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/wire/dubbo"
)

// DubboCalls are the methods of an interface that a route's requests become calls of, in the spelling of Higress' Http2Rpc (spec.dubbo), so that it can be put there as it is.
type DubboCalls struct {
	Service string            `json:"service,omitempty"` // the interface
	Version string            `json:"version,omitempty"`
	Group   string            `json:"group,omitempty"`
	Methods []DubboCallMethod `json:"methods,omitempty"` // asked in turn
}

// DubboCallMethod is which requests become calls of a method, and its arguments. An entire body is its only argument, whatever Params say.
type DubboCallMethod struct {
	ServiceMethod       string           `json:"serviceMethod,omitempty"`
	HeadersAttach       string           `json:"headersAttach,omitempty"` // names with commas between, which become attachments; *: all
	HTTPPath            string           `json:"httpPath,omitempty"`      // empty: /INTERFACE/METHOD
	HTTPMethods         []string         `json:"httpMethods,omitempty"`   // empty: any
	Params              []DubboCallParam `json:"params,omitempty"`
	ParamFromEntireBody *DubboCallBody   `json:"paramFromEntireBody,omitempty"`
}

// DubboCallParam is where an argument comes from, and its declared type as Java writes it.
type DubboCallParam struct {
	ParamSource string `json:"paramSource,omitempty"`
	ParamKey    string `json:"paramKey,omitempty"` // of a body: a field of its object; empty: all of it
	ParamType   string `json:"paramType,omitempty"`
}

// DubboCallBody is a method's only argument, which all of the body is.
type DubboCallBody struct {
	ParamType string `json:"paramType,omitempty"`
}

// What DubboCallParam.ParamSource may be.
const (
	FromQuery  = "QUERY"
	FromHeader = "HEADER"
	FromPath   = "PATH"
	FromBody   = "BODY"
)

var (
	paramSources = []string{FromQuery, FromHeader, FromPath, FromBody}
	calledBy     = []string{"GET", "POST", "PUT", "DELETE", "PATCH"}
)

// Bounds of what is read of a method: of its path, in bytes, and of names of headers, of which proxies read no more attachments in a call.
const (
	maxCalledPath = 1024
	maxAttached   = 256
)

// Path is that of the method's requests.
func (d *DubboCalls) Path(m *DubboCallMethod) string {
	if m.HTTPPath != "" {
		return m.HTTPPath
	}
	return "/" + d.Service + "/" + m.ServiceMethod
}

// Attached are the names of headers that become attachments; one that is *: all of them.
func (m *DubboCallMethod) Attached() (names []string) {
	for name := range strings.SplitSeq(m.HeadersAttach, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Calls are what the requests of an HTTP route become, by its place; nil: they stay what they are.
func (m *VirtualServiceMore) Calls(route int) *DubboCalls {
	if m == nil || m.HTTP[route] == nil {
		return nil
	}
	return m.HTTP[route].Dubbo
}

// dubboCalls checks what a route's requests become calls of.
func (c *checker) dubboCalls(d *DubboCalls, r *networking.HTTPRoute) {
	if d == nil {
		return
	}
	c.at("dubbo")
	defer c.up()
	for _, other := range []struct {
		name string
		set  bool
	}{{"redirect", r.Redirect != nil}, {"directResponse", r.DirectResponse != nil}, {"delegate", r.Delegate != nil}} {
		if other.set {
			c.bad("", "HTTP route cannot contain both dubbo and %s: requests become calls where a route leads somewhere", other.name)
		}
	}
	if d.Service == "" {
		c.bad("service", "is required: the interface, such as org.example.Shop")
	} else if !javaClass(d.Service) {
		c.bad("service", "%q is no Java interface: want one like org.example.Shop", short(d.Service))
	}
	c.fault("version", offered(d.Version))
	c.fault("group", offered(d.Group))
	if len(d.Methods) == 0 {
		c.bad("methods", "want one method at least")
	}
	taken := map[string]bool{} // HTTP methods and paths
	each(c, "methods", d.Methods, func(_ int, m DubboCallMethod) {
		path := d.Path(&m)
		c.dubboCallMethod(&m, path)
		if !reaches(r.Match, path) {
			c.warn("httpPath", "method is not called: no match of the route lets %s come to it", short(path))
		}
		by, left := m.HTTPMethods, false
		if len(by) == 0 {
			by = calledBy
		}
		for _, one := range by {
			left = left || !taken[one+path]
			taken[one+path] = true
		}
		if !left {
			c.warn("", "method is not called: those before it take the same requests")
		}
	})
}

func (c *checker) dubboCallMethod(m *DubboCallMethod, path string) {
	if m.ServiceMethod == "" {
		c.bad("serviceMethod", "is required: the name of a method of the interface")
	} else if !javaName(m.ServiceMethod) {
		c.bad("serviceMethod", "%q is no name of a Java method", short(m.ServiceMethod))
	}
	segments, err := pathSegments(path)
	c.fault("httpPath", err)
	each(c, "httpMethods", m.HTTPMethods, func(_ int, one string) {
		if upper := strings.ToUpper(one); !slices.Contains(calledBy, one) {
			if slices.Contains(calledBy, upper) {
				c.bad("", "%q: HTTP methods are written in capitals, want %s", short(one), upper)
			} else {
				c.bad("", "%q is not a supported HTTP method: want one of %s", short(one), strings.Join(calledBy, ", "))
			}
		}
	})
	names := m.Attached()
	if len(names) > maxAttached {
		c.bad("headersAttach", "has %d names, and a call has %d attachments at most", len(names), maxAttached)
		names = nil
	}
	for i, name := range names {
		switch {
		case slices.ContainsFunc(names[:i], func(before string) bool { return strings.EqualFold(before, name) }):
			c.bad("headersAttach", "%q is there twice", short(name))
		case name != "*":
			c.fault("headersAttach", headerName(name))
		case len(names) > 1:
			c.bad("headersAttach", "* is all headers: want it alone")
		}
	}
	if body := m.ParamFromEntireBody; body != nil {
		c.fault("paramFromEntireBody.paramType", javaType(body.ParamType))
		if len(m.Params) > 0 {
			c.warn("params", "are not used: paramFromEntireBody is the only argument")
		}
		return
	}
	if len(m.Params) > dubbo.MaxParameters {
		c.bad("params", "has %d, and a method has %d at most", len(m.Params), dubbo.MaxParameters)
		return
	}
	each(c, "params", m.Params, func(_ int, p DubboCallParam) {
		c.fault("paramType", javaType(p.ParamType))
		switch p.ParamSource {
		case FromPath:
			switch {
			case p.ParamKey == "":
				c.bad("paramKey", "is required: what stands between braces in httpPath")
			case !slices.Contains(segments, p.ParamKey):
				c.bad("paramKey", "httpPath has no {%s}", short(p.ParamKey))
			}
		case FromQuery:
			if p.ParamKey == "" {
				c.bad("paramKey", "is required: the name of a parameter of the query")
			}
		case FromHeader:
			c.fault("paramKey", headerName(p.ParamKey))
		case FromBody:
		default:
			c.bad("paramSource", "%q: want one of %s", short(p.ParamSource), strings.Join(paramSources, ", "))
		}
	})
}

// offered checks a version or a group, which registries write between colons and slashes.
func offered(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == ':' || r == '*' || r == ',' }) {
		return fmt.Errorf("%q: want it without blanks, colons, slashes, commas and stars", short(s))
	}
	return nil
}

// pathSegments are the names between braces of a path, each of which takes a whole segment.
func pathSegments(path string) (names []string, err error) {
	if len(path) > maxCalledPath {
		return nil, fmt.Errorf("has %d bytes, and a path has %d at most", len(path), maxCalledPath)
	}
	if path[0] != '/' {
		return nil, fmt.Errorf("%q: want a path, which begins with /", short(path))
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`?#"\`, r) }) {
		return nil, fmt.Errorf("%q: want a path without a query, with %%XX for what is not printable ASCII", short(path))
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		name, opens := strings.CutPrefix(segment, "{")
		name, closes := strings.CutSuffix(name, "}")
		switch {
		case strings.Contains(segment, "*"):
			return nil, fmt.Errorf("%q: * stands for nothing here, want {NAME} for a segment", short(segment))
		case !opens && !closes && !strings.ContainsAny(segment, "{}"):
		case !opens || !closes || strings.ContainsAny(name, "{}=:"):
			return nil, fmt.Errorf("%q: want {NAME} between slashes, as the whole of a segment", short(segment))
		case name == "":
			return nil, errors.New("{} has no name: want {NAME}")
		case slices.Contains(names, name):
			return nil, fmt.Errorf("{%s} is there twice", short(name))
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// reaches tells whether a route with some matches can get requests for a path, of which what stands between braces is anything. Of many it is not asked.
func reaches(matches []*networking.HTTPMatchRequest, path string) bool {
	literal, _, open := strings.Cut(path, "{")
	const most = 100
	return len(matches) == 0 || len(matches) > most || slices.ContainsFunc(matches, func(m *networking.HTTPMatchRequest) bool {
		if m.GetIgnoreUriCase() {
			return true
		}
		switch uri := m.GetUri().GetMatchType().(type) {
		case *networking.StringMatch_Prefix:
			return strings.HasPrefix(literal, uri.Prefix) || open && strings.HasPrefix(uri.Prefix, literal)
		case *networking.StringMatch_Exact:
			return uri.Exact == path || open && strings.HasPrefix(uri.Exact, literal)
		}
		return true
	})
}
