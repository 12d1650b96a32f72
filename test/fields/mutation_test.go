package fields

// earlier is a list of early changes.
func earlier(piece string) string {
	return hcm(`early_header_mutation_extensions: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, ` + piece + "}}]")
}

const setsA = "mutations: [{append: {header: {key: x-a, value: v}}}]"

var mutationTrials = []trial{
	{paths: "HttpConnectionManager.early_header_mutation_extensions TypedExtensionConfig@early.typed_config", site: hcm, flip: `early_header_mutation_extensions: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, ` + setsA + "}}]", probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "early_header_mutation.header_mutation.v3.HeaderMutation.mutations", site: earlier, base: "mutations: [{remove: x-b}]", flip: setsA, probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "RequestMirrorPolicy.request_headers_mutations", site: copying, base: "cluster: up", flip: "cluster: up, request_headers_mutations: [{append: {header: {key: x-a, value: v}}}]", probe: copied("x-a"), want: [2]string{"-", "v"}},
}
