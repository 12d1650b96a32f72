package fields

import "github.com/weftmesh/weft/test/e2e"

// replying answers 404 in the upstream's place, and changes that.
func replying(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, direct_response: {status: 404, body: {inline_string: b}}}]", "local_reply_config: {"+piece+"}"), upCluster())
}

// mapping is one mapper of those answers.
func mapping(piece string) string {
	return replying("mappers: [{filter: {not_health_check_filter: {}}, " + piece + "}]")
}

// bodied is the format of their bodies.
func bodied(piece string) string { return replying("body_format: {" + piece + "}") }

var replyTrials = []trial{
	{paths: "HttpConnectionManager.local_reply_config LocalReplyConfig.body_format SubstitutionFormatString@body.text_format", site: bodied, base: "text_format: a", flip: `text_format: "a%LOCAL_REPLY_BODY%"`, probe: look("GET /", "body"), want: [2]string{"a", "ab"}},
	{paths: "SubstitutionFormatString@body.text_format_source", site: bodied, base: "text_format_source: {inline_string: a}", flip: "text_format_source: {inline_string: c}", probe: look("GET /", "body"), want: [2]string{"a", "c"}},
	{paths: "SubstitutionFormatString@body.json_format", site: bodied, base: "text_format: a", flip: `json_format: {a: "%LOCAL_REPLY_BODY%"}`, probe: look("GET /", "body", "<content-type"), want: [2]string{"a|text/plain", "{\"a\":\"b\"}\n|application/json"}},
	{paths: "SubstitutionFormatString@body.omit_empty_values", site: bodied, base: `text_format: "a%REQ(x)%"`, flip: `text_format: "a%REQ(x)%", omit_empty_values: true`, probe: look("GET /", "body"), want: [2]string{"a-", "a"}},
	{paths: "SubstitutionFormatString@body.content_type", site: bodied, base: "text_format: a", flip: "text_format: a, content_type: c/d", probe: look("GET /", "<content-type"), want: [2]string{"text/plain", "c/d"}},
	{paths: "LocalReplyConfig.mappers", site: replying, flip: "mappers: [{filter: {not_health_check_filter: {}}, status_code: 499}]", probe: look("GET /", "status"), want: [2]string{"404", "499"}},
	{paths: "ResponseMapper.filter", site: replying, base: "mappers: [{filter: {runtime_filter: {runtime_key: k}}, status_code: 499}]", flip: "mappers: [{filter: {not_health_check_filter: {}}, status_code: 499}]", probe: look("GET /", "status"), want: [2]string{"404", "499"}},
	{paths: "ResponseMapper.status_code", site: mapping, flip: "status_code: 499", probe: look("GET /", "status"), want: [2]string{"404", "499"}},
	{paths: "ResponseMapper.body", site: mapping, flip: "body: {inline_string: c}", probe: look("GET /", "body"), want: [2]string{"b", "c"}},
	{paths: "ResponseMapper.body_format_override", site: mapping, flip: `body_format_override: {text_format: "%RESPONSE_CODE% %DURATION%"}`, probe: look("GET /", "body"), want: [2]string{"b", "404 0"}},
	{paths: "ResponseMapper.headers_to_add", site: mapping, flip: "headers_to_add: [{header: {key: x-a, value: v}}]", probe: look("GET /", "<x-a"), want: [2]string{"-", "v"}},
	{paths: "DirectResponseAction.body_format", site: direct, base: "status: 200, body: {inline_string: b}", flip: `status: 200, body: {inline_string: b}, body_format: {text_format: "a%LOCAL_REPLY_BODY%"}`, probe: look("GET /", "body"), want: [2]string{"b", "ab"}},
}
