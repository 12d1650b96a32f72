package peers

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/vacant"
)

const greeter = "org.example.peers.Greeter"

// dubboListener leads to a server, but for one argument, which leads to the other.
func dubboListener(server, other string) string {
	return fmt.Sprintf(`
- name: dubbo-%[1]s
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: d
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
        stat_prefix: %[1]s
        multiple_route_config:
          name: r
          route_config:
          - interface: %[3]s
            routes:
            - {match: {method: {name: {exact: greet}, params_match: {0: {exact_match: cross}}}}, route: {cluster: dubbo-%[2]s}}
            - {match: {method: {name: {safe_regex: {regex: ".*"}}}}, route: {cluster: dubbo-%[1]s}}
`, server, other, greeter)
}

// tripleListener leads to a server, which is all that HTTP/2 knows of a call without its message.
func tripleListener(server string) string {
	return fmt.Sprintf(`
- name: tri-%[1]s
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: h
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: tri-%[1]s
        route_config: {name: r, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /%[2]s/}, route: {cluster: tri-%[1]s, timeout: 0s}}]}]}
        http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, server, greeter)
}

// Every client calls every server through weft, with Dubbo 2 and with Triple. What each call says is the server's name and the text asked with, so that no answer can be another's.
func TestPeers(t *testing.T) {
	run := build(t)
	ports := vacant.Ports(t, 4)
	at := map[string]int{"dubbo-java": ports[0], "tri-java": ports[1], "dubbo-go": ports[2], "tri-go": ports[3]}
	start(t, "the server in Java", append(run.javaServer, "java", strconv.Itoa(ports[0]), strconv.Itoa(ports[1]))...)
	start(t, "the server of Dubbo 2 in Go", append(run.golang, "server", "go", "dubbo", strconv.Itoa(ports[2]))...)
	start(t, "the server of Triple in Go", append(run.golang, "server", "go", "tri", strconv.Itoa(ports[3]))...)
	var clusters []string
	for name, port := range at {
		listening(t, port)
		more := []string{e2e.DubboUpstream}
		if name[0] == 't' {
			more = []string{e2e.Speaks2()}
		}
		clusters = append(clusters, e2e.Cluster(name, port, more...))
	}
	p := e2e.Start(t, e2e.Bootstrap(dubboListener("java", "go")+dubboListener("go", "java")+tripleListener("java")+tripleListener("go")+httpListener(), clusters...))
	clients := map[string]*peer{"java": start(t, "the client in Java", run.javaClient...), "go": start(t, "the client in Go", append(run.golang, "client")...)}

	// url is where a client finds a listener. Java's replaces names and addresses of loopback by that of another interface; it does not know this spelling of 127.0.0.1. It sends heartbeats after so many milliseconds.
	url := func(client, protocol, server string) string {
		_, port, err := net.SplitHostPort(p.Address(protocol + "-" + server))
		if err != nil {
			t.Fatal(err)
		}
		if client == "java" {
			return protocol + "://2130706433:" + port + "/" + greeter + "?heartbeat=1000"
		}
		return protocol + "://127.0.0.1:" + port + "/" + greeter
	}
	t.Run("HTTP", func(t *testing.T) { httpRequests(t, p) })
	for _, client := range []string{"java", "go"} {
		for _, server := range []string{"java", "go"} {
			for _, protocol := range []string{"dubbo", "tri"} {
				t.Run(client+" to "+server+" by "+protocol, func(t *testing.T) {
					text := client + "-" + server + "-" + protocol
					cross, generic := server, ""
					if protocol == "dubbo" {
						cross = map[string]string{"java": "go", "go": "java"}[server]
					}
					words := []string{url(client, protocol, server), text}
					if client == "java" && (server == "java" || protocol == "dubbo") { // dubbo-go has no $invoke in services for Java's Triple
						words, generic = append(words, "generic"), "; generic="+server+" "+text
					}
					threw := "it"
					if client == "java" && server == "go" && protocol == "tri" {
						threw = "org.apache.dubbo.rpc.RpcException: java.util.concurrent.ExecutionException: org.apache.dubbo.rpc.StatusRpcException: CANCELLED" // without weft, too
					}
					want := fmt.Sprintf("greet=%s %s; cross=%s cross; attached=%s; threw=%s; noted=%s%s", server, text, cross, text, threw, text, generic)
					if got := clients[client].ask(t, words...); got != want {
						t.Errorf("%s\nwant %s", got, want)
					}
				})
			}
		}
	}
	t.Run("fastjson2", func(t *testing.T) {
		u := url("java", "dubbo", "java") + "&serialization=fastjson2"
		// An argument of fastjson2 decides, too, but the other server does not read it.
		if got, want := clients["java"].ask(t, u, "f", "alone"), "greet=java f; attached=f; threw=it; noted=f; generic=java f"; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
	if p.Stat("dubbo.java.request_oneway") == 0 || p.Stat("dubbo.go.request_oneway") == 0 {
		t.Error("Java's calls of a method without an answer were not one-way")
	}
	t.Run("heartbeats", func(t *testing.T) {
		u := url("java", "dubbo", "java")
		before := p.Stat("dubbo.java.request_event")
		p.Eventually("Java's client sends heartbeats when it is idle", func() bool { return p.Stat("dubbo.java.request_event") >= before+2 })
		if got, want := clients["java"].ask(t, u, "i", "alone"), "greet=java i; attached=i; threw=it; noted=i; generic=java i"; got != want {
			t.Errorf("after heartbeats: %s\nwant %s", got, want)
		}
	})
	for _, server := range []string{"java", "go"} {
		for _, row := range []string{"request_decoding_error", "response_decoding_error", "local_response_business_exception"} {
			if n := p.Stat("dubbo." + server + "." + row); n != 0 {
				t.Errorf("dubbo.%s.%s: %d", server, row, n)
			}
		}
	}
}
