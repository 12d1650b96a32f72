package http1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/wire/http"
)

type reading struct {
	name    string // with the section of RFC 9112, or the row of the list of hazards
	o       Options
	methods []string // of the requests that are answered; GET if there are none
	in      string
	want    string
}

// open takes whatever can be allowed.
var open = Options{AllowAbsoluteURL: true, AllowHTTP10: true, EnableTrailers: true}

const abc = "GET / HTTP/1.1\r\nHost: abc\r\n\r\n"

var requests = []reading{
	// What is right.
	{name: "3 request line", in: abc, want: `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "2.2 one blank line before", in: "\r\n" + abc, want: `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "2.2 blank lines between", in: abc + "\r\n" + abc,
		want: `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep\n" + `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "3.1 any token is a method", in: "M-SEARCH*!_ /x?y=%20 HTTP/1.1\r\nHost: a:80\r\n\r\n",
		want: `M-SEARCH*!_ "" "a:80" "/x?y=%20" 0 HTTP/1.1` + "\nempty keep"},
	{name: "2.3 higher minor version is 1.1", in: "GET / HTTP/1.7\r\nHost: a\r\n\r\n", want: `GET "" "a" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "5 fields, in order, trimmed", in: "GET / HTTP/1.1\r\nB: 2 \t\r\nhost:\t a\r\nb:\r\nAccept:  x, y\r\nVERY-LONG-" +
		strings.Repeat("NAME-", 20) + "X: \xe9\tz\r\nB:3\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.1 [b: 2] [b: ] [accept: x, y] [very-long-` + strings.Repeat("name-", 20) + "x: \xe9\tz] [b: 3]\nempty keep"},
	{name: "5 spelling kept", o: Options{KeepSpelling: true}, in: "GET / HTTP/1.1\r\nHOST: a\r\nAcCept: 1\r\nX-y: 2\r\nx-z: 3\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.1 [AcCept: 1] [X-y: 2] [x-z: 3]` + "\nempty keep"},
	{name: "3.2.2 absolute form replaces Host", o: open, in: "GET HTTP://x.y:8/p?q HTTP/1.1\r\nHost: a\r\n\r\n", // row 42
		want: `GET "http" "x.y:8" "/p?q" 1 HTTP/1.1` + "\nempty keep"},
	{name: "3.2.2 absolute form, Host first", o: open, in: "GET https://x HTTP/1.1\r\nHost: a\r\n\r\n",
		want: `GET "https" "x" "/" 1 HTTP/1.1` + "\nempty keep"},
	{name: "3.2.2 absolute form, query only", o: open, in: "GET http://x?q HTTP/1.1\r\nHost: x\r\n\r\n",
		want: `GET "http" "x" "/?q" 1 HTTP/1.1` + "\nempty keep"},
	{name: "3.2.2 absolute form not allowed", in: "GET http://x/p HTTP/1.1\r\nHost: a\r\n\r\n",
		want: `GET "" "a" "http://x/p" 1 HTTP/1.1` + "\nempty keep"},
	{name: "3.2.3 authority form", in: "CONNECT [::1]:443 HTTP/1.1\r\nHost: b\r\n\r\nearly", // row 29: held
		want: `CONNECT "" "[::1]:443" "" 2 HTTP/1.1` + "\nempty close\nleft 5"},
	{name: "3.2.3 CONNECT with length 0", in: "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
		want: `CONNECT "" "a:1" "" 2 HTTP/1.1` + "\nempty close"},
	{name: "3.2.4 asterisk form", in: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", want: `OPTIONS "" "a" "*" 3 HTTP/1.1` + "\nempty keep"},
	{name: "3.2.4 asterisk form through a proxy", o: open, in: "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
		want: `OPTIONS "http" "a" "*" 1 HTTP/1.1` + "\nempty keep"},
	{name: "3.2 empty Host", in: "GET / HTTP/1.1\r\nHost:\r\n\r\n", want: `GET "" "" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "3.2 address with zone", in: "GET / HTTP/1.1\r\nHost: [fe80::1%25lo]:9\r\n\r\n", // row 69
		want: `GET "" "[fe80::1%25lo]:9" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "3.2 host percent-encoded, empty port", in: "GET / HTTP/1.1\r\nHost: a%41:\r\n\r\n", want: `GET "" "a%41:" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "6.2 length", in: "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello" + abc,
		want: `PUT "" "a" "/x" 0 HTTP/1.1 [content-length: 005]` + "\nbody \"hello\"\nend keep\n" + `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "6.2 length 0", in: "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		want: `POST "" "a" "/x" 0 HTTP/1.1 [content-length: 0]` + "\nempty keep"},
	{name: "7.1 chunked", in: "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nHost: a\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n1;x\r\n!\r\n0\r\n\r\n" + abc,
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nbody \"hello0123456789!\"\nend keep\n" + `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep"},
	{name: "7.1 nothing in chunks", in: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n000\r\n\r\n",
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nend keep"},
	{name: "7.1.1 extensions", in: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n5 \t; a = \"b;\" ;c\r\nhello\r\n0;z\r\n\r\n",
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nbody \"hello\"\nend keep"},
	{name: "7.1.2 trailers", o: open, in: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n1\r\nx\r\n0\r\nFoo: bar\r\nGRPC-Status: 0\r\n\r\n",
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nbody \"x\"\ntrailers [foo: bar] [grpc-status: 0]\nend keep"},
	{name: "7.1.2 trailers not enabled", in: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n1\r\nx\r\n0\r\nFoo: bar\r\n\r\n",
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nbody \"x\"\nend keep"},
	{name: "7.1.2 fields that may not be trailers", o: open, in: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n" +
		"Content-Length: 5\r\nTransfer-Encoding: x\r\nHost: @\r\nConnection: close\r\nAuthorization: y\r\nMax-Forwards: 1\r\n\r\n",
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nend keep"},
	{name: "9.3 close", in: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n", want: `GET "" "a" "/" 0 HTTP/1.1 [connection: x , CLOSE]` + "\nempty close"},
	{name: "9.3 close among keep-alive", in: "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: ,close,\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.1 [connection: keep-alive] [connection: ,close,]` + "\nempty close"},
	{name: "9.3 Proxy-Connection: close", in: "GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.1 [proxy-connection: close]` + "\nempty close"},
	{name: "9.3 HTTP/1.0 closes", o: open, in: "GET / HTTP/1.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.0 [proxy-connection: keep-alive]` + "\nempty close"},
	{name: "9.3 HTTP/1.0 kept", o: open, in: "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.0 [connection: Keep-Alive]` + "\nempty keep"},
	{name: "3.2 HTTP/1.0 without Host", o: Options{AllowHTTP10: true, DefaultHost: []byte("d")}, in: "GET / HTTP/1.0\r\n\r\n",
		want: `GET "" "d" "/" 0 HTTP/1.0` + "\nempty close"},
	{name: "3.2 HTTP/1.0, absolute form without Host", o: open, in: "GET http://x/ HTTP/1.0\r\n\r\n",
		want: `GET "http" "x" "/" 1 HTTP/1.0` + "\nempty close"},
	{name: "6.1 both framings allowed", o: Options{AllowChunkedLength: true}, // row 22
		in:   "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		want: `POST "" "a" "/" 0 HTTP/1.1` + "\nbody \"x\"\nend close"},
	{name: "row 46 underscore kept", in: "GET / HTTP/1.1\r\nHost: a\r\nx_y: 1\r\n\r\n", want: `GET "" "a" "/" 0 HTTP/1.1 [x_y: 1]` + "\nempty keep"},
	{name: "row 46 underscore dropped", o: Options{Underscores: DropUnderscores}, in: "GET / HTTP/1.1\r\nHost: a\r\nx_y: 1\r\nx-y: 2\r\n" +
		strings.Repeat("x_", 50) + ": 3\r\n\r\n", want: `GET "" "a" "/" 0 HTTP/1.1 [x-y: 2]` + "\nempty keep"},
	{name: "pipelining", in: abc + "HEAD /b HTTP/1.1\r\nHost: b\r\n\r\n" + "POST /c HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\n\r\nc" + abc,
		want: `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep\n" + `HEAD "" "b" "/b" 0 HTTP/1.1` + "\nempty keep\n" +
			`POST "" "c" "/c" 0 HTTP/1.1 [content-length: 1]` + "\nbody \"c\"\nend keep\n" + `GET "" "abc" "/" 0 HTTP/1.1` + "\nempty keep"},

	// What is cut short (§8).
	{name: "8 nothing", in: "", want: ""},
	{name: "8 within the request line", in: "GET /", want: "eof: CutHead\nleft 5"},
	{name: "8 within the fields", in: "GET / HTTP/1.1\r\nHost: abc\r\n", want: "eof: CutHead"},
	{name: "8 within a body", in: "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
		want: `PUT "" "a" "/" 0 HTTP/1.1 [content-length: 5]` + "\nbody \"hell\"\neof: CutBody"},
	{name: "8 after the last chunk", in: "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
		want: `PUT "" "a" "/" 0 HTTP/1.1` + "\nbody \"x\"\neof: CutBody"},

	// The request line (§3).
	{name: "2.2 two blank lines before", in: "\r\n\r\n" + abc, want: "error: BadRequestLine"},
	{name: "2.2 white space before", in: " " + abc, want: "error: BadMethod"},
	{name: "3.1 method is no token", in: "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadMethod"},
	{name: "3.1 no method", in: "/ HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadMethod"},
	{name: "row 25 HTTP/0.9", in: "GET /\r\n\r\n", want: "error: BadRequestLine"},
	{name: "row 25 lines end with LF", in: "GET / HTTP/1.1\nHost: a\n\n", want: "error: BareLineEnd"},
	{name: "row 25 lines end with CR", in: "GET / HTTP/1.1\rHost: a\r\r", want: "error: BareLineEnd"},
	{name: "3 two spaces", in: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadTarget"},
	{name: "3 space in the target", in: "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadVersion"},
	{name: "3 tab", in: "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadMethod"},
	{name: "3 space at the end", in: "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", want: "error: BadVersion"},
	{name: "2.3 lower case", in: "GET / http/1.1\r\nHost: a\r\n\r\n", want: "error: BadVersion"},
	{name: "2.3 two digits", in: "GET / HTTP/1.10\r\nHost: a\r\n\r\n", want: "error: BadVersion"},
	{name: "2.3 HTTP/2", in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: "error: UnknownVersion"},
	{name: "2.3 HTTP/0.9 spelled", in: "GET / HTTP/0.9\r\nHost: a\r\n\r\n", want: "error: UnknownVersion"},
	{name: "HTTP/1.0 not enabled", in: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", want: "error: LowVersion"},
	{name: "row 66 TLS on a plain port", in: "\x16\x03\x01\x02\x00\x01", want: "error: BadCharacter"},
	{name: "3.2 relative", in: "GET x HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadTarget"},
	{name: "3.2 asterisk without OPTIONS", in: "GET * HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadTarget"},
	{name: "3.2 more than an asterisk", in: "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadTarget"},
	{name: "row 40 fragment", in: "GET /admin#x HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: Fragment"},
	{name: "row 40 fragment in a query", o: open, in: "GET http://a/?x# HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: Fragment"},
	{name: "3.2 not ASCII", in: "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadTarget"},
	{name: "3.2 DEL", in: "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 24 NUL in the target", in: "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 42 other scheme", o: open, in: "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadScheme"},
	{name: "3.2.2 no scheme", o: open, in: "GET ://a/ HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadTarget"},
	{name: "3.2.2 no host", o: open, in: "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadURL"},
	{name: "3.2.2 port only", o: open, in: "GET http://:80/x HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadURL"},
	{name: "3.2.2 user information", o: open, in: "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadURL"},
	{name: "3.2.3 no port", in: "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadURL"},
	{name: "3.2.3 empty port", in: "CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadURL"},
	{name: "3.2.3 path", in: "CONNECT /a:80 HTTP/1.1\r\nHost: a\r\n\r\n", want: "error: BadURL"},

	// Host (§3.2).
	{name: "3.2 no Host", in: "GET / HTTP/1.1\r\nA: b\r\n\r\n", want: "error: MissingHost"},
	{name: "3.2 no Host with absolute form", o: open, in: "GET http://a/ HTTP/1.1\r\n\r\n", want: "error: MissingHost"},
	{name: "3.2 no Host in HTTP/1.0", o: open, in: "GET / HTTP/1.0\r\n\r\n", want: "error: MissingHost"},
	{name: "3.2 two Hosts", in: "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", want: "error: DuplicateHost"}, // row 7
	{name: "3.2 two Hosts with absolute form", o: open, in: "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", want: "error: DuplicateHost"},
	{name: "3.2 bad Host with absolute form", o: open, in: "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", want: "error: BadHost"},

	// Fields (§5).
	{name: "row 24 space before the colon", in: "GET / HTTP/1.1\r\nHost : a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 tab before the colon", in: "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 space in the name", in: "GET / HTTP/1.1\r\nHo st: a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 no name", in: "GET / HTTP/1.1\r\n: a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 no colon", in: "GET / HTTP/1.1\r\nHost a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 name not ASCII", in: "GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 name in quotes", in: "GET / HTTP/1.1\r\n\"Host\": a\r\n\r\n", want: "error: BadName"},
	{name: "row 24 NUL in a name", in: "GET / HTTP/1.1\r\nHo\x00st: a\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 24 NUL in a value", in: "GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 24 vertical tab", in: "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 24 DEL in a name", in: "GET / HTTP/1.1\r\nHost: a\r\nX\x7fY: a\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 24 DEL in a value", in: "GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n", want: "error: BadCharacter"},
	{name: "row 24 CR in a name folds to a dash", in: "GET / HTTP/1.1\r\nUser\rAgent: a\r\nHost: a\r\n\r\n", want: "error: BareLineEnd"},
	{name: "row 24 folded", in: "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", want: "error: Folded"},
	{name: "row 24 folded with a tab", in: "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz: u\r\n\r\n", want: "error: Folded"},
	{name: "row 24 white space before the first field", in: "GET / HTTP/1.1\r\n Host: a\r\n\r\n", want: "error: Folded"},
	{name: "row 25 LF in a value", in: "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", want: "error: BareLineEnd"},
	{name: "row 25 CR in a value", in: "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", want: "error: BareLineEnd"},
	{name: "row 25 LF at the end of the head", in: "GET / HTTP/1.1\r\nHost: a\r\n\n", want: "error: BareLineEnd"},
	{name: "row 25 CR CR LF", in: "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", want: "error: BareLineEnd"},
	{name: "row 46 underscore rejected", o: Options{Underscores: RejectUnderscores}, in: "GET / HTTP/1.1\r\nHost: a\r\nx_y: 1\r\n\r\n", want: "error: Underscore"},
	{name: "row 46 underscore in a long name", o: Options{Underscores: RejectUnderscores},
		in: "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("x", 80) + "_y: 1\r\n\r\n", want: "error: Underscore"},
	{name: "row 34 too large", o: Options{Limits: Limits{MaxHeadBytes: 40}}, in: "GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789\r\n\r\n", want: "error: HeadTooLarge"},
	{name: "row 34 just not too large", o: Options{Limits: Limits{MaxHeadBytes: 42}}, in: "GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789\r\n\r\n",
		want: `GET "" "a" "/" 0 HTTP/1.1 [a: 0123456789]` + "\nempty keep"},
	{name: "row 34 just too large", o: Options{Limits: Limits{MaxHeadBytes: 41}}, in: "GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789\r\n\r\n", want: "error: HeadTooLarge"},
	{name: "row 34 target too large", o: Options{Limits: Limits{MaxHeadBytes: 40}}, in: "GET /" + strings.Repeat("x", 40) + " HTTP/1.1\r\n", want: "error: HeadTooLarge"},
	{name: "row 34 method too large", o: Options{Limits: Limits{MaxHeadBytes: 40}}, in: strings.Repeat("X", 50), want: "error: HeadTooLarge"},
	{name: "row 34 name too large", o: Options{Limits: Limits{MaxHeadBytes: 40}}, in: "GET / HTTP/1.1\r\n" + strings.Repeat("x", 50), want: "error: HeadTooLarge"},
	{name: "row 34 too many", o: Options{Limits: Limits{MaxHeaders: 2}}, in: "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", want: "error: TooManyHeaders"},
	{name: "row 34 dropped fields count", o: Options{Limits: Limits{MaxHeaders: 2}, Underscores: DropUnderscores},
		in: "GET / HTTP/1.1\r\nHost: a\r\nA_: 1\r\nB_: 2\r\n\r\n", want: "error: TooManyHeaders"},

	// Framing (§6).
	{name: "row 22 CL+TE", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: LengthWithChunked"},
	{name: "row 22 TE+CL", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", want: "error: LengthWithChunked"},
	{name: "row 22 CL+TE allowed but not chunked", o: Options{AllowChunkedLength: true},
		in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", want: "error: LengthWithChunked"},
	{name: "row 22 TE.TE", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: BadTransferEncoding"},
	{name: "row 22 TE list", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", want: "error: BadTransferEncoding"},
	{name: "row 22 TE unknown", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", want: "error: UnknownTransferEncoding"},
	{name: "row 22 TE unknown, then chunked", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", want: "error: UnknownTransferEncoding"},
	{name: "row 22 TE not last", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", want: "error: UnknownTransferEncoding"},
	{name: "row 22 TE with parameter", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x\r\n\r\n", want: "error: UnknownTransferEncoding"},
	{name: "row 22 TE empty", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", want: "error: BadTransferEncoding"},
	{name: "row 22 TE with a comma", in: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", want: "error: BadTransferEncoding"},
	{name: "6.1 TE in HTTP/1.0", o: open, in: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: BadTransferEncoding"},
	{name: "row 22 two CL", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", want: "error: DuplicateLength"},
	{name: "row 22 two equal CL", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", want: "error: DuplicateLength"},
	{name: "row 22 CL list", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL +5", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL -0", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL 0x5", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL 5.0", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL empty", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL 2^63", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", want: "error: BadLength"},
	{name: "row 22 CL 2^64+5", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n", want: "error: BadLength"},
	{name: "6.2 CL 2^63-1", in: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\nx",
		want: `POST "" "a" "/" 0 HTTP/1.1 [content-length: 9223372036854775807]` + "\nbody \"x\"\neof: CutBody"},
	{name: "CONNECT with a length", in: "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", want: "error: ConnectBody"},
	{name: "CONNECT with chunks", in: "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", want: "error: UnknownTransferEncoding"},
}

// chunked bodies at fault, after the same head (§7.1, row 23).
var badChunks = []struct{ name, in, want string }{
	{"no size", "\r\nx", "error: BadChunk"},
	{"row 23 0x", "0x5\r\nhello\r\n", "error: BadChunk"},
	{"row 23 sign", "+5\r\nhello\r\n", "error: BadChunk"},
	{"row 23 minus", "-5\r\nhello\r\n", "error: BadChunk"},
	{"row 23 space before", " 5\r\nhello\r\n", "error: BadChunk"},
	{"row 23 space after", "5 \r\nhello\r\n", "error: BadChunk"},
	{"row 23 tab after", "5\t\r\nhello\r\n", "error: BadChunk"},
	{"row 23 underscore", "1_0\r\nhello\r\n", "error: BadChunk"},
	{"row 23 letter", "5g\r\nhello\r\n", "error: BadChunk"},
	{"row 23 space in the size", "1 0\r\nhello\r\n", "error: BadChunk"},
	{"row 23 LF after the size", "5\nhello\r\n", "error: BareLineEnd"},
	{"row 23 CR after the size", "5\rhello\r\n", "error: BareLineEnd"},
	{"row 23 LF in an extension", "5;a\nhello\r\n", "error: BareLineEnd"},
	{"row 23 CR in an extension", "5;a\rb\r\nhello\r\n", "error: BareLineEnd"},
	{"row 23 NUL in an extension", "5;a\x00\r\nhello\r\n", "error: BadCharacter"},
	{"row 23 LF after the data", "5\r\nhello\n", "body \"hello\"\nerror: BadChunk"},
	{"row 23 data too long", "5\r\nhello!\r\n", "body \"hello\"\nerror: BadChunk"},
	{"row 23 CR alone after the data", "5\r\nhello\rx", "body \"hello\"\nerror: BadChunk"},
	{"row 23 2^63", "8000000000000000\r\nx", "error: BadChunk"},
	{"row 23 2^64+5", "10000000000000005\r\nhello\r\n", "error: BadChunk"},
	{"row 23 too many zeros", "00000000000000005\r\nhello\r\n", "error: BadChunk"},
	{"2^63-1", "7fffffffffffffff\r\nx", "body \"x\"\neof: CutBody"},
	{"row 23 extension too long", "5;" + strings.Repeat("x", 300) + "\r\nhello\r\n", "error: ChunkExtension"},
	{"row 23 extension without end", "5;" + strings.Repeat("x", 300), "error: ChunkExtension"},
	{"row 23 size without end", strings.Repeat("0", 300), "error: ChunkExtension"},
	{"extension as long as may be", "5;" + strings.Repeat("x", 255) + "\r\nhello\r\n0\r\n\r\n", "body \"hello\"\nend keep"},
	{"trailer without colon", "0\r\nfoo\r\n\r\n", "error: BadName"},
	{"trailer folded", "0\r\nfoo: a\r\n b\r\n\r\n", "error: Folded"},
	{"trailer with NUL", "0\r\nfoo: \x00\r\n\r\n", "error: BadCharacter"},
	{"LF after the last chunk", "0\r\n\n", "error: BareLineEnd"},
	{"row 9 trailers too large", "0\r\n" + strings.Repeat("a: 012345678901234567890123456789\r\n", 3), "error: TrailersTooLarge"},
	{"row 9 too many trailers", "0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", "error: TooManyTrailers"},
}

func corpus() []reading {
	all := requests
	for _, c := range badChunks {
		for _, o := range []Options{{}, {EnableTrailers: true}} {
			o.Limits = Limits{MaxTrailerBytes: 64, MaxHeaders: 3}
			all = append(all, reading{name: "7.1 " + c.name, o: o,
				in:   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + c.in,
				want: `POST "" "a" "/" 0 HTTP/1.1` + "\n" + c.want})
		}
	}
	return all
}

func TestRequests(t *testing.T) {
	for _, c := range corpus() {
		t.Run(c.name, func(t *testing.T) {
			cuts(c.in, func(how string, pieces [][]byte) {
				if d := cmp.Diff(c.want, readRequests(t, &c.o, pieces...).String()); d != "" {
					t.Fatalf("%s: %s", how, d)
				}
			})
		})
	}
}

func TestAuthority(t *testing.T) {
	for a, valid := range map[string]bool{
		"": true, "a": true, "a.b-c_d~e": true, "EXAMPLE.com.": true, "1.2.3.4:80": true, "a:": true, "a:0": true, "a:65535": true,
		"[::1]": true, "[::1]:80": true, "[fe80::1%25eth0]": true, "%41": true, "a!$&'()*+,;=b": true,
		"a:65536": false, "a:99999999999999999999": false, ":80": false, ":": false, "a:b": false, "a:8 0": false, "a:-1": false,
		"u@a": false, "u:p@a": false, "a b": false, "a/b": false, "a?b": false, "a#b": false, "a\\b": false, "a\"b": false, "<a>": false,
		"%4": false, "%zz": false, "%": false, "a:1:2": false, "::1": false, "[": false, "[]": false, "[::1": false, "[::1]x": false,
		"[::1]80": false, "[::1]:x": false, "[g::1]": false, "[::1%]x": false, "a]": false, "h\xc3\xb6st": false, "a\tb": false,
	} {
		if got := http.ValidAuthority([]byte(a), false); got != valid {
			t.Errorf("%q: %v", a, got)
		}
	}
}

// A block for trailers may be handed in at any time and is empty when they come, and when the next message does.
func TestTrailersBlock(t *testing.T) {
	const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	s := readRequests(t, &open, []byte(chunked+"0\r\nx: y\r\n\r\n"))
	own := s.d.Trailers
	if showFields(own) != " [x: y]" {
		t.Errorf("trailers%s", showFields(own))
	}
	if s.feed([]byte(abc)); own != s.d.Trailers || own.Len() != 0 {
		t.Errorf("after the next head: trailers%s", showFields(own))
	}
	s.feed([]byte(chunked))
	var pooled http.Header
	pooled.AddString(http.Via, "another message")
	s.d.Trailers = &pooled
	s.feed([]byte("0\r\nx: z\r\n\r\n"))
	if showFields(&pooled) != " [x: z]" || own.Len() != 0 {
		t.Errorf("trailers%s", showFields(&pooled))
	}
}

func TestUpgradeAsked(t *testing.T) {
	for in, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n": true,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n":                                   false,
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n":                                    false,
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n":             false, // RFC 9110 §7.8
	} {
		s := readRequests(t, &open, []byte(in))
		if s.d.UpgradeAsked() != want {
			t.Errorf("%q: %v", in, !want)
		}
	}
}

// Row 29: what comes behind CONNECT is nobody's until the tunnel stands, and then it is no HTTP.
func TestServerTunnel(t *testing.T) {
	s := readRequests(t, &open, []byte("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"+abc))
	if s.d.Idle() || s.d.KeepAlive() || s.d.Upgraded() {
		t.Error("idle, kept or upgraded before the tunnel stands")
	}
	s.d.Upgrade()
	if n, ev, data, err := s.next([]byte(abc)); n != len(abc) || ev != Body || string(data) != abc || err != nil {
		t.Error(n, ev, data, err)
	}
	if ev, err := s.d.EOF(); ev != End || err != nil || s.d.KeepAlive() {
		t.Error(ev, err)
	}
}

func TestIdle(t *testing.T) {
	for in, idle := range map[string]bool{
		"": true, "G": false, "GET / HTTP/1.1\r\n": false, "\r\n": true, abc: true,
		"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n": false, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx": true,
	} {
		r := new(http.Request)
		s := &transcript{t: t, message: func() string { return "" }, over: func() bool { return false }}
		s.next = func(in []byte) (int, Event, []byte, error) { return s.d.NextRequest(in, r) }
		s.d.InitRequest(&open)
		s.feed([]byte(in))
		if s.d.Idle() != idle {
			t.Errorf("after %q: %v", in, !idle)
		}
	}
	var d Decoder
	d.InitResponse(&open)
	if !d.Idle() {
		t.Error("the client side is not idle at first")
	}
	d.ExpectResponse([]byte("GET"), false)
	if d.Idle() {
		t.Error("the client side is idle though a response is expected")
	}
}
