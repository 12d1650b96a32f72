package rivals

import (
	"fmt"
	"os"
	"strings"
)

func nginx() Rival {
	return Rival{
		Name: "nginx", Package: "the Debian package nginx-light",
		workers: 1, file: "nginx.conf",
		find:    onPath("nginx"),
		version: []string{"-v"},
		render:  nginxConf,
		check:   func(file string) []string { return []string{"-t", "-q", "-p", ".", "-e", "stderr", "-c", file} },
		run:     func(file string, _ Plan) []string { return []string{"-p", ".", "-e", "stderr", "-c", file} },
	}
}

// nginxConf keeps connections longer than nginx does by itself (1,000 requests), on both sides: the
// others set no such limit, and opening anew is not what is measured. worker_connections takes the
// 5,000 idle connections with room; the table for it is allocated at start.
func nginxConf(p Plan) string {
	ssl := ""
	if p.Certificate != "" {
		ssl = " ssl;\n    ssl_certificate " + p.Certificate + ";\n    ssl_certificate_key " + p.Certificate + ";\n    ssl_protocols TLSv1.2 TLSv1.3"
	}
	var b strings.Builder
	if os.Geteuid() == 0 {
		// Else the worker becomes a user who may not write its temporary files.
		b.WriteString("user root;\n")
	}
	fmt.Fprintf(&b, `daemon off;
worker_processes %d;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr error;
events { worker_connections 15000; use epoll; }
http {
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream up {
    server 127.0.0.1:%d;
    keepalive 256;
    keepalive_requests 1000000000;
  }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Request-ID $request_id;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  server {
    listen 127.0.0.1:%d backlog=8192%s;
`, p.Threads, p.Upstream, p.Listen, ssl)
	for _, prefix := range append(decoys[:len(decoys):len(decoys)], match) {
		fmt.Fprintf(&b, "    location %s { proxy_pass http://up; }\n", prefix)
	}
	b.WriteString("  }\n}\n")
	return b.String()
}
