package http1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

var keepReason = Options{KeepReason: true, EnableTrailers: true}

var responses = []reading{
	{name: "4 status line", in: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", want: `HTTP/1.1 200 "" [content-length: 2]` + "\nbody \"hi\"\nend keep"},
	{name: "4 reason kept", o: keepReason, in: "HTTP/1.1 404 No \xe9 such\tthing\r\nContent-Length: 0\r\n\r\n",
		want: "HTTP/1.1 404 \"No \\xe9 such\\tthing\" [content-length: 0]\nempty keep"},
	{name: "4 empty reason", o: keepReason, in: "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", want: `HTTP/1.1 299 "" [content-length: 0]` + "\nempty keep"},
	{name: "4 no reason and no space", o: keepReason, in: "HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n", want: `HTTP/1.1 299 "" [content-length: 0]` + "\nempty keep"},
	{name: "4 status 999", in: "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", want: `HTTP/1.1 999 "" [content-length: 0]` + "\nempty keep"},
	{name: "2.3 HTTP/1.0", in: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", want: `HTTP/1.0 200 "" [content-length: 0]` + "\nempty close"},
	{name: "9.3 HTTP/1.0 kept", in: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		want: `HTTP/1.0 200 "" [connection: keep-alive] [content-length: 0]` + "\nempty keep"},
	{name: "6.3 until close", in: "HTTP/1.1 200 OK\r\nHost: x\r\n\r\nall of it", want: `HTTP/1.1 200 "" [host: x]` + "\nbody \"all of it\"\nend close"},
	{name: "6.3 until close, empty", in: "HTTP/1.1 200 OK\r\n\r\n", want: `HTTP/1.1 200 ""` + "\nend close"},
	{name: "6.3 HEAD", methods: []string{"HEAD", "GET"}, in: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		want: `HTTP/1.1 200 "" [content-length: 9]` + "\nempty keep\n" + `HTTP/1.1 200 "" [content-length: 1]` + "\nbody \"x\"\nend keep"},
	{name: "6.3 HEAD, chunked", methods: []string{"HEAD"}, in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", want: `HTTP/1.1 200 ""` + "\nempty keep"},
	{name: "6.3 204", in: "HTTP/1.1 204 No Content\r\n\r\n", want: `HTTP/1.1 204 ""` + "\nempty keep"},
	{name: "6.3 204 with length 0", in: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", want: `HTTP/1.1 204 ""` + "\nempty keep"},
	{name: "6.3 304", in: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", want: `HTTP/1.1 304 "" [content-length: 5]` + "\nempty keep"},
	{name: "row 30, 6.3 1xx, then the response", in: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		want: `HTTP/1.1 100 ""` + "\nempty keep\n" + `HTTP/1.1 103 "" [link: x]` + "\nempty keep\n" + `HTTP/1.1 200 "" [content-length: 1]` + "\nbody \"x\"\nend keep"},
	{name: "row 30 100, and the final response races", in: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
		want: `HTTP/1.1 100 ""` + "\nempty keep\n" + `HTTP/1.1 417 "" [content-length: 0]` + "\nempty keep\nleft 25"},
	{name: "6.3 1xx does not make us forget HEAD", methods: []string{"HEAD"}, in: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
		want: `HTTP/1.1 100 ""` + "\nempty keep\n" + `HTTP/1.1 200 "" [content-length: 1]` + "\nempty keep"},
	{name: "7.1 chunked with trailers", o: keepReason, in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
		want: `HTTP/1.1 200 "OK"` + "\nbody \"abc\"\ntrailers [x-sum: 1]\nend keep"},
	{name: "9.3 close", in: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", want: `HTTP/1.1 200 "" [connection: close] [content-length: 1]` + "\nbody \"x\"\nend close"},
	{name: "row 46 underscores are for requests", o: Options{Underscores: RejectUnderscores}, in: "HTTP/1.1 204 x\r\na_b: 1\r\n\r\n", want: `HTTP/1.1 204 "" [a_b: 1]` + "\nempty keep"},
	{name: "row 26 bytes that nobody asked for", in: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n",
		want: `HTTP/1.1 200 "" [content-length: 1]` + "\nbody \"x\"\nend keep\nleft 19"},
	{name: "row 26 body after 204", in: "HTTP/1.1 204 x\r\n\r\nbody", want: `HTTP/1.1 204 ""` + "\nempty keep\nleft 4"},
	{name: "row 27 upgrade", methods: []string{"GET+"}, in: "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		want: `HTTP/1.1 101 "" [upgrade: x] [connection: Upgrade]` + "\nbody \"HTTP/1.1 200 OK\\r\\n\\r\\n\"\nend close"},
	{name: "row 28 200 is no upgrade", methods: []string{"GET+"}, in: "HTTP/1.1 200 OK\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nxy",
		want: `HTTP/1.1 200 "" [upgrade: x] [connection: Upgrade] [content-length: 1]` + "\nbody \"x\"\nend keep\nleft 1"},
	{name: "row 27 upgrade not asked for", in: "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", want: "error: UnaskedUpgrade"},
	{name: "6.3 CONNECT accepted", methods: []string{"CONNECT"}, in: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nraw",
		want: `HTTP/1.1 200 ""` + "\nbody \"raw\"\nend close"},
	{name: "6.3 CONNECT refused", methods: []string{"CONNECT", "GET"}, in: "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 204 \r\n\r\n",
		want: `HTTP/1.1 403 "" [content-length: 1]` + "\nbody \"x\"\nend keep\n" + `HTTP/1.1 204 ""` + "\nempty keep"},
	{name: "6.1 both framings allowed", o: Options{AllowChunkedLength: true}, in: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		want: `HTTP/1.1 200 ""` + "\nend close"},

	{name: "8 nothing", in: "", want: "eof: CutBeforeHead"},
	{name: "8 one byte", in: "H", want: "eof: CutHead\nleft 1"},
	{name: "8 after 1xx", in: "HTTP/1.1 100 Continue\r\n\r\n", want: `HTTP/1.1 100 ""` + "\nempty keep\neof: CutHead"},
	{name: "8 within a body", in: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx", want: `HTTP/1.1 200 "" [content-length: 3]` + "\nbody \"x\"\neof: CutBody"},
	{name: "8 within chunks", in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", want: `HTTP/1.1 200 ""` + "\nbody \"abc\"\neof: CutBody"},

	{name: "2.2 blank line before", in: "\r\nHTTP/1.1 200 OK\r\n\r\n", want: "error: BadStatusLine"},
	{name: "4 no version", in: "200 OK\r\n\r\n", want: "error: BadStatusLine"},
	{name: "2.3 other protocol", in: "ICY/1.1 200 OK\r\n\r\n", want: "error: BadVersion"},
	{name: "2.3 HTTP/2", in: "HTTP/2.0 200 OK\r\n\r\n", want: "error: UnknownVersion"},
	{name: "4 two digits", in: "HTTP/1.1 20 OK\r\n\r\n", want: "error: BadStatusLine"},
	{name: "4 four digits", in: "HTTP/1.1 2000 OK\r\n\r\n", want: "error: BadStatusLine"},
	{name: "4 below 100", in: "HTTP/1.1 099 OK\r\n\r\n", want: "error: BadStatusLine"},
	{name: "4 no status", in: "HTTP/1.1\r\nA: b\r\n\r\n", want: "error: BadStatusLine"},
	{name: "4 two spaces", in: "HTTP/1.1  200 OK\r\n\r\n", want: "error: BadStatusLine"},
	{name: "4 NUL in the reason", in: "HTTP/1.1 200 O\x00K\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 25 LF", in: "HTTP/1.1 200 OK\nA: b\n\n", want: "error: BareLineEnd"},
	{name: "row 24 folded", in: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", want: "error: Folded"},
	{name: "row 24 space before the colon", in: "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", want: "error: BadName"},
	{name: "row 22 CL+TE", in: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: LengthWithChunked"},
	{name: "row 22 two CL", in: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", want: "error: DuplicateLength"},
	{name: "row 22 TE unknown", in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", want: "error: UnknownTransferEncoding"},
	{name: "6.1 TE in HTTP/1.0", in: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: BadTransferEncoding"},
	{name: "6.1 TE with 204", in: "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: TransferEncodingNotAllowed"},
	{name: "6.1 TE with 100", in: "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: TransferEncodingNotAllowed"},
	{name: "6.2 CL with 204", in: "HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n", want: "error: LengthNotAllowed"},
	{name: "6.2 CL with 100", in: "HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\n", want: "error: LengthNotAllowed"},
	{name: "row 34 too large", o: Options{Limits: Limits{MaxHeadBytes: 20}}, in: "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", want: "error: HeadTooLarge"},
	{name: "row 34 too many", o: Options{Limits: Limits{MaxHeaders: 1}}, in: "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n", want: "error: TooManyHeaders"},
}

func TestResponses(t *testing.T) {
	for _, c := range responses {
		t.Run(c.name, func(t *testing.T) {
			if c.methods == nil {
				c.methods = []string{"GET"}
			}
			cuts(c.in, func(how string, pieces [][]byte) {
				if d := cmp.Diff(c.want, readResponses(t, &c.o, c.methods, pieces...).String()); d != "" {
					t.Fatalf("%s: %s", how, d)
				}
			})
		})
	}
}
