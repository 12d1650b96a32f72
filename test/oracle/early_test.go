package oracle

const earlyMutations = `use_remote_address: true
normalize_path: true
strip_any_host_port: true
merge_slashes: true
early_header_mutation_extensions:
- name: first
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
    mutations:
    - {append: {header: {key: x-early, value: "%REQ(x-forwarded-for)% %REQ(x-request-id)% %REQ(x-envoy-internal)% %REQ(x-forwarded-proto)% %REQ(:path)% %REQ(:authority)% %ROUTE_NAME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %PROTOCOL%"}}}
    - {append: {header: {key: x-route, value: "1"}}}
    - {append: {header: {key: x-envoy-retry-on, value: "5xx"}}}
    - {append: {header: {key: x-forwarded-for, value: "9.9.9.9"}}}
    - {remove: x-gone}
    - {remove_on_match: {key_matcher: {prefix: x-pre}}}
- name: second
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
    mutations: [{append: {header: {key: x-second, value: "%REQ(x-route)%"}}}]`

var early = []scenario{
	{name: "early", manager: earlyMutations, vhost: routes(
		route("prefix: /, headers: [{name: x-route, string_match: {exact: '1'}}]", to),
		route("prefix: /", "direct_response: {status: 404}"),
	), sends: []exchange{{send: "GET /a"}, {send: "GET /b/..//a?q; host: a.example:80; x-gone: 1; x-pre: 1; x-prefix: 2; x-early: own"}, {send: "GET /; x-route: 2"}, {send: "GET /%00"}}},
	{name: "mirrors-mutated", late: true, vhost: routes(
		route("prefix: /", "name: m, route: {cluster: $up, prefix_rewrite: /x, request_mirror_policies: [{cluster: $b, request_headers_mutations: [{append: {header: {key: x-m, value: '%REQ(x-a)% %REQ(:path)% %REQ(:authority)% %ROUTE_NAME% %REQ(x-envoy-internal)% %UPSTREAM_CLUSTER%'}}}, {remove: x-a}, {remove_on_match: {key_matcher: {prefix: x-p}}}, {append: {header: {key: x-forwarded-for, value: 1.1.1.1}}}]}]}"),
	), sends: []exchange{{send: "GET /a?q; x-a: 1; x-p: 1; x-pp: 2"}}},
}
