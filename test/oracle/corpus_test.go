package oracle

import (
	"fmt"
	"strings"
)

func route(match, action string) string { return "{match: {" + match + "}, " + action + "}" }

func routes(list ...string) string {
	text := "routes:\n"
	for _, r := range list {
		text += "- " + r + "\n"
	}
	return text
}

func gets(targets ...string) (list []exchange) {
	for _, t := range targets {
		list = append(list, exchange{send: "GET " + t})
	}
	return list
}

func sprintf(format string, values ...any) string { return fmt.Sprintf(format, values...) }

func long(n int) string { return strings.Repeat("a", n) }

func answered(status int, fields ...string) string {
	text := fmt.Sprintf("HTTP/1.1 %d Reason\r\n", status)
	for _, f := range fields {
		text += f + "\r\n"
	}
	return text + "content-length: 2\r\n\r\nok"
}

const to, toB = "route: {cluster: $up}", "route: {cluster: $b}"

var routing = []scenario{
	{name: "plain", sends: []exchange{{send: "GET /a?q=1; x-a: hello"}, {send: "POST /; body: hello"}, {send: "HEAD /"}, {send: "GET /1\nGET /2"}}},
	{name: "paths", vhost: routes(
		route(`path: /exact`, to),
		route(`path: /Case, case_sensitive: false`, toB),
		route(`path_separated_prefix: /sep`, toB),
		route(`safe_regex: {regex: "/r[0-9]+"}`, toB),
		route(`prefix: /pre`, `name: named, route: {cluster: $b}`),
		route(`path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/t/{a}/{b=**}"}}`, toB),
	), sends: gets("/exact", "/exact?q", "/exact/", "/EXACT", "/case", "/sep", "/sep/a", "/sepa", "/r12", "/r12a", "/r12?x", "/prefix", "/pr", "/t/1/2/3", "/t/1", "*")},
	{name: "conditions", vhost: routes(
		route(`prefix: /, headers: [{name: x-a, string_match: {exact: v}}]`, `direct_response: {status: 201}`),
		route(`prefix: /, headers: [{name: x-b, string_match: {prefix: V, ignore_case: true}}]`, `direct_response: {status: 202}`),
		route(`prefix: /, headers: [{name: x-c, range_match: {start: 1, end: 10}}]`, `direct_response: {status: 203}`),
		route(`prefix: /, headers: [{name: x-d, present_match: true, invert_match: true}, {name: x-e, present_match: true}]`, `direct_response: {status: 206}`),
		route(`prefix: /, headers: [{name: x-f, string_match: {safe_regex: {regex: "a.*"}}, treat_missing_header_as_empty: true}, {name: x-g, string_match: {suffix: z}}]`, `direct_response: {status: 207}`),
		route(`prefix: /, headers: [{name: x-h, string_match: {contains: "1,2"}}]`, `direct_response: {status: 208}`),
		route(`prefix: /, query_parameters: [{name: q, string_match: {exact: "1"}}, {name: r, present_match: true}]`, `direct_response: {status: 226}`),
		route(`prefix: /, cookies: [{name: c, string_match: {exact: "1"}}]`, `direct_response: {status: 400}`),
		route(`prefix: /, headers: [{name: ":method", string_match: {exact: PUT}}]`, `direct_response: {status: 405}`),
		route(`prefix: /g, grpc: {}`, `direct_response: {status: 200, body: {inline_string: grpc}}`),
	), sends: []exchange{{send: "GET /; x-a: v"}, {send: "GET /; x-a: V"}, {send: "GET /; x-b: vvv"}, {send: "GET /; x-c: 1"}, {send: "GET /; x-c: 10"}, {send: "GET /; x-c: -1"}, {send: "GET /; x-e: "},
		{send: "GET /; x-d: 1; x-e: 1"}, {send: "GET /; x-g: xyz"}, {send: "GET /; x-f: ab; x-g: z"}, {send: "GET /; x-h: 1; x-h: 2"}, {send: "GET /?r&q=1"}, {send: "GET /?q=1"}, {send: "GET /; cookie: a=b; cookie: c=1"},
		{send: "GET /; cookie: a=b;c=1"}, {send: "PUT /"}, {send: "POST /g; content-type: application/grpc; body: x"}, {send: "POST /g; content-type: application/grpc+proto"}, {send: "GET /"}}},
	{name: "hosts", hosts: `
- {name: exact, domains: [a.example, "b.example:81"], routes: [{match: {prefix: /}, direct_response: {status: 201}}]}
- {name: suffix, domains: ["*.example"], routes: [{match: {prefix: /}, direct_response: {status: 202}}]}
- {name: longer, domains: ["*.b.example", "*-x.example"], routes: [{match: {prefix: /}, direct_response: {status: 203}}]}
- {name: prefix, domains: ["a.*"], routes: [{match: {prefix: /}, direct_response: {status: 206}}]}
- {name: tls, domains: [tls.test], require_tls: ALL, routes: [{match: {prefix: /}, direct_response: {status: 207}}]}
- {name: external, domains: [ext.test], require_tls: EXTERNAL_ONLY, routes: [{match: {prefix: /}, direct_response: {status: 208}}]}`,
		sends: []exchange{{send: "GET /; host: a.example"}, {send: "GET /; host: A.Example"}, {send: "GET /; host: a.example:80"}, {send: "GET /; host: b.example:81"}, {send: "GET /; host: x.b.example"}, {send: "GET /; host: y-x.example"},
			{send: "GET /; host: .example"}, {send: "GET /; host: a.test"}, {send: "GET /; host: c.test"}, {send: "GET /p?q; host: tls.test"}, {send: "GET /; host: tls.test:8080"}, {send: "POST /; host: tls.test; body: x"}, {send: "GET /; host: ext.test"}, {send: "GET /; host: ext.test; x-forwarded-for: 1.2.3.4"},
			{send: "GET /; host: tls.test; x-forwarded-proto: https"}, {send: "GET http://a.example/abs HTTP/1.1\r\nhost: c.test\r\n\r\n"}, {send: "GET /; host: "}, {send: "GET / HTTP/1.1\r\n\r\n"}, {send: "GET /; host: a.example; host: b.example"}}},
	{name: "redirects", vhost: routes(
		route(`prefix: /host`, `redirect: {host_redirect: other.test}`),
		route(`prefix: /https`, `redirect: {https_redirect: true}`),
		route(`prefix: /scheme`, `redirect: {scheme_redirect: ftp, port_redirect: 21}`),
		route(`prefix: /port`, `redirect: {port_redirect: 8443, response_code: TEMPORARY_REDIRECT}`),
		route(`prefix: /path`, `redirect: {path_redirect: "/new?x=y", response_code: FOUND}`),
		route(`prefix: /strip`, `redirect: {path_redirect: /new, strip_query: true, response_code: SEE_OTHER}`),
		route(`prefix: /prefix/`, `redirect: {prefix_rewrite: /p/, response_code: PERMANENT_REDIRECT}`),
		route(`prefix: /regex`, `redirect: {regex_rewrite: {pattern: {regex: "/regex/(.*)"}, substitution: '/\1/r'}}`),
		route(`prefix: /same`, `redirect: {}`),
	), sends: append(gets("/host/a?b", "/https?x", "/scheme", "/port/x", "/path?old", "/strip?old", "/prefix/a?b", "/prefix/", "/regex/a/b?c", "/same?x"),
		exchange{send: "GET /https; host: a.example:80"}, exchange{send: "GET /https; host: a.example:8080"}, exchange{send: "GET /scheme; host: a.example:80"}, exchange{send: "GET /host; x-forwarded-proto: https"},
		exchange{send: "GET /port; host: [::1]:80"}, exchange{send: "POST /host; body: hello"}, exchange{send: "HEAD /host"})},
	{name: "rewrites", vhost: routes(
		route(`prefix: /a/`, `route: {cluster: $up, prefix_rewrite: /x/}`),
		route(`path: /exact`, `route: {cluster: $up, prefix_rewrite: /}`),
		route(`safe_regex: {regex: "/re/.*"}`, `route: {cluster: $up, prefix_rewrite: /whole}`),
		route(`prefix: /b, case_sensitive: false`, `route: {cluster: $up, regex_rewrite: {pattern: {regex: "b/([^/?]*)"}, substitution: 'c/\1\\'}, host_rewrite_literal: rewritten.test}`),
		route(`prefix: /head`, `route: {cluster: $up, host_rewrite_header: x-host, append_x_forwarded_host: true}`),
		route(`prefix: /hostpath/`, `route: {cluster: $up, host_rewrite_path_regex: {pattern: {regex: "^/hostpath/([a-z]+).*$"}, substitution: '\1.test'}}`),
		route(`prefix: /auto`, `route: {cluster: $up, auto_host_rewrite: true}`),
		route(`path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/t/{a}/{b=**}"}}`,
			`route: {cluster: $up, path_rewrite_policy: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "/{b}/x/{a}"}}}`),
		route(`prefix: /`, `route: {cluster: $up}`),
	), sends: append(gets("/a/b?c", "/a/", "/exact?q=1", "/re/x?y", "/B/one/two?b/q", "/b/one", "/head", "/hostpath/foo/bar?x", "/hostpath/1", "/auto", "/t/1/2/3?q"),
		exchange{send: "GET /head; x-host: h.test; x-forwarded-host: first.test"}, exchange{send: "GET /b/1; x-forwarded-host: first.test"})},
	{name: "weights", vhost: routes(
		route(`prefix: /h`, `route: {weighted_clusters: {header_name: x-w, clusters: [{name: $up, weight: 3}, {name: $b, weight: 3, request_headers_to_add: [{header: {key: x-share, value: b}}], response_headers_to_add: [{header: {key: x-share, value: b}}], host_rewrite_literal: share.test}]}}`),
		route(`prefix: /c`, `route: {cluster_header: x-c}`),
		route(`prefix: /w`, `route: {weighted_clusters: {clusters: [{name: $up, weight: 0}, {cluster_header: x-c, weight: 1}]}}`),
		route(`prefix: /z, runtime_fraction: {default_value: {numerator: 0}}`, toB),
		route(`prefix: /n`, `route: {cluster_header: x-c, cluster_not_found_response_code: NOT_FOUND}`),
		route(`prefix: /none`, `route: {cluster: $none}`),
		route(`prefix: /`, to),
	), sends: []exchange{{send: "GET /h; x-w: 0"}, {send: "GET /h; x-w: 4"}, {send: "GET /h; x-w: 5"}, {send: "GET /h; x-w: 8"}, {send: "GET /c; x-c: weights_b"}, {send: "GET /c; x-c: nobody"}, {send: "GET /c"}, {send: "GET /w; x-c: weights_b"}, {send: "GET /w"}, {send: "GET /z"}, {send: "GET /n; x-c: no"}, {send: "GET /x"}}},
	{name: "direct", vhost: routes(
		route(`path: /a`, `direct_response: {status: 200, body: {inline_string: hello}}`),
		route(`path: /b`, `direct_response: {status: 204}`),
		route(`path: /c`, `direct_response: {status: 503, body: {inline_string: busy}}, response_headers_to_add: [{header: {key: x-a, value: "%PROTOCOL%"}}, {header: {key: content-type, value: text/html}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]`),
		route(`path: /d`, `direct_response: {status: 301}`),
		route(`path: /e`, `direct_response: {status: 304, body: {inline_string: x}}`),
	), sends: append(gets("/a", "/b", "/c", "/d", "/e", "/none"), exchange{send: "HEAD /a"}, exchange{send: "POST /a; body: hello"}, exchange{send: "GET /a\nGET /b\nGET /c"}, exchange{send: "GET /a; connection: close"}, exchange{send: "POST /a; content-type: application/grpc; body: hello"},
		exchange{send: "POST /c; content-type: application/grpc; body: hello"}, exchange{send: "POST /none; content-type: application/grpc; body: hello"}, exchange{send: "POST /a; expect: 100-continue; body: hello"})},
	{name: "posts", manager: "upgrade_configs: [{upgrade_type: CONNECT}]", vhost: routes(
		route(`prefix: /dead`, `route: {cluster: $dead, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]}`),
		route(`prefix: /off`, `route: {cluster: $up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}, enabled: false}]}`),
		route(`prefix: /not`, `route: {cluster: $up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}`),
		route(`prefix: /mirrored`, `route: {cluster: $up, request_mirror_policies: [{cluster: $b}], upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]}`),
		route(`prefix: /`, `route: {cluster: $up, upgrade_configs: [{upgrade_type: connect, connect_config: {allow_post: true}}]}`),
	), late: true, sends: []exchange{
		{send: "POST /; body: tcp hello"}, {send: "POST /; transfer-encoding: chunked; body: 4\r\ntcp \r\n5\r\nhello\r\n0\r\n\r\n"}, {send: "POST /; content-length: 0"}, {send: "POST /not; body: hello"}, {send: "POST /off; body: tcp hello"}, {send: "GET /"}, {send: "PUT /; body: hello"},
		{send: "POST /dead; body: tcp hello"}, {send: "POST /mirrored; body: tcp hello"},
	}},
	{name: "paths-ignored", manager: "path_normalization_options: {forwarding_transformation: {operations: [{normalize_path_rfc_3986: {}}, {merge_slashes: {}}]}, http_filter_transformation: {operations: [{merge_slashes: {}}]}}", sends: gets("/a/../b//c/%7Ed", "//")},
	{name: "upgrades", manager: `upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: other, enabled: false}, {upgrade_type: CONNECT}]`, vhost: routes(
		route(`connect_matcher: {}`, `route: {cluster: $up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}`),
		route(`prefix: /off`, `route: {cluster: $up, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}`),
		route(`prefix: /other`, `route: {cluster: $up, upgrade_configs: [{upgrade_type: other}]}`),
		route(`prefix: /`, to),
	), sends: []exchange{
		{send: "GET /; connection: upgrade; upgrade: websocket", answers: []string{"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + tunnel}, then: "hello"},
		{send: "GET /; connection: upgrade; upgrade: WebSocket", answers: []string{answered(403)}},
		{send: "GET /off; connection: upgrade; upgrade: websocket"},
		{send: "GET /; connection: upgrade; upgrade: other"},
		{send: "GET /other; connection: upgrade; upgrade: other", answers: []string{"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nearly" + tunnel}, then: "late"},
		{send: "GET /; connection: upgrade, http2-settings; upgrade: h2c; http2-settings: AAMAAABkAAQAAP__"},
		{send: "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n", then: "tcp hello"},
		{send: "GET /; upgrade: websocket"},
	}},
}
