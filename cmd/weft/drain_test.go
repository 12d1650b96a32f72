package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestWhoWasLetInIsServed has clients come all the time while the doors are closed: who has a connection gets his answer, and who has none is told so.
func TestWhoWasLetInIsServed(t *testing.T) {
	for range 20 {
		w := launch(t, `
static_resources:
  listeners:
  - name: in
    traffic_direction: INBOUND
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: h
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`)
		at := w.listener("in")
		var all sync.WaitGroup
		var served, lost atomic.Int64
		for range 16 {
			all.Go(func() {
				for {
					c, err := net.Dial("tcp", at)
					if err != nil {
						if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) { // he has no connection
							t.Error(err)
						}
						return
					}
					c.SetDeadline(time.Now().Add(deadline))
					fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					r, err := http.ReadResponse(bufio.NewReader(c), nil)
					if c.Close(); err != nil || r.StatusCode != http.StatusOK {
						lost.Add(1)
						continue
					}
					served.Add(1)
				}
			})
		}
		w.eventually("there is load", func() bool { return served.Load() > 200 })
		if status, body := w.do("POST", "/drain_listeners?inboundonly"); status != http.StatusOK {
			t.Fatal(status, body)
		}
		all.Wait()
		if n := lost.Load(); n > 0 {
			t.Errorf("%d of %d who had a connection got no answer", n, served.Load()+n)
		}
	}
}
