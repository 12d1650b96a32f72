package oracle

// layers are the runtime values that every scenario is served with.
const layers = `
layered_runtime:
  layers:
  - name: first
    static_layer: {oracle: {all: 100, none: 100, more: 1000, less: -1, part: 100.9, text: "100", word: x, truth: true, share: {numerator: 10000, denominator: TEN_THOUSAND}, never: {numerator: 0}, status: 201, sampled: 10000}}
  - name: second
    static_layer: {oracle.none: 0}
  - name: third
    admin_layer: {}
`

func fraction(key, otherwise string) string {
	return route("path: /"+key+", runtime_fraction: {runtime_key: oracle."+key+", default_value: {numerator: "+otherwise+"}}", "direct_response: {status: 201}")
}

var running = []scenario{
	{name: "runtime", vhost: routes(fraction("all", "0"), fraction("none", "100"), fraction("more", "0"), fraction("less", "0"), fraction("part", "0"), fraction("text", "0"), fraction("word", "100"),
		fraction("truth", "100"), fraction("share", "0"), fraction("never", "100"), fraction("unset", "100"), route("prefix: /", "direct_response: {status: 202}")),
		sends: gets("/all", "/none", "/more", "/less", "/part", "/text", "/word", "/truth", "/share", "/never", "/unset")},
	{name: "runtime-log-status", logs: "status_code_filter: {comparison: {op: EQ, value: {default_value: 202, runtime_key: oracle.status}}}", vhost: routes(
		route("path: /a", "direct_response: {status: 201}"), route("prefix: /", "direct_response: {status: 202}")), sends: gets("/a", "/b")},
	{name: "runtime-log-share", logs: "runtime_filter: {runtime_key: oracle.sampled, percent_sampled: {numerator: 0, denominator: TEN_THOUSAND}}", sends: gets("/a")},
	{name: "runtime-log-few", logs: "runtime_filter: {runtime_key: oracle.share, percent_sampled: {numerator: 0}}", sends: gets("/a")},
}
