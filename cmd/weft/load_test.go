package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
)

// loadedYAML is an HTTP proxy and a TCP proxy, each in front of an address.
const loadedYAML = `
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          drain_timeout: 0.2s
          upgrade_configs: [{upgrade_type: websocket}]
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: web}}]}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  - name: tcp
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: raw}
  clusters:
  - name: web
    load_assignment: {cluster_name: web, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
  - name: raw
    load_assignment: {cluster_name: raw, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
`

// echo is an HTTP server that says what it hears: bodies, and messages of WebSocket.
func echo(t *testing.T) (port int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for {
			kind, m, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, m) != nil {
				return
			}
		}
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// load is what clients have done, by kind.
type load struct {
	t    *testing.T
	done [4]atomic.Int64
}

const (
	doneHTTP1 = iota
	doneHTTP2
	doneWebSocket
	doneTCP // bytes
)

// ask sends bodies and hears them again, until the end.
func (l *load) ask(ctx context.Context, kind int, url string, transport http.RoundTripper) {
	c := http.Client{Transport: transport, Timeout: deadline}
	for ctx.Err() == nil {
		body := make([]byte, 1+rand.IntN(20<<10))
		rand.NewChaCha8([32]byte{byte(len(body))}).Read(body)
		r, err := c.Post(url, "text/plain", bytes.NewReader(body))
		if err != nil {
			l.t.Errorf("lost: %v", err)
			continue
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != 200 || !bytes.Equal(b, body) {
			l.t.Errorf("lost: %d, %d bytes of %d, %v", r.StatusCode, len(b), len(body), err)
		}
		l.done[kind].Add(1)
	}
}

// talk has conversations of some messages over WebSocket, one after the other.
func (l *load) talk(ctx context.Context, url string) {
	for ctx.Err() == nil {
		// Not the context of the load: who has begun is to come to an end.
		whole, stop := context.WithTimeout(context.Background(), deadline)
		c, _, err := websocket.Dial(whole, url, nil)
		if err != nil {
			l.t.Errorf("lost: %v", err)
			stop()
			continue
		}
		for i := range 50 {
			text := fmt.Sprintf("message %d", i)
			if err = c.Write(whole, websocket.MessageText, []byte(text)); err == nil {
				var b []byte
				if _, b, err = c.Read(whole); err == nil && string(b) != text {
					err = fmt.Errorf("%q for %q", b, text)
				}
			}
			if err != nil {
				l.t.Errorf("lost: message %d: %v", i, err)
				break
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
		stop()
		l.done[doneWebSocket].Add(1)
	}
}

// Under requests over HTTP/1 and HTTP/2, conversations over WebSocket and streams over TCP, two processes take one another's place: nothing is lost.
func TestRestartUnderLoad(t *testing.T) {
	id, raw := baseID(), newOrigin(t)
	yaml := fmt.Sprintf(loadedYAML, echo(t), raw.port)
	w := launch(t, yaml, "--base-id", id, "--drain-time-s", "1")
	web, tcp := w.listener("web"), w.listener("tcp")

	ctx, end := context.WithCancel(t.Context())
	l := &load{t: t}
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() { l.ask(ctx, doneHTTP1, "http://"+web+"/", &http.Transport{}) })
		clients.Go(func() {
			l.ask(ctx, doneHTTP2, "http://"+web+"/", &http2.Transport{AllowHTTP: true, DialTLSContext: plainDial})
		})
		clients.Go(func() { l.talk(ctx, "ws://"+web+"/") })
		p := raw.pair(tcp)
		stop := make(chan struct{})
		context.AfterFunc(ctx, func() { close(stop) })
		clients.Go(func() {
			if err := stream(p.client, p.server, 1, time.Millisecond, stop, &l.done[doneTCP]); err != nil {
				t.Errorf("lost: up: %v", err)
			}
		})
		clients.Go(func() {
			if err := stream(p.server, p.client, 2, time.Millisecond, stop, &l.done[doneTCP]); err != nil {
				t.Errorf("lost: down: %v", err)
			}
		})
	}
	clients.Go(func() { l.ask(ctx, doneHTTP1, "http://"+web+"/", &http.Transport{DisableKeepAlives: true}) })
	all := func() bool {
		for i, least := range [...]int64{doneHTTP1: 100, doneHTTP2: 100, doneWebSocket: 3, doneTCP: 1 << 20} {
			if l.done[i].Load() < least {
				return false
			}
		}
		return true
	}
	for epoch := 1; epoch <= 2; epoch++ {
		w.eventually("traffic of all kinds", all)
		next := succeeds(t, yaml, id, epoch, "--parent-shutdown-time-s", "2")
		w.ended()
		for i := range l.done {
			l.done[i].Store(0)
		}
		w = next
	}
	w.eventually("traffic of all kinds", all)
	end()
	clients.Wait()
	w.eventually("all is over", func() bool {
		return w.stat("http.web.downstream_rq_active") == 0 && w.stat("http.web.downstream_cx_upgrades_active") == 0 && w.stat("cluster.raw.upstream_cx_active") == 0
	})
	if n := w.stat("tcp.tcp.downstream_cx_total"); n != 2 {
		t.Errorf("%d TCP connections", n)
	}
	if n := w.stat("hot_restart.connections_taken"); n != 4 {
		t.Errorf("%d connections have changed processes, not twice both", n)
	}
	for _, code := range []string{"4xx", "5xx"} {
		if n := w.stat("http.web.downstream_rq_" + code); n > 0 {
			t.Errorf("%d answers are %s", n, code)
		}
	}
}
