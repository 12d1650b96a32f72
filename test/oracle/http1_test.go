package oracle

const a = "host: a.example\r\n"

var wire = []scenario{
	{name: "answers", sends: []exchange{
		{send: "GET /", answers: []string{"HTTP/1.1 204 No Content\r\n\r\n"}}, {send: "GET /", answers: []string{"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"}}, {send: "GET /", answers: []string{"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: a\r\n\r\n"}},
		{send: "HEAD /", answers: []string{"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"}}, {send: "HEAD /", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"}}, {send: "HEAD /", answers: []string{"HTTP/1.1 200 OK\r\n\r\n"}},
		{send: "GET /", answers: []string{"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"}}, {send: "GET /", answers: []string{"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"}},
		{send: "POST /; expect: 100-continue; body: hello", answers: []string{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"}},
		{send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"}}, {send: "GET /", answers: []string{"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na"}}, {send: "GET /", answers: []string{"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na"}},
		{send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na"}}, {send: "GET /", answers: []string{"HTTP/1.1 999 What\r\ncontent-length: 1\r\n\r\na"}}, {send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\nx-bad\r\ncontent-length: 1\r\n\r\na"}},
		{send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\nx-empty:\r\nx-two: 1\r\nx-two:   2  \r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 1\r\n\r\na"}}, {send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"}},
		{send: "GET /", answers: []string{"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"}}, {send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"}},
	}},
	{name: "trailers", manager: "http_protocol_options: {enable_trailers: true}", clusters: map[string]string{"up": `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}`}, sends: []exchange{
		{send: "POST / HTTP/1.1\r\n" + a + "transfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\nx-u: 2\r\n\r\n"}},
	}},
	{name: "requests", sends: []exchange{
		{send: "GET / HTTP/1.0\r\nhost: a.example\r\n\r\n"}, {send: "GET / HTTP/1.1\r\nhost:a.example\r\nX-Mixed:  v  \r\n\r\n"}, {send: "GET / HTTP/1.1\r\n" + a + "connection: close\r\n\r\n"}, {send: "GET / HTTP/1.1\r\n" + a + "connection: keep-alive, x-hop\r\nx-hop: 1\r\n\r\n"},
		{send: "POST / HTTP/1.1\r\n" + a + "transfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"}, {send: "POST / HTTP/1.1\r\n" + a + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		{send: "POST / HTTP/1.1\r\n" + a + "content-length: 3\r\ncontent-length: 3\r\n\r\nabc"}, {send: "POST / HTTP/1.1\r\n" + a + "content-length: x\r\n\r\nabc"}, {send: "POST / HTTP/1.1\r\n" + a + "transfer-encoding: gzip\r\n\r\nabc"},
		{send: "GET / HTTP/1.1\r\n" + a + "x a: 1\r\n\r\n"}, {send: "GET / HTTP/1.1\r\n" + a + "x-a : 1\r\n\r\n"}, {send: "GET / HTTP/1.1\r\n" + a + "x-a: 1\r\n folded\r\n\r\n"}, {send: "GET / HTTP/1.1\r\n" + a + "x-a: \x01\r\n\r\n"}, {send: "GET  / HTTP/1.1\r\n" + a + "\r\n"},
		{send: "GET / HTTP/2.0\r\n" + a + "\r\n"}, {send: "get / HTTP/1.1\r\n" + a + "\r\n"}, {send: "FOO / HTTP/1.1\r\n" + a + "\r\n"}, {send: "GET nothing HTTP/1.1\r\n" + a + "\r\n"}, {send: "OPTIONS * HTTP/1.1\r\n" + a + "\r\n"}, {send: "\r\n\r\nGET / HTTP/1.1\r\n" + a + "\r\n"},
		{send: "GET / HTTP/1.1\n" + a + "\r\n"}, {send: "GET / HTTP/1.1\r\n" + a + "x-utf: \xc3\xa9\r\n\r\n"}, {send: "GET /\xc3\xa9 HTTP/1.1\r\n" + a + "\r\n"}, {send: "CONNECT a.example:80 HTTP/1.1\r\n" + a + "\r\n"}, {send: "TRACE / HTTP/1.1\r\n" + a + "\r\n"},
		{send: "GET / HTTP/1.1\r\n" + a + "te: trailers\r\nx-empty:\r\n\r\n"}, {send: "GET https://b.example:99/p?q HTTP/1.1\r\n" + a + "\r\n"}, {send: "garbage\r\n\r\n"},
	}},
	{name: "old", manager: "http_protocol_options: {accept_http_10: true, default_host_for_http_10: ten.test}", sends: []exchange{{send: "GET / HTTP/1.0\r\n\r\n"}, {send: "GET / HTTP/1.0\r\nhost: x.test\r\nconnection: keep-alive\r\n\r\n"},
		{send: "GET / HTTP/1.0\r\n\r\n", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}}}},
	{name: "heads-large", manager: "max_request_headers_kb: 1\ncommon_http_protocol_options: {max_headers_count: 5}", sends: []exchange{{send: "GET /; x-a: " + long(1100)}, {send: "GET /; a: 1; b: 2; c: 3; d: 4; e: 5; f: 6"}, {send: "GET /" + long(1100)}}},
	{name: "tcp", tcp: "cluster: $up", sends: []exchange{{send: "tcp hello"}, {send: "tcp "}}},
	{name: "tcp-weighted", tcp: "weighted_clusters: {clusters: [{name: $b, weight: 1}]}", sends: []exchange{{send: "tcp hello"}}},
	{name: "tcp-dead", tcp: "cluster: $dead\nmax_connect_attempts: 2", sends: []exchange{{send: ""}}},
	{name: "tcp-none", tcp: "cluster: $none", sends: []exchange{{send: ""}}},
}
