package headermutation

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are the filter's configuration.
type settings struct {
	own               *mutations
	mostSpecificFirst bool
}

// mutations are what is done, in order.
type mutations struct {
	request, response, requestTrailers, responseTrailers []config.HeaderMutation
	query                                                []queryMutation
}

// queryMutation is one change of the query.
type queryMutation struct {
	name   string
	value  *accesslog.Format // nil: the parameter is removed
	action config.AddAction
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:     "envoy.filters.http.header_mutation",
		Type:     "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
		Override: "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
		Decode: func(wire []byte) (any, error) {
			var m mutationv3.HeaderMutation
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			own, err := read(m.GetMutations())
			return &settings{own: own, mostSpecificFirst: !m.GetMostSpecificHeaderMutationsWins()}, err
		},
		DecodeOverride: func(wire []byte, _ string) (any, error) {
			var m mutationv3.HeaderMutationPerRoute
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			return read(m.GetMutations())
		},
		Hooks: filters.OnRequestHeaders | filters.OnRequestTrailers | filters.OnResponseHeaders | filters.OnResponseTrailers,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{settings: c.(*settings)} }
		},
	}
}

func read(m *mutationv3.Mutations) (*mutations, error) {
	var out mutations
	for _, list := range []struct {
		to   *[]config.HeaderMutation
		from []*rulesv3.HeaderMutation
		name string
	}{
		{&out.request, m.GetRequestMutations(), "request_mutations"},
		{&out.response, m.GetResponseMutations(), "response_mutations"},
		{&out.requestTrailers, m.GetRequestTrailersMutations(), "request_trailers_mutations"},
		{&out.responseTrailers, m.GetResponseTrailersMutations(), "response_trailers_mutations"},
	} {
		var err error
		if *list.to, err = decode.HeaderMutations(list.from, "mutations."+list.name); err != nil {
			return nil, err
		}
	}
	for i, m := range m.GetQueryParameterMutations() {
		c, err := readQuery(m, fmt.Sprintf("mutations.query_parameter_mutations[%d]", i))
		if err != nil {
			return nil, err
		}
		out.query = append(out.query, c)
	}
	return &out, nil
}

func readQuery(m *corev3.KeyValueMutation, path string) (c queryMutation, err error) {
	if name := m.GetRemove(); name != "" {
		if m.GetAppend() != nil {
			return c, decode.Wrong(path+".remove", "append is set, too: leave one of the two out")
		}
		return queryMutation{name: name}, nil
	}
	record := m.GetAppend().GetRecord()
	text, ok := record.GetValue().GetKind().(*structpb.Value_StringValue)
	if !ok {
		return c, decode.Wrong(path+".append.record.value", "want a string")
	}
	c = queryMutation{name: record.GetKey(), action: actions[m.GetAppend().GetAction()]}
	c.value, err = decode.Text(text.StringValue, path+".append.record.value")
	return c, err
}

var actions = map[corev3.KeyValueAppend_KeyValueAppendAction]config.AddAction{
	corev3.KeyValueAppend_APPEND_IF_EXISTS_OR_ADD:    config.AddAppend,
	corev3.KeyValueAppend_ADD_IF_ABSENT:              config.AddIfAbsent,
	corev3.KeyValueAppend_OVERWRITE_IF_EXISTS_OR_ADD: config.AddOverwrite,
	corev3.KeyValueAppend_OVERWRITE_IF_EXISTS:        config.AddOverwriteIfExists,
}
