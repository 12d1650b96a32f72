package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A listener logs each connection once, when it has gone, also one that nobody got. What is in the lines was asked of Envoy.
func TestListenerLog(t *testing.T) {
	u := shout(t)
	const tcp = `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: %s}}`
	const answer = `{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: hi}}}`
	const limit = `{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 1}}`
	const inspector = `{name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}`
	for name, c := range map[string]struct {
		listener string
		talk     func(p *Proxy)
		want     []string // flags, bytes, chain, endpoint, cluster, details, kind, protocol, status
	}{
		"no chain": {"filter_chains: [{filter_chain_match: {destination_port: 1}, filters: [" + answer + "]}]", func(p *Proxy) { p.Dial().Closed() },
			[]string{"NR 0/0 - - - filter_chain_not_found NotSet - 0"}},
		"nothing comes in time": {"listener_filters: [" + inspector + "]\n  listener_filters_timeout: 0.01s\n  filter_chains: [{filters: [" + answer + "]}]", func(p *Proxy) { p.Dial().Closed() },
			[]string{"- 0/0 - - - - NotSet - 0"}},
		"the client leaves": {"listener_filters: [" + inspector + "]\n  filter_chains: [{filters: [" + answer + "]}]", func(p *Proxy) { p.Dial().Close() },
			[]string{"- 0/0 - - - - NotSet - 0"}},
		"carried": {"filter_chains: [{name: chain, filters: [" + fmt.Sprintf(tcp, "up") + "]}]", func(p *Proxy) {
			c := p.Dial().Send("abc")
			c.Conn.(*net.TCPConn).CloseWrite()
			c.Rest()
		}, []string{"- 3/6 chain UP up - NotSet - 0"}},
		"to nobody": {"filter_chains: [{filters: [" + fmt.Sprintf(tcp, "gone") + "]}]", func(p *Proxy) { p.Dial().Closed() },
			[]string{"NC 0/0 - - - - NotSet - 0"}},
		"answered": {"filter_chains: [{filters: [" + answer + "]}]", func(p *Proxy) { p.Dial().Rest() },
			[]string{"- 0/2 - - - direct_response NotSet - 0"}},
		"turned away": {"filter_chains: [{filters: [" + limit + ", " + fmt.Sprintf(tcp, "up") + "]}]", func(p *Proxy) {
			first := p.Dial().Send("a")
			first.r.ReadByte()
			p.Dial().Closed()
		}, []string{"- 0/0 - - - - NotSet - 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			p := Start(t, Bootstrap(`
- name: l
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+file+`", log_format: {text_format_source: {inline_string: "%RESPONSE_FLAGS% %BYTES_RECEIVED%/%BYTES_SENT% %FILTER_CHAIN_NAME% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %RESPONSE_CODE_DETAILS% %ACCESS_LOG_TYPE% %PROTOCOL% %RESPONSE_CODE%\n"}}}}]
  `+c.listener, Cluster("up", u.Port)))
			c.talk(p)
			wantLog(p, file, c.want, "UP", fmt.Sprintf("127.0.0.1:%d", u.Port))
		})
	}
}

func TestListenerLogOfHTTP(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	text := Bootstrap(HTTPListener("routes: [{match: {prefix: /}, direct_response: {status: 201}}]"), Cluster("up", 1))
	p := Start(t, strings.Replace(text, "    filter_chains:", `    access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+file+`", log_format: {text_format_source: {inline_string: "%RESPONSE_FLAGS% %BYTES_RECEIVED% %CONNECTION_ID% %PROTOCOL% %RESPONSE_CODE%\n"}}}}]
    filter_chains:`, 1))
	c := p.Dial()
	c.Get("/").Want(t, 201)
	c.Get("/").Want(t, 201)
	c.Close()
	wantLog(p, file, []string{"- 70 1 HTTP/1.1 0"})
	p.Dial().Send("bad\r\n\r\n").Closed()
	wantLog(p, file, []string{"- 70 1 HTTP/1.1 0", "DPE 7 2 - 0"})
}

// wantLog waits for a log to have these lines, with words replaced.
func wantLog(p *Proxy, file string, want []string, words ...string) {
	p.t.Helper()
	lines := strings.NewReplacer(words...).Replace(strings.Join(want, "\n") + "\n")
	var got []byte
	p.Eventually("a log of "+lines, func() bool {
		got, _ = os.ReadFile(file)
		return strings.Count(string(got), "\n") >= len(want)
	})
	if string(got) != lines {
		p.t.Errorf("got\n%swant\n%s", got, lines)
	}
}
