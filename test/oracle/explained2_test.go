package oracle

// explainedHTTP2 are the differences of scenarios of HTTP/2. Those of a scenario of HTTP/1 that is asked in HTTP/2 once more are called by
// its name and h2, h2-down if only the client speaks it, or h2-up if only upstreams do.
var explainedHTTP2 = []difference{
	// Bytes.
	because(`^[a-z0-9-]+/0/settings$`, "windows begin small and grow with who reads, how large a head may be is said, and what is left as RFC 9113 has it is not"),
	because(`log\d+:(DOWN|UP)STREAM_(WIRE|HEADER)_BYTES_SENT$|\.(downstream|upstream)_cx_tx_bytes_total$`, "heads are not written in Huffman's code"),
	because(`log\d+:DOWNSTREAM_WIRE_BYTES_RECEIVED$|/http\..*\.downstream_cx_rx_bytes_total$`, "of a head that is refused Envoy counts nothing; whether the last frames of a client that is sent away are read is left to chance"),
	because(`log\d+:DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED$`, "of a head that is refused nothing has come; Envoy counts what it had read when it refused"),
	because(`log\d+:(RESPONSE_HEADERS_BYTES|DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT)$`, "milliseconds of more or fewer digits, and fields that are explained below, have other sizes"),
	because(`/cluster\..*\.total_match_count$`, "as without HTTP/2: look-ups of transport sockets are not counted"),
	because(`/http\..*\.tracing\.health_check$`, "nothing is traced"),
	because(`^(gzip|choices|compressed|tuned-).*/(log\d+:(BYTES_SENT|UPSTREAM_WIRE_BYTES_SENT)|.*total_compressed_bytes)$`, "libraries make other bytes of the same text"),
	because(`/cluster\..*\.http2\.nghttp2_upstream_connections$`, "no library's connections are counted"),

	// Requests that are refused, and connections that end.
	because(`^([a-z0-9-]+-h2(-down)?|two-(heads|lengths|limits|tunnels))/\d+/connection$`, "who breaks the protocol is told (RFC 9113 §5.4.1), and a connection is not given up for one upgrade that is refused"),
	because(`/http\..*\.downstream_cx_delayed_close_timeout$`, "we end our side of a connection at once, and the client ends its own"),
	because(`^([a-z0-9-]+-h2(-down)?|two-at-once)/\d+/answer\d reset: NO_ERROR$`, "a request that is answered before all of it was read is not read on (RFC 9113 §8.1); Envoy reads first what came with its head"),

	// Answers.
	because(`^buffer(-routes)?-h2/`, "a body that is larger than allowed is refused however it comes; Envoy takes any that comes in one piece with its end"),
	because(`^(gunzip|decoded)-h2/\d+/(answer|up)0:x-envoy-decompressor-.* \(trailer\)$`, "sizes of what is decompressed are not told in trailers"),
	because(`^gunzip-h2/\d+/answer0 reset: INTERNAL_ERROR$`, "a compressed body that is broken or swells too much ends its exchange"),
	because(`^direct-h2(-down)?/4/answer0 body$`, "a 304 has no body, whatever the route says"),
	because(`^(early|formats)-h2(-down|-up)?/\d+/up0:x-(early|query)$`, "a value begins and ends with no white space (RFC 9113 §8.2.1)"),
	because(`^grpc-upgrade-h2(-down)?/(\d+/(answer0|up0) body|log\d+:(BYTES_SENT|REQUEST_HEADERS_BYTES))$`, "Envoy puts a message in its frame, or takes it out, only if its end comes by itself"),
	because(`^upgrades-h2-down/\d+/answer0 (body|reset: CONNECT_ERROR)$`, "a tunnel that the upstream ends in order is no failure"),
	because(`^grpc-[a-z-]*-h2(-up|-down)?/log\d+:UPSTREAM_WIRE_BYTES_SENT$`, "chunks of a request go on as they came"),

	// Logs and numbers.
	because(`^(decoded|gunzip|grpc-upgrade)-h2(-down)?/log\d+:UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT$`, "the above has other sizes"),
	because(`^([a-z0-9-]+-h2(-down)?|two-at-once|two-tunnels)/log\d+:COMMON_DURATION\(DS_TX_END:DS_TX_END:us\)$`, "an answer that is sent whole has an end, whatever becomes of the request"),
	because(`^(following|router-strict)-h2(-down)?/log\d+:REQUEST_HEADERS_BYTES$`, "Envoy says the scheme of a request twice whose redirect it does not follow, and counts fields with several values as they stand in its map"),
	because(`^hosts-h2-up/(16/up0::authority|log16:UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT)$`, "an empty authority is written as none"),
	because(`^retry-kinds-h2(-up)?/log4:UPSTREAM_(WIRE|HEADER)_BYTES_RECEIVED$`, "what comes of an answer that is dropped belongs to nobody"),
	because(`^fault-grpc-h2/http\.`, "the request's body is read when there is somebody to take it, so the answer comes before it was"),
	because(`^(limits|thresholds)-h2/cluster\..*\.upstream_cx_http2_total$`, "what is refused by a limit is refused before a connection is thought of"),
	because(`-h2-down/cluster\..*\.upstream_rq_(rx|tx)_reset$`, "lost connections count as resets of their streams"),

	// What only HTTP/2 has.
	because(`^two-(retries|broken-lenient)-odd/`, "a stream that the upstream has not begun, by its own word, or on a kept connection that turns out to be closed, is nobody's fault: a request that is whole gets another one, and that is no retry"),
	because(`^two-retries/cluster\..*\.upstream_rq_(retry.*|stale_connection_retry|rx_reset)$`, "likewise"),
	because(`^two-broken(-lenient)?/\d+/answer0( body| reset: INTERNAL_ERROR)$`, "bytes behind a 204 belong to no answer, and interim answers go on to who asked"),
	because(`^two-broken(-lenient)?/(\d+/answer0|log\d+:UPSTREAM_(WIRE|DECOMPRESSED_HEADER)_BYTES_RECEIVED)$`, "likewise; and bytes count though they be wrong"),
	because(`^(two-tunnels|upgrades-h2(-up)?)/log\d+:UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT$`, "the head of a tunnel is counted as it would be in HTTP/1"),
	because(`^two-checked-grpc/cluster\..*\.http2\.tx_reset$`, "what checks of health cost is not among the numbers of the codec"),
	because(`^two-tunnels/log2:COMMON_DURATION\((DS_RX|US_TX)_END`, "a tunnel that the upstream ends is over, and what the client says then is not heard"),
	because(`^two-broken(-lenient)?/(http|listener)\.`, "numbers of the above"),
	because(`^two-(broken(-lenient)?|requests-up)/cluster\..*\.(upstream_cx_.*|upstream_rq_(pending.*|total|rx_reset|stale_connection_retry)|http2\..*)$`, "an upstream that breaks the protocol is told, each fault is counted where it is found, and a connection that is done with is no broken one"),
	because(`/cluster\..*\.http2\.(stream_refused_errors|resets_provoked)$`, "streams that an upstream refuses are counted, and so are those that we reset for what is wrong with them"),
	because(`^two-given-up/(log1:RESPONSE_(CODE_DETAILS|FLAGS)|log1:RESPONSE_FLAGS_LONG|http\..*_before_rq_complete)`, "a client that resets its stream without an error has reset it"),
	because(`^two-(tunnels|limits)/(cluster|http)\..*\.(upstream_rq_tx_reset|upstream_cx_.*|downstream_cx_upgrades_total|downstream_rq_response_before_rq_complete)$`, "ends of tunnels are counted by who ends them, and no tunnel that is refused is one"),
}
