package fields

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/weftmesh/weft/test/e2e"
)

const (
	compressorMessage   = "compressor.v3.Compressor"
	decompressorMessage = "decompressor.v3.Decompressor"
)

// coder is a library of compressor or decompressor, without what is around its fields.
func coder(name, kind, message, fields string) string {
	return kind + "_library: {name: " + name + `, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.` + strings.ToLower(message) + "." + kind + ".v3." + message + ", " + fields + "}}"
}

var (
	gzips     = coder("z", "compressor", "Gzip", "")
	gunzips   = coder("z", "decompressor", "Gzip", "")
	compress  = func(piece string) string { return filtered(compressorMessage)(gzips + ", " + piece) }
	answering = func(piece string) string { return compress("response_direction_config: {" + piece + "}") }
	uploading = func(piece string) string {
		return compress("request_direction_config: {common_config: {" + piece + "}}")
	}
	unpacks = func(piece string) string { return filtered(decompressorMessage)(gunzips + ", " + piece) }
)

// withLibrary is a filter with nothing but its library.
func withLibrary(message string) func(string) string {
	return func(piece string) string { return filtered(message)(piece) }
}

// oneRoute is a compressor with a route that says something of it.
func oneRoute(filter string) func(string) string {
	return func(piece string) string {
		return chained(e2e.Filter("x", compressorMessage, gzips+filter), e2e.Override("x", "compressor.v3.CompressorPerRoute", piece)+"\n"+all)
	}
}

// hundred is an upstream that answering with a hundred bytes and these fields.
func hundred(status int, fields string) func(testing.TB) *e2e.Upstream {
	return func(t testing.TB) *e2e.Upstream { return answers(t, status, fields, strings.Repeat("x", 100)) }
}

func answers(t testing.TB, status int, fields, body string) *e2e.Upstream {
	return e2e.Answer(t, fmt.Sprintf("HTTP/1.1 %d OK\r\ncontent-length: %d\r\n%s\r\n%s", status, len(body), fields, body))
}

// pains are text that takes some of them to compress.
func pains(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "%x %d ", i*i*7919, i%97)
	}
	return b.String()
}

func text(t testing.TB) *e2e.Upstream { return answers(t, 200, "", pains(4000)) }

// levelTrials want the bytes that the library makes at each level, of a body that comes in one piece.
func levelTrials() (list []trial) {
	body := pains(1500)
	for n := 1; n <= 9; n++ {
		base, flip := "BEST_SPEED", fmt.Sprintf("COMPRESSION_LEVEL_%d", n)
		if n == 1 {
			base, flip = "COMPRESSION_LEVEL_6", "BEST_SPEED"
		}
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, n)
		io.WriteString(w, body)
		w.Flush()
		w.Close()
		list = append(list, trial{paths: "Gzip.compression_level=" + flip, site: withLibrary(compressorMessage), base: coder("z", "compressor", "Gzip", "compression_level: "+base), flip: coder("z", "compressor", "Gzip", "compression_level: "+flip),
			up: func(t testing.TB) *e2e.Upstream { return answers(t, 200, "", body) }, probe: is(b.String(), look(accepts, "body")), want: [2]string{"false", "true"}})
	}
	return list
}

func packs(fields string) func(testing.TB) *e2e.Upstream {
	return func(t testing.TB) *e2e.Upstream {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		io.WriteString(w, strings.Repeat("0123456789", 200))
		w.Close()
		return answers(t, 200, "content-encoding: gzip\r\n"+fields, b.String())
	}
}

// shorter tells whether the answer has fewer bytes than that.
func shorter(request string, n int) func(*world) string {
	return func(w *world) string { return fmt.Sprint(len(look(request, "body")(w)) < n) }
}

const (
	accepts  = "GET /; accept-encoding: gzip, br, zstd"
	uploads  = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 40\r\n\r\n0123456789012345678901234567890123456789"
	encoding = "<content-encoding"
	off      = "{default_value: false}"
)

var bodyTrials = []trial{
	{paths: "Compressor.content_length", site: compress, flip: "content_length: 101", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "Compressor.content_type", site: compress, flip: "content_type: [a/b]", up: hundred(200, "content-type: text/html\r\n"), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "Compressor.disable_on_etag_header", site: compress, flip: "disable_on_etag_header: true", up: hundred(200, "etag: a\r\n"), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "Compressor.remove_accept_encoding_header", site: compress, flip: "remove_accept_encoding_header: true", probe: look("GET /; accept-encoding: gzip", ">accept-encoding"), want: [2]string{"gzip", "-"}},
	{paths: "Compressor.runtime_enabled", site: compress, flip: "runtime_enabled: {default_value: false, runtime_key: a}", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "Compressor.request_direction_config", site: compress, flip: "request_direction_config: {}", probe: look(uploads, ">content-encoding"), want: [2]string{"-", "gzip"}},
	{paths: "Compressor.response_direction_config", site: compress, base: "content_length: 101", flip: "content_length: 101, response_direction_config: {}", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"-", "gzip"}},
	{paths: "Compressor.choose_first", site: func(piece string) string {
		return chained(e2e.Filter("x", compressorMessage, gzips)+"\n"+e2e.Filter("second", compressorMessage, coder("other", "compressor", "Brotli", "")+piece), all)
	}, flip: ", choose_first: true", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "br"}},
	{paths: "Compressor.compressor_library TypedExtensionConfig@compressor.typed_config", site: withLibrary(compressorMessage), base: gzips, flip: coder("z", "compressor", "Zstd", ""), up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "zstd"}},
	{paths: "TypedExtensionConfig@compressor.name", site: withLibrary(compressorMessage), base: gzips, flip: coder("other", "compressor", "Gzip", ""), up: hundred(200, ""), probe: look(accepts, "#http.http.compressor.other.gzip.compressed"), want: [2]string{"-1", "1"}},
	{paths: "RequestDirectionConfig.common_config CommonDirectionConfig.min_content_length", site: uploading, flip: "min_content_length: 41", probe: look(uploads, ">content-encoding"), want: [2]string{"gzip", "-"}},
	{paths: "ResponseDirectionConfig.common_config CommonDirectionConfig.enabled", site: answering, flip: "common_config: {enabled: " + off + "}", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "CommonDirectionConfig.content_type", site: answering, flip: "common_config: {content_type: [a/b]}", up: hundred(200, "content-type: text/html\r\n"), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "CommonDirectionConfig.content_type_matcher", site: answering, flip: "common_config: {content_type_matcher: [{prefix: a/}]}", up: hundred(200, "content-type: a/b\r\n"), probe: look(accepts, encoding), want: [2]string{"-", "gzip"}},
	{paths: "ResponseDirectionConfig.disable_on_etag_header", site: answering, flip: "disable_on_etag_header: true", up: hundred(200, "etag: a\r\n"), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "ResponseDirectionConfig.weaken_etag_on_compress", site: answering, flip: "weaken_etag_on_compress: true", up: hundred(200, "etag: \"a\"\r\n"), probe: look(accepts, "<etag"), want: [2]string{"-", "W/\"a\""}},
	{paths: "ResponseDirectionConfig.remove_accept_encoding_header", site: answering, flip: "remove_accept_encoding_header: true", probe: look("GET /; accept-encoding: gzip", ">accept-encoding"), want: [2]string{"gzip", "-"}},
	{paths: "ResponseDirectionConfig.uncompressible_response_codes", site: answering, flip: "uncompressible_response_codes: [203]", up: hundred(203, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "ResponseDirectionConfig.status_header_enabled", site: answering, flip: "status_header_enabled: true", up: hundred(200, ""), probe: look(accepts, "<x-envoy-compression-status"), want: [2]string{"-", "gzip;Compressed;OriginalLength=100"}},
	{paths: "CompressorPerRoute.disabled", site: oneRoute(""), base: "overrides: {}", flip: "disabled: true", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "-"}},
	{paths: "CompressorPerRoute.overrides", site: oneRoute(""), base: "disabled: true", flip: "overrides: {}", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"-", "gzip"}},
	{paths: "CompressorOverrides.response_direction_config", site: oneRoute(", runtime_enabled: {default_value: false, runtime_key: a}"), base: "overrides: {}", flip: "overrides: {response_direction_config: {}}", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"-", "gzip"}},
	{paths: "CompressorOverrides.compressor_library", site: oneRoute(""), base: "overrides: {}", flip: "overrides: {" + coder("z", "compressor", "Brotli", "") + "}", up: hundred(200, ""), probe: look(accepts, encoding), want: [2]string{"gzip", "br"}},
	{paths: "ResponseDirectionOverrides.remove_accept_encoding_header", site: oneRoute(""), base: "overrides: {response_direction_config: {}}", flip: "overrides: {response_direction_config: {remove_accept_encoding_header: true}}", probe: look("GET /; accept-encoding: gzip", ">accept-encoding"), want: [2]string{"gzip", "-"}},
	{paths: "Gzip.compression_strategy=HUFFMAN_ONLY", site: withLibrary(compressorMessage), base: gzips, flip: coder("z", "compressor", "Gzip", "compression_strategy: HUFFMAN_ONLY"), up: func(t testing.TB) *e2e.Upstream {
		return answers(t, 200, "", strings.Repeat("0123456789", 1000))
	}, probe: shorter(accepts, 1000), want: [2]string{"true", "false"}},
	{paths: "Brotli.quality", site: withLibrary(compressorMessage), base: coder("z", "compressor", "Brotli", "quality: 0"), flip: coder("z", "compressor", "Brotli", "quality: 11"), up: text, probe: shorter(accepts, 23000), want: [2]string{"false", "true"}},
	{paths: "Brotli.window_bits", site: withLibrary(compressorMessage), base: coder("z", "compressor", "Brotli", "window_bits: 24"), flip: coder("z", "compressor", "Brotli", "window_bits: 20"), up: hundred(200, ""), probe: windowOfBrotli, want: [2]string{"24", "20"}},
	{paths: "Zstd.compression_level", site: withLibrary(compressorMessage), base: coder("z", "compressor", "Zstd", "compression_level: 1"), flip: coder("z", "compressor", "Zstd", "compression_level: 12"), up: text, probe: shorter(accepts, 24000), want: [2]string{"false", "true"}},
	{paths: "Zstd.enable_checksum", site: withLibrary(compressorMessage), base: coder("z", "compressor", "Zstd", ""), flip: coder("z", "compressor", "Zstd", "enable_checksum: true"), up: hundred(200, ""), probe: checksumOfZstd, want: [2]string{"0", "4"}},

	{paths: "Decompressor.decompressor_library TypedExtensionConfig@decompressor.typed_config", site: withLibrary(decompressorMessage), base: gunzips, flip: coder("z", "decompressor", "Brotli", ""), up: packs(""), probe: look("GET /", encoding), want: [2]string{"-", "gzip"}},
	{paths: "TypedExtensionConfig@decompressor.name", site: withLibrary(decompressorMessage), base: gunzips, flip: coder("other", "decompressor", "Gzip", ""), up: packs(""), probe: look("GET /", "#http.http.decompressor.other.gzip.response.decompressed"), want: [2]string{"-1", "1"}},
	{paths: "Decompressor.request_direction_config RequestDirectionConfig.advertise_accept_encoding", site: unpacks, flip: "request_direction_config: {advertise_accept_encoding: false}", probe: look("GET /", ">accept-encoding"), want: [2]string{"gzip", "-"}},
	{paths: "v3.Decompressor.RequestDirectionConfig.common_config Decompressor.CommonDirectionConfig.enabled", site: unpacks, flip: "request_direction_config: {common_config: {enabled: " + off + "}}", probe: look("POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ">content-encoding"), want: [2]string{"-", "gzip"}},
	{paths: "Decompressor.response_direction_config Decompressor.ResponseDirectionConfig.common_config CommonDirectionConfig.ignore_no_transform_header", site: unpacks, flip: "response_direction_config: {common_config: {ignore_no_transform_header: true}}", up: packs("cache-control: no-transform\r\n"), probe: look("GET /", encoding), want: [2]string{"gzip", "-"}},
	{paths: "Gzip.max_inflate_ratio", site: withLibrary(decompressorMessage), base: gunzips, flip: coder("z", "decompressor", "Gzip", "max_inflate_ratio: 10"), up: packs(""), probe: look("GET /", "#http.http.decompressor.z.gzip.response.inflate_ratio_exceeded"), want: [2]string{"0", "1"}},
}

// windowOfBrotli is what the head of a body of brotli says (RFC 7932 §9.1).
func windowOfBrotli(w *world) string {
	return fmt.Sprint(17 + look(accepts, "body")(w)[0]>>1&7)
}

// checksumOfZstd is how many bytes of checksum the head of a body of zstd promises (RFC 8878 §3.1.1.1).
func checksumOfZstd(w *world) string {
	return fmt.Sprint(look(accepts, "body")(w)[4] & 4)
}
