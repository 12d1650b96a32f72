package oracle

// moved is a redirect of the upstream's.
func moved(status int, to string, more ...string) string {
	return answered(status, append([]string{"location: " + to}, more...)...)
}

const (
	predicate  = "{name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.internal_redirect."
	notAgain   = "predicates: [" + predicate + "previous_routes.v3.PreviousRoutesConfig}}]"
	listed     = "predicates: [" + predicate + "allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [target, other]}}]"
	safeScheme = "predicates: [" + predicate + "safe_cross_scheme.v3.SafeCrossSchemeConfig}}]"
)

// follows is a route whose redirects are followed.
func follows(name, policy string, more ...string) string {
	text := "name: " + name + ", route: {cluster: $up, internal_redirect_policy: {" + policy + "}"
	for _, m := range more {
		text += ", " + m
	}
	return route("prefix: /"+name, text+"}, request_headers_to_add: [{header: {key: x-by, value: "+name+"}}]")
}

var following = []scenario{
	{name: "following", manager: "use_remote_address: true\nvia: me\nnormalize_path: true", filters: noting, hosts: "- {name: secure, domains: [secure.test], require_tls: ALL, routes: [{match: {prefix: /}, route: {cluster: $up}}]}", vhost: routes(
		follows("any", "redirect_response_codes: [302, 303, 307, 308, 200], max_internal_redirects: 3, response_headers_to_copy: [x-copy, x-none]"),
		follows("cross", "allow_cross_scheme_redirect: true", "prefix_rewrite: /rw"),
		follows("plain", ""),
		follows("again", "max_internal_redirects: 5, "+notAgain),
		follows("listed", listed),
		follows("safe", "allow_cross_scheme_redirect: true, "+safeScheme),
		follows("retried", "", "retry_policy: {"+backOff+", retry_on: 5xx}"),
		route("prefix: /old", "name: old, route: {cluster: $up, internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 2}"),
		route("prefix: /bounded", "name: bounded, per_request_buffer_limit_bytes: 3, route: {cluster: $up, internal_redirect_policy: {}}"),
		route("prefix: /target", "name: target, route: {cluster: $b, prefix_rewrite: /t}"),
		route("prefix: /direct", "name: direct, direct_response: {status: 200, body: {inline_string: hello}}"),
		route("prefix: /redirect", "name: redirect, redirect: {host_redirect: b}"),
		route("prefix: /none", "name: none, route: {cluster: $none}"),
	), sends: []exchange{
		{send: "GET /any/a?q; x-s: 1", answers: []string{moved(302, "http://b.test/target/x?y=1", "x-copy: 1", "x-copy: 2")}},
		{send: "POST /any; x-copy: old; x-none: 1; body: hello", answers: []string{moved(303, "http://b.test:81/target", "x-copy: c")}},
		{send: "POST /any; body: hello", answers: []string{moved(307, "http://b.test/target")}},
		{send: "POST /any HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", answers: []string{moved(308, "http://b.test/target")}},
		{send: "PUT /any; body: hello", answers: []string{moved(302, "http://b.test/any/1"), moved(302, "http://c.test/any/2"), moved(302, "http://d.test/any/3"), moved(302, "http://e.test/any/4")}},
		{send: "HEAD /any", answers: []string{"HTTP/1.1 302 Found\r\nlocation: http://b.test/target\r\n\r\n"}},
		{send: "GET /any", answers: []string{moved(302, "http://b.test/direct/../target/./x")}},
		{send: "GET /any", answers: []string{moved(302, "/target")}}, {send: "GET /any", answers: []string{moved(302, "")}}, {send: "GET /any", answers: []string{answered(302)}}, {send: "GET /any", answers: []string{moved(302, "https://b.test/target")}},
		{send: "GET /any", answers: []string{moved(302, "ftp://b.test/target")}}, {send: "GET /any", answers: []string{moved(200, "http://b.test/target")}}, {send: "GET /any", answers: []string{moved(300, "http://b.test/target")}},
		{send: "GET /any; x-forwarded-proto: https; x-envoy-original-url: own", answers: []string{moved(302, "http://b.test/target#frag")}},
		{send: "GET /any", answers: []string{moved(302, "http://b.test?x")}}, {send: "GET /any", answers: []string{moved(302, "http://b.test/target?x#y")}},
		{send: "GET /cross/a", answers: []string{moved(302, "https://b.test/target")}}, {send: "GET /cross/a", answers: []string{moved(301, "https://b.test/target")}},
		{send: "GET /plain", answers: []string{moved(302, "http://b.test/plain/x"), moved(302, "http://b.test/plain/y")}}, {send: "GET /plain", answers: []string{moved(302, "http://b.test/missing")}},
		{send: "GET /plain", answers: []string{moved(302, "http://b.test/direct")}}, {send: "POST /plain; body: hello", answers: []string{moved(302, "http://b.test/direct")}}, {send: "GET /plain", answers: []string{moved(302, "http://b.test/redirect")}}, {send: "GET /plain", answers: []string{moved(302, "http://b.test/none")}},
		{send: "GET /plain", answers: []string{moved(302, "http://secure.test/x")}}, {send: "GET /plain", answers: []string{"HTTP/1.1 302 Found\r\nlocation: http://b.test/target\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}},
		{send: "GET /again", answers: []string{moved(302, "http://b.test/again/1"), moved(302, "http://b.test/again/2")}}, {send: "GET /listed", answers: []string{moved(302, "http://b.test/target")}}, {send: "GET /listed", answers: []string{moved(302, "http://b.test/plain")}},
		{send: "GET /safe", answers: []string{moved(302, "https://b.test/target")}}, {send: "GET /safe", answers: []string{moved(302, "http://b.test/target")}},
		{send: "POST /retried; body: hello", answers: []string{answered(503), moved(302, "http://b.test/retried/2"), answered(500), answered(201)}},
		{send: "POST /bounded; body: hello", answers: []string{moved(302, "http://b.test/target")}}, {send: "POST /bounded; body: abc", answers: []string{moved(302, "http://b.test/target")}},
		{send: "GET /old", answers: []string{moved(302, "http://b.test/old/1"), moved(302, "http://b.test/old/2"), moved(302, "http://b.test/old/3")}}, {send: "GET /old", answers: []string{moved(301, "http://b.test/target")}},
	}},
}
