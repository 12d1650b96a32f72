package headertometadata

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"

	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct{ request, response []rule }

// rule says what is noted of one field or cookie.
type rule struct {
	header, cookie   string
	present, missing *entry
	remove           bool
}

// entry is what is noted.
type entry struct {
	namespace, key string
	value          string         // "": what the field says
	pattern        *regexp.Regexp // replaces what of that value matches
	by             string
	number, base64 bool
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.header_to_metadata",
		Type:           "envoy.extensions.filters.http.header_to_metadata.v3.Config",
		Override:       "envoy.extensions.filters.http.header_to_metadata.v3.Config",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return read(wire) },
		Hooks:          filters.OnRequestHeaders | filters.OnResponseHeaders,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{chain: c.(*settings)} }
		},
	}
}

func read(wire []byte) (*settings, error) {
	var m metadatav3.Config
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	if len(m.GetRequestRules())+len(m.GetResponseRules()) == 0 {
		return nil, decode.Wrong("request_rules", "there is no rule, nor one in response_rules")
	}
	var s settings
	var err error
	if s.request, err = readRules(m.GetRequestRules(), "request_rules"); err == nil {
		s.response, err = readRules(m.GetResponseRules(), "response_rules")
	}
	return &s, err
}

func readRules(list []*metadatav3.Config_Rule, name string) (out []rule, err error) {
	for i, m := range list {
		path := fmt.Sprintf("%s[%d]", name, i)
		r := rule{header: strings.ToLower(m.GetHeader()), cookie: m.GetCookie(), remove: m.GetRemove()}
		switch {
		case (r.header == "") == (r.cookie == ""):
			return nil, decode.Wrong(path+".header", "want one of header and cookie")
		case r.cookie != "" && r.remove:
			return nil, decode.Wrong(path+".remove", "a cookie cannot be removed")
		case m.GetOnHeaderPresent() == nil && m.GetOnHeaderMissing() == nil:
			return nil, decode.Wrong(path+".on_header_present", "nothing would be noted: want this or on_header_missing")
		case m.GetOnHeaderMissing() != nil && m.GetOnHeaderMissing().GetValue() == "":
			return nil, decode.Wrong(path+".on_header_missing.value", "a value is missing")
		}
		if r.remove {
			if _, err := decode.Removal(r.header, path+".header"); err != nil {
				return nil, err
			}
		}
		if r.present, err = readEntry(m.GetOnHeaderPresent(), path+".on_header_present"); err != nil {
			return nil, err
		}
		if r.missing, err = readEntry(m.GetOnHeaderMissing(), path+".on_header_missing"); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// defaultNamespace is Envoy's.
const defaultNamespace = "envoy.filters.http.header_to_metadata"

func readEntry(m *metadatav3.Config_KeyValuePair, path string) (*entry, error) {
	if m == nil {
		return nil, nil
	}
	e := &entry{namespace: m.GetMetadataNamespace(), key: m.GetKey(), value: m.GetValue(),
		number: m.GetType() == metadatav3.Config_NUMBER, base64: m.GetEncode() == metadatav3.Config_BASE64}
	if e.namespace == "" {
		e.namespace = defaultNamespace
	}
	var err error
	if r := m.GetRegexValueRewrite(); r != nil {
		if e.value != "" {
			return nil, decode.Wrong(path+".regex_value_rewrite", "value is set, too: leave one of the two out")
		}
		e.pattern, e.by, err = decode.Substitution(r, path+".regex_value_rewrite")
	}
	return e, err
}
