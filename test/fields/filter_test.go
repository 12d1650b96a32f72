package fields

import (
	"fmt"
	"slices"
	"strings"
	"time"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/test/e2e"
)

// The messages of HTTP filters, below envoy.extensions.filters.http.
const (
	faultMessage  = "fault.v3.HTTPFault"
	bufferMessage = "buffer.v3.Buffer"
	limitMessage  = "local_ratelimit.v3.LocalRateLimit"
)

const always = "percentage: {numerator: 100}"

var faults = filtered(faultMessage)

var filterTrials = slices.Concat(faultTrials, bufferTrials, limitTrials, statusTrials(), headTrials, bodyTrials, levelTrials())

var bufferTrials = []trial{
	{paths: "Buffer.max_request_bytes", site: filtered(bufferMessage), base: "max_request_bytes: 10", flip: "max_request_bytes: 4", probe: look(posts, "status"), want: [2]string{"200", "413"}},
	{paths: "BufferPerRoute.disabled", site: bufferOverride, base: "buffer: {max_request_bytes: 3}", flip: "disabled: true", probe: look(posts, "status"), want: [2]string{"413", "200"}},
	{paths: "BufferPerRoute.buffer", site: bufferOverride, base: "disabled: true", flip: "buffer: {max_request_bytes: 3}", probe: look(posts, "status"), want: [2]string{"200", "413"}},
}

const posts = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"

func bufferOverride(piece string) string {
	return chained(e2e.Filter("x", bufferMessage, "max_request_bytes: 4"), e2e.Override("x", "buffer.v3.BufferPerRoute", piece)+"\n"+all)
}

const (
	on      = "default_value: {numerator: 100}"
	oneOnly = "token_bucket: {max_tokens: 1, fill_interval: 3600s}"
	both1   = "stat_prefix: l, filter_enabled: {" + on + "}, filter_enforced: {" + on + "}"
	limited = both1 + ", " + oneOnly
	// plenty limits nothing by itself.
	plenty = both1 + ", token_bucket: {max_tokens: 1000, fill_interval: 3600s}"
)

// limitWith is a limit with these fields beside those that let one request through.
func limitWith(piece string) string { return filtered(limitMessage)(limited + ", " + piece) }

// actions have a bucket for one request of the descriptor k=v, which these actions make.
func actions(piece string) string {
	return filtered(limitMessage)(plenty + ", rate_limits: [{actions: [{" + piece + "}]}], " + bucketOf("k", "v"))
}

func bucketOf(key, value string) string {
	return "descriptors: [{entries: [{key: " + key + ", value: \"" + value + "\"}], " + oneOnly + "}]"
}

// notedFirst is actions after a filter that notes a: {b: v}.
func notedFirst(piece string) string {
	return chained(e2e.Filter("f", faultMessage, "filter_metadata: {b: v, c: w}, delay: {fixed_delay: 0.001s, "+always+"}")+"\n"+
		e2e.Filter("x", limitMessage, plenty+", rate_limits: [{actions: [{"+piece+"}]}], "+bucketOf("k", "v")), all)
}

const faultNotes = "key: f, path: [{key: "

// second is the second of two answers to the same request.
func second(request string, wants ...string) func(*world) string {
	return func(w *world) string {
		look(request, "status")(w)
		return look(request, wants...)(w)
	}
}

// hostLimits has a route and its virtual host with rate limits of their own, of which only the host's has a bucket.
func hostLimits(filter, route string) string {
	return chained(e2e.Filter("x", limitMessage, plenty+", "+bucketOf("generic_key", "host")+filter),
		"rate_limits: [{actions: [{generic_key: {descriptor_value: host}}]}]\nroutes: [{match: {prefix: /}, route: {cluster: up, "+route+"}}]")
}

const routeLimit = "rate_limits: [{actions: [{generic_key: {descriptor_value: other}}]}]"

var limitTrials = []trial{
	{paths: "LocalRateLimit.stat_prefix", site: filtered(limitMessage), base: limited, flip: strings.Replace(limited, "stat_prefix: l", "stat_prefix: m", 1), probe: look("GET /", "#m.http_local_rate_limit.ok"), want: [2]string{"-1", "1"}},
	{paths: "LocalRateLimit.token_bucket TokenBucket.max_tokens", site: filtered(limitMessage), base: limited, flip: strings.Replace(limited, "max_tokens: 1", "max_tokens: 2", 1), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "TokenBucket.fill_interval", site: filtered(limitMessage), base: limited, flip: strings.Replace(limited, "3600s", "0.05s", 1), probe: refilled, want: [2]string{"429", "200"}},
	{paths: "TokenBucket.tokens_per_fill", site: filtered(limitMessage), base: limited, flip: strings.Replace(limited, "max_tokens: 1", "max_tokens: 1, tokens_per_fill: 72000", 1), probe: refilled, want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.filter_enabled", site: filtered(limitMessage), base: limited, flip: strings.Replace(limited, "filter_enabled: {"+on+"}", "filter_enabled: {default_value: {numerator: 0}}", 1), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.filter_enforced RuntimeFractionalPercent.default_value", site: filtered(limitMessage), base: limited, flip: strings.Replace(limited, "filter_enforced: {"+on+"}", "filter_enforced: {default_value: {numerator: 0}}", 1), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.request_headers_to_add_when_not_enforced", site: filtered(limitMessage), base: "stat_prefix: l, filter_enabled: {" + on + "}, " + oneOnly, flip: "stat_prefix: l, filter_enabled: {" + on + "}, " + oneOnly + ", request_headers_to_add_when_not_enforced: " + add, probe: second("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "LocalRateLimit.response_headers_to_add", site: limitWith, flip: "response_headers_to_add: " + add, probe: second("GET /", "<x-a"), want: [2]string{"-", "v"}},
	{paths: "LocalRateLimit.enable_x_ratelimit_headers=DRAFT_VERSION_03", site: limitWith, flip: "enable_x_ratelimit_headers: DRAFT_VERSION_03", probe: second("GET /", "<x-ratelimit-limit", "<x-ratelimit-remaining", "<x-ratelimit-reset"), want: [2]string{"-|-|-", "1|0|3600"}},
	{paths: "LocalRateLimit.enable_retry_after_header", site: limitWith, flip: "enable_retry_after_header: true", probe: second("GET /", "<retry-after"), want: [2]string{"-", "3600"}},
	{paths: "LocalRateLimit.rate_limited_as_resource_exhausted", site: limitWith, flip: "rate_limited_as_resource_exhausted: true", probe: second("GET /; content-type: application/grpc", "<grpc-status"), want: [2]string{"14", "8"}},
	{paths: "LocalRateLimit.local_rate_limit_per_downstream_connection", site: limitWith, flip: "local_rate_limit_per_downstream_connection: true", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.rate_limits Action.generic_key GenericKey.descriptor_value", site: actions, base: "generic_key: {descriptor_key: k, descriptor_value: v}", flip: "generic_key: {descriptor_key: k, descriptor_value: w}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "GenericKey.descriptor_key", site: actions, base: "generic_key: {descriptor_key: k, descriptor_value: v}", flip: "generic_key: {descriptor_key: l, descriptor_value: v}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.descriptors LocalRateLimitDescriptor.entries Entry.key", site: generic, base: bucketOf("k", "v"), flip: bucketOf("l", "v"), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "Entry.value", site: generic, base: bucketOf("k", "v"), flip: bucketOf("k", "w"), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimitDescriptor.token_bucket", site: generic, base: bucketOf("k", "v"), flip: strings.Replace(bucketOf("k", "v"), "max_tokens: 1", "max_tokens: 2", 1), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimitDescriptor.shadow_mode", site: generic, base: bucketOf("k", "v"), flip: strings.Replace(bucketOf("k", "v"), "entries", "shadow_mode: true, entries", 1), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.always_consume_default_token_bucket", site: filtered(limitMessage), base: limited + ", rate_limits: [{actions: [{generic_key: {descriptor_value: a}}]}], " + wide, flip: limited + ", always_consume_default_token_bucket: false, rate_limits: [{actions: [{generic_key: {descriptor_value: a}}]}], " + wide, probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "LocalRateLimit.stage", site: staged, base: "stage: 1", flip: "stage: 2", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RateLimit.stage", site: ruled, base: "", flip: "stage: 1,", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RateLimit.disable_key", site: ruled, base: "", flip: "disable_key: a,", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RateLimit.actions", site: ruled, base: "", flip: "actions: [{generic_key: {descriptor_value: x}}],", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RateLimit.hits_addend HitsAddend.number", site: ruled, base: "hits_addend: {number: 1},", flip: "hits_addend: {number: 2},", probe: look("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "HitsAddend.format", site: ruled, base: "", flip: "hits_addend: {format: \"%REQ(x)%\"},", probe: look("GET /; x: 2", "status"), want: [2]string{"200", "429"}},
	{paths: "HitsAddend.is_negative_hits", site: ruled, base: "hits_addend: {number: 1},", flip: "hits_addend: {number: 1, is_negative_hits: true},", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RateLimit.apply_on_stream_done", site: ruled, base: "", flip: "apply_on_stream_done: true,", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.source_cluster", site: func(p string) string { return entry("source_cluster", "mine")(p) + "\nnode: {cluster: mine}" }, base: "source_cluster: {}", flip: "remote_address: {}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.remote_address_match RemoteAddressMatch.address_matcher AddressMatcher.ranges", site: actions, base: addressMatch("k", "descriptor_value: v", "127.0.0.0"), flip: addressMatch("k", "descriptor_value: v", "10.0.0.0"), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "AddressMatcher.invert_match", site: actions, base: addressMatch("k", "descriptor_value: v", "127.0.0.0"), flip: strings.Replace(addressMatch("k", "descriptor_value: v", "127.0.0.0"), "ranges", "invert_match: true, ranges", 1), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RemoteAddressMatch.descriptor_key", site: actions, base: addressMatch("k", "descriptor_value: v", "127.0.0.0"), flip: addressMatch("l", "descriptor_value: v", "127.0.0.0"), probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "RemoteAddressMatch.descriptor_value", site: actions, base: addressMatch("k", "descriptor_value: v", "127.0.0.0"), flip: addressMatch("k", "descriptor_value: \"%REQ(x)%\"", "127.0.0.0"), probe: second("GET /; x: w", "status"), want: [2]string{"429", "200"}},
	{paths: "RemoteAddressMatch.default_value", site: actions, base: addressMatch("k", "descriptor_value: \"%REQ(x)%\"", "127.0.0.0"), flip: addressMatch("k", "descriptor_value: \"%REQ(x)%\", default_value: v", "127.0.0.0"), probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "Action.destination_cluster", site: entry("destination_cluster", "up"), base: "destination_cluster: {}", flip: "remote_address: {}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.remote_address", site: entry("remote_address", "127.0.0.1"), base: "remote_address: {}", flip: "destination_cluster: {}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.masked_remote_address MaskedRemoteAddress.v4_prefix_mask_len", site: entry("masked_remote_address", "127.0.0.0/8"), base: "masked_remote_address: {v4_prefix_mask_len: 8}", flip: "masked_remote_address: {v4_prefix_mask_len: 7}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "MaskedRemoteAddress.v6_prefix_mask_len", site: entry("masked_remote_address", "2001:db8::/32"), base: "masked_remote_address: {v6_prefix_mask_len: 32}", flip: "masked_remote_address: {v6_prefix_mask_len: 31}", probe: second("GET /; x-forwarded-for: 2001:db8::1", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.request_headers RequestHeaders.header_name", site: actions, base: "request_headers: {header_name: x, descriptor_key: k}", flip: "request_headers: {header_name: z, descriptor_key: k}", probe: second("GET /; x: v", "status"), want: [2]string{"429", "200"}},
	{paths: "RequestHeaders.descriptor_key", site: actions, base: "request_headers: {header_name: x, descriptor_key: k}", flip: "request_headers: {header_name: x, descriptor_key: l}", probe: second("GET /; x: v", "status"), want: [2]string{"429", "200"}},
	{paths: "RequestHeaders.skip_if_absent", site: actions, base: genericKV + "}, {request_headers: {header_name: z, descriptor_key: l}", flip: genericKV + "}, {request_headers: {header_name: z, descriptor_key: l, skip_if_absent: true}", probe: second("GET /; x: v", "status"), want: [2]string{"200", "429"}},
	{paths: "Action.query_parameters QueryParameters.query_parameter_name", site: actions, base: "query_parameters: {query_parameter_name: x, descriptor_key: k}", flip: "query_parameters: {query_parameter_name: z, descriptor_key: k}", probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameters.descriptor_key", site: actions, base: "query_parameters: {query_parameter_name: x, descriptor_key: k}", flip: "query_parameters: {query_parameter_name: x, descriptor_key: l}", probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameters.skip_if_absent", site: actions, base: genericKV + "}, {query_parameters: {query_parameter_name: z, descriptor_key: l}", flip: genericKV + "}, {query_parameters: {query_parameter_name: z, descriptor_key: l, skip_if_absent: true}", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "Action.header_value_match HeaderValueMatch.headers", site: actions, base: headerMatch("exact_match: v"), flip: headerMatch("exact_match: w"), probe: second("GET /; x: v", "status"), want: [2]string{"429", "200"}},
	{paths: "HeaderValueMatch.expect_match", site: actions, base: headerMatch("exact_match: v"), flip: "header_value_match: {expect_match: false, descriptor_key: k, descriptor_value: v, headers: [{name: x, exact_match: v}]}", probe: second("GET /; x: v", "status"), want: [2]string{"429", "200"}},
	{paths: "HeaderValueMatch.descriptor_key", site: actions, base: headerMatch("exact_match: v"), flip: strings.Replace(headerMatch("exact_match: v"), "descriptor_key: k", "descriptor_key: l", 1), probe: second("GET /; x: v", "status"), want: [2]string{"429", "200"}},
	{paths: "HeaderValueMatch.descriptor_value", site: actions, base: headerMatch("exact_match: v"), flip: strings.Replace(headerMatch("exact_match: v"), "descriptor_value: v", "descriptor_value: w", 1), probe: second("GET /; x: v", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.query_parameter_value_match QueryParameterValueMatch.query_parameters QueryParameterMatcher.string_match", site: actions, base: queryMatch("string_match: {exact: v}"), flip: queryMatch("string_match: {exact: w}"), probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameterMatcher.name", site: actions, base: queryMatch("present_match: true"), flip: strings.Replace(queryMatch("present_match: true"), "name: x", "name: z", 1), probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameterMatcher.present_match", site: actions, base: queryMatch("present_match: true"), flip: queryMatch("string_match: {exact: w}"), probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameterValueMatch.expect_match", site: actions, base: queryMatch("present_match: true"), flip: "query_parameter_value_match: {expect_match: false, descriptor_key: k, descriptor_value: v, query_parameters: [{name: x, present_match: true}]}", probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameterValueMatch.descriptor_key", site: actions, base: queryMatch("present_match: true"), flip: strings.Replace(queryMatch("present_match: true"), "descriptor_key: k", "descriptor_key: l", 1), probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "QueryParameterValueMatch.descriptor_value", site: actions, base: queryMatch("present_match: true"), flip: strings.Replace(queryMatch("present_match: true"), "descriptor_value: v", "descriptor_value: w", 1), probe: second("GET /?x=v", "status"), want: [2]string{"429", "200"}},
	{paths: "Action.dynamic_metadata DynamicMetaData.metadata_key", site: notedFirst, base: "dynamic_metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "b}]}}", flip: "dynamic_metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "c}]}}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "DynamicMetaData.descriptor_key", site: notedFirst, base: "dynamic_metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "b}]}}", flip: "dynamic_metadata: {descriptor_key: l, metadata_key: {" + faultNotes + "b}]}}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "DynamicMetaData.default_value", site: notedFirst, base: "dynamic_metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "d}]}}", flip: "dynamic_metadata: {descriptor_key: k, default_value: v, metadata_key: {" + faultNotes + "d}]}}", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "Action.metadata MetaData.metadata_key MetadataKey.path PathSegment.key", site: notedFirst, base: "metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "b}]}}", flip: "metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "c}]}}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "MetadataKey.key", site: notedFirst, base: "metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "b}]}}", flip: "metadata: {descriptor_key: k, metadata_key: {key: other, path: [{key: b}]}}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "MetaData.descriptor_key", site: notedFirst, base: "metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "b}]}}", flip: "metadata: {descriptor_key: l, metadata_key: {" + faultNotes + "b}]}}", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
	{paths: "MetaData.default_value", site: notedFirst, base: "metadata: {descriptor_key: k, metadata_key: {" + faultNotes + "d}]}}", flip: "metadata: {descriptor_key: k, default_value: v, metadata_key: {" + faultNotes + "d}]}}", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "MetaData.skip_if_absent", site: notedFirst, base: genericKV + "}, {metadata: {descriptor_key: l, metadata_key: {" + faultNotes + "d}]}}", flip: genericKV + "}, {metadata: {descriptor_key: l, skip_if_absent: true, metadata_key: {" + faultNotes + "d}]}}", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "VirtualHost.rate_limits", site: func(p string) string {
		return chained(e2e.Filter("x", limitMessage, plenty+", "+bucketOf("generic_key", "a")), p+all)
	}, flip: "rate_limits: [{actions: [{generic_key: {descriptor_value: a}}]}]\n", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "RouteAction.rate_limits", site: func(p string) string {
		return chained(e2e.Filter("x", limitMessage, plenty+", "+bucketOf("generic_key", "a")), "routes: [{match: {prefix: /}, route: {cluster: up, "+p+"}}]")
	}, flip: "rate_limits: [{actions: [{generic_key: {descriptor_value: a}}]}]", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "RouteAction.include_vh_rate_limits", site: func(p string) string { return hostLimits("", routeLimit+p) }, flip: ", include_vh_rate_limits: true", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "LocalRateLimit.vh_rate_limits=INCLUDE", site: func(p string) string { return hostLimits(p, routeLimit) }, flip: ", vh_rate_limits: INCLUDE", probe: second("GET /", "status"), want: [2]string{"200", "429"}},
	{paths: "LocalRateLimit.vh_rate_limits=IGNORE", site: func(p string) string { return hostLimits(p, "") }, flip: ", vh_rate_limits: IGNORE", probe: second("GET /", "status"), want: [2]string{"429", "200"}},
}

const (
	genericKV = "generic_key: {descriptor_key: k, descriptor_value: v}"
	wide      = "descriptors: [{entries: [{key: generic_key, value: a}], token_bucket: {max_tokens: 1000, fill_interval: 3600s}}]"
)

func generic(piece string) string {
	return filtered(limitMessage)(plenty + ", rate_limits: [{actions: [{" + genericKV + "}]}], " + piece)
}

// entry has a bucket for one request of a descriptor with that one entry.
func entry(key, value string) func(string) string {
	return func(piece string) string {
		return filtered(limitMessage)(plenty + ", rate_limits: [{actions: [{" + piece + "}]}], " + bucketOf(key, value))
	}
}

// staged has a rate limit of stage 1, ruled one with these fields.
func staged(piece string) string {
	return filtered(limitMessage)(plenty + ", " + piece + ", rate_limits: [{stage: 1, actions: [{" + genericKV + "}]}], " + bucketOf("k", "v"))
}

func ruled(piece string) string {
	if strings.HasPrefix(piece, "actions") {
		return filtered(limitMessage)(plenty + ", rate_limits: [{" + strings.TrimSuffix(piece, ",") + "}], " + bucketOf("k", "v"))
	}
	return filtered(limitMessage)(plenty + ", rate_limits: [{" + piece + " actions: [{" + genericKV + "}]}], " + bucketOf("k", "v"))
}

func headerMatch(condition string) string {
	return "header_value_match: {descriptor_key: k, descriptor_value: v, headers: [{name: x, " + condition + "}]}"
}

func addressMatch(key, value, network string) string {
	return "remote_address_match: {descriptor_key: " + key + ", " + value + ", address_matcher: {ranges: [{address_prefix: " + network + ", prefix_len: 8}]}}"
}

func queryMatch(condition string) string {
	return "query_parameter_value_match: {descriptor_key: k, descriptor_value: v, query_parameters: [{name: x, " + condition + "}]}"
}

// refilled is the status of a second request that comes when a quick bucket has a token again.
func refilled(w *world) string {
	look("GET /", "status")(w)
	tick := time.NewTicker(70 * time.Millisecond)
	defer tick.Stop()
	<-tick.C
	return look("GET /", "status")(w)
}

// statusTrials is one for each status that a limited request may be told.
func statusTrials() (list []trial) {
	for code, name := range typev3.StatusCode_name {
		if code < 400 {
			continue
		}
		base := "status: {code: TooManyRequests}"
		want := "429"
		if code == 429 {
			base, want = "status: {code: NotFound}", "404"
		}
		list = append(list, trial{paths: "HttpStatus.code=" + name, site: limitWith, base: base, flip: "status: {code: " + name + "}", probe: second("GET /", "status"), want: [2]string{want, fmt.Sprint(code)}})
	}
	return list
}

var faultTrials = []trial{
	{paths: "HTTPFault.delay FaultDelay.fixed_delay", site: faults, base: "delay: {fixed_delay: 0.001s, " + always + "}", flip: "delay: {fixed_delay: 2s, " + always + "}", probe: slow(1500 * time.Millisecond), want: [2]string{"false", "true"}},
	{paths: "FaultDelay.header_delay", site: faults, base: "delay: {fixed_delay: 0.001s, " + always + "}", flip: "delay: {header_delay: {}, " + always + "}", probe: slow(1500*time.Millisecond, "x-envoy-fault-delay-request: 2000"), want: [2]string{"false", "true"}},
	{paths: "FaultDelay.percentage", site: faults, base: "delay: {fixed_delay: 0.001s}", flip: "delay: {fixed_delay: 0.001s, " + always + "}", probe: look("GET /", "#http.http.fault.delays_injected"), want: [2]string{"0", "1"}},
	{paths: "HTTPFault.abort FaultAbort.http_status", site: faults, base: "abort: {http_status: 418, " + always + "}", flip: "abort: {http_status: 419, " + always + "}", probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "FaultAbort.grpc_status", site: faults, base: "abort: {grpc_status: 1, " + always + "}", flip: "abort: {grpc_status: 5, " + always + "}", probe: look("GET /; content-type: application/grpc", "<grpc-status"), want: [2]string{"1", "5"}},
	{paths: "FaultAbort.header_abort", site: faults, base: "abort: {http_status: 418, " + always + "}", flip: "abort: {header_abort: {}, " + always + "}", probe: look("GET /; x-envoy-fault-abort-request: 503", "status"), want: [2]string{"418", "503"}},
	{paths: "FaultAbort.percentage FractionalPercent.numerator", site: faults, base: "abort: {http_status: 418, percentage: {numerator: 0}}", flip: "abort: {http_status: 418, " + always + "}", probe: look("GET /", "status"), want: [2]string{"200", "418"}},
	{paths: "FractionalPercent.denominator=TEN_THOUSAND", site: faults, base: "abort: {http_status: 418, " + always + "}", flip: "abort: {http_status: 418, percentage: {numerator: 100, denominator: TEN_THOUSAND}}", probe: often("418"), want: [2]string{"always", "rarely"}},
	{paths: "FractionalPercent.denominator=MILLION", site: faults, base: "abort: {http_status: 418, " + always + "}", flip: "abort: {http_status: 418, percentage: {numerator: 100, denominator: MILLION}}", probe: often("418"), want: [2]string{"always", "rarely"}},
	{paths: "FaultAbort.response_body", site: faults, base: "abort: {http_status: 418, " + always + "}", flip: "abort: {http_status: 418, response_body: tea, " + always + "}", probe: look("GET /", "body"), want: [2]string{"fault filter abort", "tea"}},
	{paths: "HTTPFault.upstream_cluster", site: faults, base: aborts, flip: "upstream_cluster: other, " + aborts, probe: look("GET /", "status"), want: [2]string{"418", "200"}},
	{paths: "HTTPFault.headers", site: faults, base: aborts, flip: "headers: [{name: x, exact_match: v}], " + aborts, probe: look("GET /", "status"), want: [2]string{"418", "200"}},
	{paths: "HTTPFault.downstream_nodes", site: faults, base: aborts, flip: "downstream_nodes: [a], " + aborts, probe: look("GET /; x-envoy-downstream-service-node: b", "status"), want: [2]string{"418", "200"}},
	{paths: "HTTPFault.max_active_faults", site: faults, base: aborts, flip: "max_active_faults: 0, " + aborts, probe: look("GET /", "status"), want: [2]string{"418", "200"}},
	{paths: "HTTPFault.response_rate_limit FaultRateLimit.fixed_limit FixedLimit.limit_kbps", site: faults, base: "response_rate_limit: {fixed_limit: {limit_kbps: 100000}, " + always + "}", flip: "response_rate_limit: {fixed_limit: {limit_kbps: 1}, " + always + "}", up: answer("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + kib), probe: slow(1200 * time.Millisecond), want: [2]string{"false", "true"}},
	{paths: "FaultRateLimit.header_limit", site: faults, base: "response_rate_limit: {fixed_limit: {limit_kbps: 100000}, " + always + "}", flip: "response_rate_limit: {header_limit: {}, " + always + "}", up: answer("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + kib), probe: slow(1200*time.Millisecond, "x-envoy-fault-throughput-response: 1"), want: [2]string{"false", "true"}},
	{paths: "FaultRateLimit.percentage", site: faults, base: "response_rate_limit: {fixed_limit: {limit_kbps: 1000}}", flip: "response_rate_limit: {fixed_limit: {limit_kbps: 1000}, " + always + "}", probe: look("GET /", "#http.http.fault.response_rl_injected"), want: [2]string{"0", "1"}},
	{paths: "HTTPFault.disable_downstream_cluster_stats", site: faults, base: aborts, flip: "disable_downstream_cluster_stats: true, " + aborts, probe: look("GET /; x-envoy-downstream-service-cluster: a", "#http.http.fault.a.aborts_injected"), want: [2]string{"1", "-1"}},
	{paths: "HTTPFault.filter_metadata", site: filtered(faultMessage, noted("%DYNAMIC_METADATA(x:a)%")), base: aborts, flip: "filter_metadata: {a: b}, " + aborts, probe: look("GET /", "@log"), want: [2]string{"-", "b"}},
}

const aborts = "abort: {http_status: 418, " + always + "}"

// noted logs what a format says.
func noted(format string) string { return replaced(fileLog, "%REQ(:SCHEME)%", format) }

// slow tells whether an answer takes at least that long.
func slow(least time.Duration, fields ...string) func(*world) string {
	return func(w *world) string {
		c := w.dial()
		began := time.Now()
		c.Get("/", fields...)
		return fmt.Sprint(time.Since(began) >= least)
	}
}

// often tells how often a request has that status.
func often(status string) func(*world) string {
	return func(w *world) string {
		n := 0
		c := w.dial()
		for range 50 {
			if fmt.Sprint(c.Get("/").Status) == status {
				n++
			}
		}
		switch {
		case n == 50:
			return "always"
		case n < 25:
			return "rarely"
		}
		return fmt.Sprint(n)
	}
}
