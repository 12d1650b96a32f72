package rivals

import (
	"fmt"
	"strings"
)

func haproxy() Rival {
	return Rival{
		Name: "haproxy", Package: "the Debian package haproxy",
		TCP: true, HTTP2: true, file: "haproxy.cfg",
		find:    onPath("haproxy"),
		version: []string{"-v"},
		render:  haproxyConf,
		check:   func(file string) []string { return []string{"-c", "-f", file} },
		run:     func(file string, _ Plan) []string { return []string{"-db", "-f", file} },
	}
}

func haproxyConf(p Plan) string {
	mode := "http"
	if p.TCP {
		mode = "tcp"
	}
	ssl := ""
	if p.Certificate != "" {
		ssl = " ssl crt " + p.Certificate
	}
	proto := ""
	if p.HTTP2 {
		proto = " proto h2"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
  nbthread %d
  maxconn 8000
defaults
  mode %s
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend down
  bind 127.0.0.1:%d backlog 8192%s%s
`, p.Threads, mode, p.Listen, ssl, proto)
	if p.TCP {
		fmt.Fprintf(&b, `  default_backend up
backend up
  server up 127.0.0.1:%d
`, p.Upstream)
		return b.String()
	}
	b.WriteString("  option forwardfor\n  http-request set-header X-Request-ID %[uuid()]\n")
	for _, prefix := range append(decoys[:len(decoys):len(decoys)], match) {
		fmt.Fprintf(&b, "  use_backend up if { path_beg %s }\n", prefix)
	}
	fmt.Fprintf(&b, `backend up
  http-reuse always
  server up 127.0.0.1:%d%s
`, p.Upstream, proto)
	return b.String()
}
