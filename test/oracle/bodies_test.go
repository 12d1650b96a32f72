package oracle

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/test/e2e"
)

// plain is a body without what it is compressed with: two libraries make other bytes of the same text.
func (m *message) plain() string {
	var r io.Reader = strings.NewReader(m.body)
	var err error
	switch m.value("content-encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	default:
		return m.body
	}
	if err != nil {
		return m.body
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return m.body
	}
	return m.value("content-encoding") + " of " + string(b)
}

func packed(coding, text string) string {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// coder is a filter that compresses or decompresses.
func coder(name, kind, library, fields string) string {
	message := strings.ToUpper(kind[:1]) + kind[1:]
	return e2e.Filter(name, kind+".v3."+message, fmt.Sprintf(`%[1]s_library: {name: %[2]s, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.%[3]s.%[1]s.v3.%[4]s}}, %[5]s`,
		kind, name, strings.ToLower(library), library, fields))
}

var lorem = strings.Repeat("Much of it is the same. ", 20)

// bodied is an answer with a body.
func bodied(status int, body string, fields ...string) string {
	text := fmt.Sprintf("HTTP/1.1 %d Reason\r\ncontent-length: %d\r\n", status, len(body))
	for _, f := range fields {
		text += f + "\r\n"
	}
	return text + "\r\n" + body
}

// packedAs is an answer with a compressed body, in a chunk: an answer must not end in a byte of 0 here.
func packedAs(status int, body string, fields ...string) string {
	text := fmt.Sprintf("HTTP/1.1 %d Reason\r\ntransfer-encoding: chunked\r\n", status)
	for _, f := range fields {
		text += f + "\r\n"
	}
	return fmt.Sprintf("%s\r\n%x\r\n%s\r\n0\r\n\r\n", text, len(body), body)
}

// answersTo asks for answers, one after the other, in these words.
func answersTo(send string, answers ...string) (list []exchange) {
	for _, a := range answers {
		list = append(list, exchange{send: send, answers: []string{a}})
	}
	return list
}

// compressible are what responses that may be compressed look like.
var compressible = []string{
	bodied(200, lorem), bodied(200, lorem, "content-type: text/html; charset=utf-8"), bodied(200, lorem, "content-type: image/png"), bodied(200, "short"),
	bodied(200, lorem, `etag: "a"`), bodied(200, lorem, `etag: W/"a"`), bodied(200, lorem, "cache-control: private, No-Transform"), bodied(200, lorem, "content-encoding: x"),
	bodied(200, lorem, "vary: Origin"), bodied(200, lorem, "vary: accept-encoding"), bodied(206, lorem, "content-range: bytes 0-479/1000"), bodied(404, lorem),
	"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n", bodied(200, ""),
}

var bodies = []scenario{
	{name: "gzip", filters: coder("z", "compressor", "Gzip", "response_direction_config: {uncompressible_response_codes: [404]}"), sends: append(answersTo("GET /; accept-encoding: gzip", compressible...), answersTo("HEAD /; accept-encoding: gzip", compressible[:2]...)...)},
	{name: "gzip-options", filters: coder("z", "compressor", "Gzip", "response_direction_config: {disable_on_etag_header: true, remove_accept_encoding_header: true, common_config: {min_content_length: 100, content_type_matcher: [{exact: text/html}, {prefix: image/}]}}"), sends: answersTo("GET /; accept-encoding: gzip", compressible...)},
	{name: "gzip-old", filters: coder("z", "compressor", "Gzip", "content_length: 100, content_type: [TEXT/html], disable_on_etag_header: true"), sends: answersTo("GET /; accept-encoding: gzip", compressible...)},
	{name: "gzip-status", filters: coder("z", "compressor", "Gzip", "response_direction_config: {status_header_enabled: true, weaken_etag_on_compress: true, uncompressible_response_codes: [404]}"), sends: answersTo("GET /; accept-encoding: gzip", compressible...)},
	{name: "choices", filters: coder("g", "compressor", "Gzip", "") + "\n" + coder("b", "compressor", "Brotli", "") + "\n" + coder("z", "compressor", "Zstd", "choose_first: true"), sends: choices(
		"gzip, br", "br, gzip", "gzip, br, zstd", "gzip;q=0.9, br;q=0.8", "*", "gzip;q=0, *", "identity, gzip", "identity;q=0.5, br;q=0.6", "gzip;q=x, br;q=0.3", "gzip;level=1;q=0.2, br", "gzip ;q = 0.5 , br;q=.4",
		"deflate", "", "GZIP", "gzip;Q=0.1, br;Q=0.2", "gzip;q=-1", "gzip;q=1e-1, br;q=0.2", "x-gzip, identity;q=0", "gzip;;q=0.1, br;q=0.5", "gzip;q=nan")},
	{name: "choices-hidden", filters: coder("g", "compressor", "Gzip", "remove_accept_encoding_header: true") + "\n" + coder("b", "compressor", "Brotli", ""), sends: choices("br, gzip;q=0.5", "br", "gzip")},
	{name: "compressed-requests", filters: coder("z", "compressor", "Zstd", "request_direction_config: {common_config: {content_type: [a/b]}}"), sends: []exchange{
		{send: "POST /; content-type: a/b; body: " + lorem}, {send: "POST /; body: " + lorem}, {send: "POST /; content-type: a/c; body: " + lorem}, {send: "POST /; body: short"}, {send: "POST /; content-encoding: x; body: " + lorem},
		{send: "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"}, {send: "GET /"}}},
	{name: "compressed-routes", filters: coder("z", "compressor", "Gzip", "response_direction_config: {common_config: {enabled: {default_value: false, runtime_key: a}}}"), vhost: "routes:\n" +
		"- {match: {prefix: /on}, route: {cluster: $up}, " + e2e.Override("z", "compressor.v3.CompressorPerRoute", "overrides: {response_direction_config: {remove_accept_encoding_header: true}}") + "}\n" +
		"- {match: {prefix: /off}, route: {cluster: $up}, " + e2e.Override("z", "compressor.v3.CompressorPerRoute", "disabled: true") + "}\n" +
		"- {match: {prefix: /own}, direct_response: {status: 200, body: {inline_string: \"" + lorem + "\"}}, " + e2e.Override("z", "compressor.v3.CompressorPerRoute", "overrides: {response_direction_config: {}}") + "}\n" +
		"- {match: {prefix: /}, route: {cluster: $up}}",
		sends: []exchange{{send: "GET /on; accept-encoding: gzip", answers: []string{bodied(200, lorem)}}, {send: "GET /off; accept-encoding: gzip", answers: []string{bodied(200, lorem)}}, {send: "GET /own; accept-encoding: gzip"}, {send: "GET /; accept-encoding: gzip", answers: []string{bodied(200, lorem)}}}},
	{name: "gunzip", filters: coder("z", "decompressor", "Gzip", ""), sends: append(answersTo("GET /; accept-encoding: br, gzip;q=0.1",
		packedAs(200, packed("gzip", lorem), "content-encoding: GZIP"), packedAs(200, packed("gzip", lorem), "content-encoding: gzip", "cache-control: no-transform"), packedAs(200, packed("gzip", lorem), "content-encoding: br"),
		bodied(200, lorem), packedAs(200, packed("gzip", lorem), "content-encoding: x-gzip"), bodied(200, "", "content-encoding: gzip"), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: gzip\r\n\r\n0\r\n\r\n",
		packedAs(200, packed("gzip", lorem), "content-encoding: gzip", `etag: "a"`, "vary: a"),
		// From here on we are of another mind: broken ones, two members, a bomb, a part.
		packedAs(200, packed("gzip", lorem)[:40], "content-encoding: gzip"), bodied(200, "no such thing", "content-encoding: gzip"), packedAs(200, packed("gzip", lorem)+packed("gzip", "more"), "content-encoding: gzip"),
		packedAs(200, packed("gzip", strings.Repeat("x", 100_000)), "content-encoding: gzip"), packedAs(206, packed("gzip", lorem)[:20], "content-encoding: gzip", "content-range: bytes 0-19/100")),
		exchange{send: "GET /"}, exchange{send: "HEAD /", answers: []string{packedAs(200, packed("gzip", lorem), "content-encoding: gzip")}},
		exchange{send: fmt.Sprintf("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s", len(packed("gzip", lorem)), packed("gzip", lorem))})},
	{name: "decoded", filters: coder("b", "decompressor", "Brotli", "request_direction_config: {advertise_accept_encoding: false}") + "\n" + coder("z", "decompressor", "Zstd", "response_direction_config: {common_config: {ignore_no_transform_header: true}}, request_direction_config: {common_config: {enabled: {default_value: false, runtime_key: a}}}"), sends: append(answersTo("GET /",
		packedAs(200, packed("br", lorem), "content-encoding: br"), packedAs(200, packed("zstd", lorem), "content-encoding: zstd", "cache-control: no-transform")),
		exchange{send: fmt.Sprintf("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-encoding: br\r\ncontent-length: %d\r\n\r\n%s", len(packed("br", lorem)), packed("br", lorem))})},
}

// tuned is a compressor whose library has these settings, which change the bytes that are sent and nothing else.
func tuned(name, library, fields string) scenario {
	return scenario{name: "tuned-" + name, filters: e2e.Filter("z", "compressor.v3.Compressor", librarySettings("compressor", library, fields)), sends: []exchange{{send: "GET /; accept-encoding: gzip, br, zstd", answers: []string{bodied(200, lorem)}}}}
}

func librarySettings(kind, library, fields string) string {
	return fmt.Sprintf(`%[1]s_library: {name: z, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.%[2]s.%[1]s.v3.%[3]s, %[4]s}}`, kind, strings.ToLower(library), library, fields)
}

var libraries = func() (list []scenario) {
	for i, level := range strings.Fields("BEST_SPEED COMPRESSION_LEVEL_2 COMPRESSION_LEVEL_3 COMPRESSION_LEVEL_4 COMPRESSION_LEVEL_5 COMPRESSION_LEVEL_6 COMPRESSION_LEVEL_7 COMPRESSION_LEVEL_8 COMPRESSION_LEVEL_9") {
		list = append(list, tuned(fmt.Sprint("gzip-", i+1), "Gzip", "compression_level: "+level))
	}
	return append(list,
		tuned("gzip-huffman", "Gzip", "compression_strategy: HUFFMAN_ONLY"),
		tuned("brotli", "Brotli", "quality: 4, window_bits: 16"),
		tuned("zstd", "Zstd", "compression_level: 5, enable_checksum: true"),
		scenario{name: "tuned-gunzip", filters: e2e.Filter("z", "decompressor.v3.Decompressor", librarySettings("decompressor", "Gzip", "max_inflate_ratio: 50")), sends: answersTo("GET /", packedAs(200, packed("gzip", lorem), "content-encoding: gzip"))},
		scenario{name: "tuned-route", filters: coder("z", "compressor", "Gzip", "runtime_enabled: {default_value: true, runtime_key: a}"), vhost: routes(
			"{match: {prefix: /own}, route: {cluster: $up}, "+e2e.Override("z", "compressor.v3.CompressorPerRoute", "overrides: {"+librarySettings("compressor", "Brotli", "")+"}")+"}", route("prefix: /", to)),
			sends: []exchange{{send: "GET /own; accept-encoding: gzip, br", answers: []string{bodied(200, lorem)}}, {send: "GET /; accept-encoding: gzip, br", answers: []string{bodied(200, lorem)}}}},
		scenario{name: "tuned-off", filters: coder("z", "compressor", "Gzip", "runtime_enabled: {default_value: false, runtime_key: a}"), sends: []exchange{{send: "GET /; accept-encoding: gzip", answers: []string{bodied(200, lorem)}}}},
	)
}()

// choices are requests for the same with these values of Accept-Encoding.
func choices(accept ...string) (list []exchange) {
	for _, a := range accept {
		list = append(list, exchange{send: "GET /; accept-encoding: " + a, answers: []string{bodied(200, lorem)}})
	}
	return append(list, exchange{send: "GET /", answers: []string{bodied(200, lorem)}})
}
