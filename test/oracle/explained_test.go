package oracle

import "regexp"

// difference is one that is meant, or not mended yet.
type difference struct {
	what *regexp.Regexp // of its name
	why  string
}

func because(pattern, why string) difference { return difference{regexp.MustCompile(pattern), why} }

// explained are all of them. One that does not occur any more is to be taken out.
var explained = []difference{
	// Requests and answers that Envoy takes and we do not, or the other way round. Their numbers follow.
	because(`^answers/(17/|log17:)`, "a 101 that nobody asked for is a broken upstream here: what follows it would be a tunnel that the client knows nothing of"),
	because(`^answers/[67]/answer0$`, "interim answers go on to who asked (RFC 9110 §15.2); Envoy drops all but 100"),
	because(`^direct/(8/answer2|log10:)`, "Envoy gives up on a client that pipelines more than two requests which it answers itself"),
	because(`^hosts/(18/|log18:)`, "two Host fields are an attack (RFC 9112 §3.2), which Envoy joins with a comma"),
	because(`^ports-[a-z]*/(4/|log4:)`, "a port that is no number"),
	because(`^requests/(11|log11)[/:]`, "folded lines are refused (RFC 9112 §5.2); Envoy unfolds them"),
	because(`^requests/(13|log13)[/:]`, "two spaces in a request line, which Envoy takes for one"),
	because(`^requests/(14|log14)[/:]`, "HTTP/2.0 in a line of HTTP/1 is a version that is not supported, and not an old one"),
	because(`^requests/(19|log19)[/:]`, "one empty line may come before a request (RFC 9112 §2.2), not two"),
	because(`^requests/(20|log20)[/:]`, "a line that ends in LF alone is where parsers disagree"),
	because(`^requests/(3/up0:x-hop|log3:REQUEST_HEADERS_BYTES|log3:UPSTREAM_WIRE_BYTES_SENT)`, "a client may not have us take out fields by naming them in Connection (CVE-2021-33197)"),
	because(`^retry-(5xx/3|5xx/log3|kinds/(3|16|log3|log16))[/:]`, "a kept connection that turns out to be closed when it is used is nobody's fault: a request that is safe to repeat gets another one, and that is no retry"),
	because(`^retry-kinds/11/answer0:connection|^retry-kinds/log11:(BYTES_RECEIVED|DOWNSTREAM_WIRE_BYTES_SENT|RESPONSE_HEADERS_BYTES)`, "the request's body is read when there is somebody to take it, so the answer comes before it was"),
	because(`^(continued|answers|direct|hosts|ports-any|ports-matching|requests|retry-5xx|retry-kinds)/(http|cluster)\.`, "numbers of the above"),

	// Answers.
	because(`^both-lengths/0/answer0:connection$`, "a message with two lengths is the last one of its connection (RFC 9112 §6.1)"),
	because(`/answer0:transfer-encoding$`, "an answer to HEAD without a length does not tell how its body would have been framed"),
	because(`^formats/2/answer0:x-code$`, "the status of a direct response is known when its fields are made"),

	// Logs.
	because(`log\d+:DOWNSTREAM_WIRE_BYTES_SENT$`, "Envoy notes it before or after the end of the head and of the last chunk, as things fall; answers that differ have other sizes"),
	because(`log\d+:RESPONSE_HEADERS_BYTES$`, "connection and transfer-encoding are not among the fields yet when Envoy counts"),
	because(`log\d+:REQUEST_HEADERS_BYTES$`, "Envoy counts connection, transfer-encoding and fields with empty values as they stand in its map"),
	because(`log\d+:DOWNSTREAM_WIRE_BYTES_RECEIVED$`, "bytes of pipelined requests count for the one during which they came"),
	because(`^(paths|slashes)-.*log1[01]:(REQ|PATH|QUERY)`, "the head of a request with a fragment in its target is not kept"),
	because(`^redirects/log[678]:(REQ|PATH\(NQ)`, "Envoy rewrites the path of a request that it redirects, and logs that"),
	because(`^hosts/log16:REQ\(:AUTHORITY\)`, "an empty authority is written as none"),
	because(`^direct/log4:BYTES_SENT`, "a 304 has no body, whatever the route says; Envoy counts it"),
	because(`^tcp-(dead|none)/log0:|^tcp.*/rest$`, "a TCP proxy that finds nobody says less of it than Envoy, and closes where Envoy resets"),
	because(`^retry-kinds/log17:RESPONSE_`, "a connection that ends within a body is lost; Envoy calls it a protocol error"),
	because(`^retry-5xx/log6:UPSTREAM_WIRE_BYTES_SENT`, "what is replayed of a chunked body goes in one chunk"),
	because(`^paths/log15:RESPONSE_CODE_DETAILS`, "a target of * is no URL for Envoy, and no target of a GET here"),
	because(`^following/log\d+:BYTES_RECEIVED`, "a request whose redirect is followed is read once; Envoy counts its body for each pass again"),
	because(`^following/log\d+:(ROUTE_NAME|UPSTREAM_CLUSTER(_RAW)?|REQ\(:SCHEME\))`, "a redirect that is not followed leaves the request as it was; Envoy forgets its route, and says its scheme twice"),
	because(`^limits/log1:UPSTREAM_HOST(_NAME)?$`, "an endpoint was chosen before the limit was met"),
	because(`^upgrades/log6:UPSTREAM_PROTOCOL`, "a CONNECT that ends here speaks to its upstream over what is otherwise a connection of HTTP"),
	because(`^(upgrades/log[04]|moments/log11):RESPONSE_(CODE_DETAILS|FLAGS)`, "a tunnel that the upstream ends in order is no failure"),

	// Numbers.
	because(`/listener\.[^.]*\.http\.`, "requests are not counted for each listener, too"),
	because(`/listener\.[^.]*\.worker_0\.`, "loops are not counted for each listener"),
	because(`/cluster\..*\.default\.total_match_count$`, "this counts look-ups of the one and only matcher of transport sockets"),
	because(`/http\..*\.downstream_cx_destroy_(local|remote)$`, "a connection whose answer said close counts as closed by us; Envoy waits who is first"),
	because(`/http\..*\.(downstream_cx_tx_bytes_total|downstream_cx_rx_bytes_total)$`, "answers that differ have other sizes, and bytes that came with a refused request are counted to its end only"),
	because(`/http\..*\.downstream_rq_(rx|tx)_reset$`, "Envoy resets the rest of a request that was answered before it was whole, and counts it"),
	because(`/http\..*\.downstream_rq_response_before_rq_complete$`, "refused requests count among them"),
	because(`/http\..*\.(dropped_headers_with|requests_rejected_with)_underscores`, "Envoy counts them for the codec, under http1., and not for each connection manager"),
	because(`/http\..*\.tracing\.health_check$`, "nothing is traced"),
	because(`^limits/cluster\.`, "what is refused by a limit is refused before a connection is thought of, and the gauges of limits of 0 are always on"),
	because(`^((logs-)?tcp.*|moments-tcp)/cluster\.`, "connections of TCP proxies are counted as connections only"),
	because(`^timeouts/cluster\.`, "the last try that ran out of its own time is not counted as an answer of the cluster"),
	because(`^(upgrades|moments(-tunnel)?)/(cluster|http)\.`, "ends of tunnels are counted by who ends them; Envoy counts resets"),
	because(`/cluster\..*\.upstream_rq_(rx|tx)_reset$`, "lost connections count as resets of their streams"),
}

// uncompared are statistics that are not looked at: times, and what is so at one moment only.
var uncompared = regexp.MustCompile(`_ms$|_active$|_length_|_buffered$`)
