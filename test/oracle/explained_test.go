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
	because(`^answers-odd/(2/|log2:)`, "a 101 that nobody asked for is a broken upstream here: what follows it would be a tunnel that the client knows nothing of"),
	because(`^answers-odd/[01]/answer0$`, "interim answers go on to who asked (RFC 9110 §15.2); Envoy drops all but 100"),
	because(`^direct-odd/(0/answer2|log2:)`, "Envoy gives up on a client that pipelines more than two requests which it answers itself"),
	because(`^hosts-odd/(0/|log0:)`, "two Host fields are an attack (RFC 9112 §3.2), which Envoy joins with a comma"),
	because(`^ports-[a-z]*-odd/(0/|log0:)`, "a port that is no number"),
	because(`^requests-odd/(1|log1)[/:]`, "folded lines are refused (RFC 9112 §5.2); Envoy unfolds them"),
	because(`^requests-odd/(2|log2)[/:]`, "two spaces in a request line, which Envoy takes for one"),
	because(`^requests-odd/(3|log3)[/:]`, "HTTP/2.0 in a line of HTTP/1 is a version that is not supported, and not an old one"),
	because(`^requests-odd/(4|log4)[/:]`, "one empty line may come before a request (RFC 9112 §2.2), not two"),
	because(`^requests-odd/(5|log5)[/:]`, "a line that ends in LF alone is where parsers disagree"),
	because(`^requests-odd/(0/up0:x-hop|log0:REQUEST_HEADERS_BYTES|log0:UPSTREAM_(WIRE|HEADER|DECOMPRESSED_HEADER)_BYTES_SENT)`, "a client may not have us take out fields by naming them in Connection (CVE-2021-33197)"),
	because(`^retry-(5xx/3|5xx/log3|kinds/(3|16|log3|log16))[/:]`, "a kept connection that turns out to be closed when it is used is nobody's fault: a request that is safe to repeat gets another one, and that is no retry"),
	because(`^retry-kinds/11/answer0:connection|^retry-kinds/log11:(BYTES_RECEIVED|DOWNSTREAM_WIRE_BYTES_SENT|RESPONSE_HEADERS_BYTES)|^fault-grpc/(1/answer0:connection|log1:BYTES_RECEIVED)|^(retry-kinds/log11|fault-grpc/log1):COMMON_DURATION\(DS_RX_END`, "the request's body is read when there is somebody to take it, so the answer comes before it was"),
	because(`^([a-z-]*-odd|retry-5xx|retry-kinds)/(http|cluster|listener)\.`, "numbers of the above"),

	because(`^managed-(codec-)?errors/\d/answer0:connection$`, "a request without Host is one that the codec gives up on, whatever is said of malformed messages"),
	because(`^proxied(-one)?/\d/answer0$|^chains-names/6/rest$|^waited/0/rest$|^listener-logs-none/0/rest$`, "what a refused client has sent is read before the connection is closed, so that it sees an end and no reset"),

	because(`^gunzip/((8|9|11)/answer0 body|log(8|9|11):(BYTES_SENT|RESPONSE_CODE_DETAILS|COMMON_DURATION\((DS_TX|US_RX)_END.*))$`, "a compressed body that is broken or swells too much ends its exchange, so that nobody takes what came for the whole, as those behind Envoy do"),
	because(`^gunzip/(10/answer0 body|log10:BYTES_SENT)$`, "members of gzip that follow one another are one body (RFC 1952 §2.2); Envoy drops all but the first"),
	because(`^gunzip/(12/answer0|log12:BYTES_SENT)`, "a part of a compressed body cannot be decompressed"),
	because(`^gunzip/(cluster|http)\.`, "numbers of the above; errors are not counted by what libraries call them"),

	because(`^grpc-web-odd/`, "text may have padding wherever a message ends, as gRPC-Web's protocol says, and Envoy takes it only where the rest comes later; whether an upstream has heard of a request before its text is found broken is left to chance"),
	because(`^grpc-[a-z-]*/(log\d+:UPSTREAM_WIRE_BYTES_SENT|cluster\..*upstream_cx_tx_bytes_total)$`, "chunks of a request go on as they came; Envoy joins those that came at once"),
	because(`^grpc-.*/cluster\..*\.(x|77|unknown)$`, "codes that gRPC does not have are one number, since servers make them up"),
	because(`^grpc-web/(23/answer0$|log23:RESP|cluster\.grpc-web_none\.grpc-web|http|listener)|^grpc-upgrade/(21/|22/|log21|log22|http|listener)`, "not mended yet: whether the client speaks gRPC is asked of the request as filters have left it, and not as it came"),

	// Answers.
	because(`^both-lengths/0/answer0:connection$`, "a message with two lengths is the last one of its connection (RFC 9112 §6.1)"),
	because(`/answer0:transfer-encoding$`, "an answer to HEAD without a length does not tell how its body would have been framed"),
	because(`^formats/2/answer0:x-code$`, "the status of a direct response is known when its fields are made"),

	// Logs.
	because(`log\d+:DOWNSTREAM_WIRE_BYTES_SENT$`, "Envoy notes it before or after the end of the head and of the last chunk, as things fall; answers that differ have other sizes"),
	because(`log\d+:DOWNSTREAM_(DECOMPRESSED_)?HEADER_BYTES_SENT$`, "Envoy notes it after the moment at which a tunnel is told of; fields that are explained above, and milliseconds of more or fewer digits, have other sizes"),
	because(`^(requests/log[047]|heads-large/log1|underscores-reject/log0):DOWNSTREAM_(DECOMPRESSED_)?HEADER_BYTES_RECEIVED$`, "of a head that is refused nothing has come; Envoy counts what it had read when it refused"),
	because(`^(speaking/log1|answers/log14):UPSTREAM_(DECOMPRESSED_)?HEADER_BYTES_RECEIVED$`, "of a response that cannot be read nothing has come; Envoy counts up to the field that it cannot read"),
	because(`^access-tcp-(denied|empty)/(0/rest|cluster\.|tcp\..*_rx_bytes_total)`, "nobody is dialled for a connection that rules deny, and what it says is not read; Envoy dials before it asks"),
	because(`^access-http-denied/(0/answer0|http\.)`, "a connection that rules deny is no connection of the manager's, and what it says is not read"),
	because(`^access-fragment/log0`, "a target with a fragment is not taken down, since it is refused before it is read whole"),
	because(`^upgrades/log5:ROUTE_RESOLUTION_COUNT$`, "an upgrade to h2c is looked for with its fields and without them"),
	because(`log\d+:RESPONSE_HEADERS_BYTES$`, "connection and transfer-encoding are not among the fields yet when Envoy counts"),
	because(`log\d+:REQUEST_HEADERS_BYTES$`, "Envoy counts connection, transfer-encoding and fields with empty values as they stand in its map"),
	because(`log\d+:DOWNSTREAM_WIRE_BYTES_RECEIVED$`, "bytes of pipelined requests count for the one during which they came"),
	because(`^(paths|slashes)-.*log1[01]:(REQ|PATH|QUERY|COALESCE|DOWNSTREAM_(DECOMPRESSED_)?HEADER_BYTES_RECEIVED)`, "the head of a request with a fragment in its target is not kept"),
	because(`^redirects/log[678]:(REQ|PATH\(NQ|COALESCE)`, "Envoy rewrites the path of a request that it redirects, and logs that"),
	because(`^hosts/log16:REQ\(:AUTHORITY\)`, "an empty authority is written as none"),
	because(`^direct/log4:BYTES_SENT`, "a 304 has no body, whatever the route says; Envoy counts it"),
	because(`^retry-kinds/log17:RESPONSE_`, "a connection that ends within a body is lost; Envoy calls it a protocol error"),
	because(`^retry-5xx/log6:UPSTREAM_WIRE_BYTES_SENT`, "what is replayed of a chunked body goes in one chunk"),
	because(`^paths/log15:(RESPONSE_CODE_DETAILS|DOWNSTREAM_(DECOMPRESSED_)?HEADER_BYTES_RECEIVED)`, "a target of * is no URL for Envoy, and no target of a GET here"),
	because(`^following/log\d+:BYTES_RECEIVED`, "a request whose redirect is followed is read once; Envoy counts its body for each pass again"),
	because(`^following/log\d+:(ROUTE_NAME|ROUTE_RESOLUTION_COUNT|COALESCE.*|UPSTREAM_CLUSTER(_RAW)?|REQ\(:SCHEME\))`, "a redirect that is not followed leaves the request as it was; Envoy forgets its route, and says its scheme twice"),
	because(`^limits/log1:UPSTREAM_HOST(_NAME(_WITHOUT_PORT)?)?$`, "an endpoint was chosen before the limit was met"),
	because(`^(upgrades/log[04]|moments/log11):(RESPONSE_(CODE_DETAILS|FLAGS)|COMMON_DURATION\((DS_CX|DS_TX|US_RX)_END)`, "a tunnel that the upstream ends in order is no failure"),

	because(`^listener-logs-none/log0:DOWNSTREAM_TRANSPORT_FAILURE_REASON$`, "what is no TLS is no failure of TLS"),

	because(`^(gzip|choices|compressed|tuned-).*/log\d+:(BYTES_SENT|UPSTREAM_WIRE_BYTES_SENT)$`, "libraries make other bytes of the same text"),
	because(`^((tuned-)?gunzip|decoded)/log\d+:RESPONSE_TRAILERS_BYTES$`, "Envoy tells the sizes of what it has decompressed in trailers, which HTTP/1 leaves out unless it is told otherwise"),

	// Numbers.
	because(`^(gzip|choices|compressed|tuned-).*(total_compressed_bytes|cx_tx_bytes_total)$`, "libraries make other bytes of the same text"),
	because(`/http\..*\.downstream_cx_destroy_(local|remote)$`, "a connection whose answer said close counts as closed by us; Envoy waits who is first"),
	because(`/http\..*\.(downstream_cx_tx_bytes_total|downstream_cx_rx_bytes_total)$`, "answers that differ have other sizes, and bytes that came with a refused request are counted to its end only"),
	because(`/http\..*\.downstream_rq_(rx|tx)_reset$`, "Envoy resets the rest of a request that was answered before it was whole, and counts it"),
	because(`/http\..*\.downstream_rq_response_before_rq_complete$`, "refused requests count among them"),
	because(`/http\..*\.(dropped_headers_with|requests_rejected_with)_underscores`, "Envoy counts them for the codec, under http1., and not for each connection manager"),
	because(`/http\..*\.downstream_cx_delayed_close_timeout$`, "a connection whose answer breaks off is closed at once"),
	because(`^rate-of-connections/http\..*\.downstream_cx_(total|destroy)$`, "a connection that a guard turns away was nobody's"),
	because(`/http\..*\.tracing\.health_check$`, "nothing is traced"),
	because(`^speaking-cases/cluster\.speaking-cases_up\.upstream_cx_(close_notify|destroy|destroy_local)$`, "a message with two lengths is the last one of its connection (RFC 9112 §6.1)"),
	because(`^(limits|thresholds)/cluster\..*\.(upstream_cx_(http1_)?total|upstream_rq_pending_total|circuit_breakers\..*_open)$`, "what is refused by a limit is refused before a connection is thought of, and the gauges of limits of 0 are always on"),
	because(`/cluster\..*\.default\.total_match_count$`, "this counts look-ups of the one and only matcher of transport sockets"),
	because(`/cluster\..*\.lb_subsets_created$`, "Envoy counts them for its worker and for its main thread"),
	because(`^subset-.*/cluster\..*\.(ring_hash|maglev)_lb\.`, "of many tables in one number, whichever was made last"),
	because(`^timeouts/cluster\.`, "the last try that ran out of its own time is not counted as an answer of the cluster"),
	because(`^(upgrades|moments(-tunnel)?)/(cluster|http)\.`, "ends of tunnels are counted by who ends them; Envoy counts resets"),
	because(`/cluster\..*\.upstream_rq_(rx|tx)_reset$`, "lost connections count as resets of their streams"),
}

// explainedTLS are those of TLS.
var explainedTLS = []difference{
	because(`^access-peer-(dns|uri|subject|pattern|empty)-untrusted/`, "what a certificate says that nobody vouches for is nobody's name; Envoy takes it for one"),
	because(`^access-peer-tcp/http\..*_rx_bytes_total`, "what a connection says that rules deny is not read"),
	because(`^tls-(choice|choice-nameless|choice-rsa|scan)-odd/`, "a client that has suites for RSA only gets the certificate of RSA; Envoy shows it the other one, and it goes away"),
	because(`^tls-domains(-titles)?-odd/`, "a certificate with two URIs is nobody's (SPIFFE X.509-SVID §5.2), and one that is for servers is no client's; Envoy's validator takes both"),
	because(`^tls-host-odd/`, "Envoy has not built system_root_certs yet, and asks for no certificate"),
	because(`^tls-names-odd/`, "Envoy has not built require_sni yet, and serves whoever asks for no name"),
	because(`^tls-stapled-ended-odd/0/tls$|^tls-stapled-ended/0/tls$`, "crypto/tls calls it an internal error if there is no certificate to be shown"),

	because(`log\d+:(DOWN|UP)STREAM_TLS_SESSION_ID$`, "crypto/tls does not tell it"),
	because(`^told-(refused|versions)/log\d+:DOWNSTREAM_TRANSPORT_FAILURE_REASON$`, "libraries say what is wrong in words of their own"),
	because(`^told-(refused/log6|versions/log0|slow/log0):DOWNSTREAM_TLS_VERSION$`, "where none was agreed on, none is told; Envoy tells which one it would have begun with"),
	because(`^told-(slow|left)/log0:(DOWNSTREAM_LOCAL_(SUBJECT|DNS_SAN)|DOWNSTREAM_TLS_VERSION|COMMON_DURATION\(DS_HS_BEG:DS_HS_BEG:us\))$`, "a handshake begins when all of the client's first message is there"),
	because(`\.ssl\.certificate\.unnamed_ca_cert\.expiration_unix_time_seconds$`, "where no roots are, none ends"),
	because(`^told-tcp/log0:(COMMON_DURATION\(DS_HS_END:DS_HS_END:us\)|DOWNSTREAM_HANDSHAKE_DURATION)$`, "Envoy does not note it of a TCP proxy's connection, though it says so"),
	because(`^t(ls-up|old)-tcp/log0:COMMON_DURATION\(US_HS_END:US_HS_END:us\)$`, "Envoy notes it of a TCP proxy's upstream or not, as things fall"),
	because(`^tls-sessions-clients/log[13]:DOWNSTREAM_PEER_ISSUER_(SERIAL|FINGERPRINT_256)$`, "the certificate of a session that is resumed is verified again"),
	because(`log\d+:REQUESTED_SERVER_NAME$`, "who speaks TLS knows which name was asked for; Envoy has it from an inspector only"),

	because(`/(listener|cluster)\..*\.ssl\.sigalgs\.`, "crypto/tls does not tell which signature was made"),
	because(`/http\..*\.downstream_cx_(total|ssl_total|destroy|destroy_remote|destroy_local)$`, "a connection is its manager's when it speaks TLS; Envoy counts those that never do"),

	because(`\.ssl_context_update_by_sds$`, "rotations are counted for each secret, below sds."),
	because(`^(tls-up-.*|two-explicit-old)/log\d+:(RESPONSE_CODE_DETAILS|UPSTREAM_TRANSPORT_FAILURE_REASON)$`, "libraries say what is wrong with a certificate in words of their own"),

	because(`/http\..*\.downstream_cx_tx_bytes_total$|^told-[a-z]+/log\d+:BYTES_SENT$`, "milliseconds have more or fewer digits"),
	because(`log\d+:DOWNSTREAM_(WIRE|HEADER|DECOMPRESSED_HEADER)_BYTES_SENT$`, "as without TLS"),
	because(`log\d+:(RESPONSE|REQUEST)_HEADERS_BYTES$`, "as without TLS"),
	because(`^two-[a-z-]+/(log\d+:(DOWN|UP)STREAM_(WIRE|HEADER)_BYTES_SENT|0/settings|cluster\..*\.upstream_cx_tx_bytes_total)$`, "as without TLS, in HTTP/2"),
	because(`^two-[a-z-]+/cluster\..*\.http2\.nghttp2_upstream_connections$`, "no library's connections are counted"),
	because(`^two-auto[a-z-]*/cluster\..*\.upstream_cx_total$`, "Envoy counts a connection once more when its version is known"),
	because(`/cluster\..*\.total_match_count$`, "as without TLS: look-ups of transport sockets are not counted"),
}

// uncompared are statistics that are not looked at: times, and what is so at one moment only.
var uncompared = regexp.MustCompile(`_ms$|pending_send_bytes$|\.update_time$|_active$|_length_|_buffered$`)
