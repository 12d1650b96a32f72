package e2e

import (
	"strings"
	"testing"
)

// The rows were asked of Envoy 1.40: what the upstream is told of the time that it has, "-" for nothing.
func TestGRPCTimeouts(t *testing.T) {
	p := Routes(t, Echo(t), `
- {match: {prefix: /a}, route: {cluster: up, max_grpc_timeout: 5s, grpc_timeout_offset: 1s}}
- {match: {prefix: /b}, route: {cluster: up, timeout: 3s, max_stream_duration: {grpc_timeout_header_max: 4s, grpc_timeout_header_offset: 1s}}}
- {match: {prefix: /c}, route: {cluster: up, max_stream_duration: {max_stream_duration: 9s}}}
- {match: {prefix: /d}, route: {cluster: up, max_stream_duration: {max_stream_duration: 0s}}}
- {match: {prefix: /e}, route: {cluster: up, grpc_timeout_offset: 1s}}`)
	for _, test := range []struct{ path, asked, told, expected string }{
		{"/a", "3S", "2000m", "2000"}, {"/a", "100S", "5000m", "5000"}, {"/a", "0S", "5000m", "5000"}, {"/a", "x", "5000m", "5000"}, {"/a", "100m", "100m", "100"},
		{"/a", "99999999H", "5000m", "5000"}, {"/a", "9999999999S", "5000m", "5000"}, {"/a", "", "5000m", "5000"},
		{"/b", "3S", "2000m", "-"}, {"/b", "100S", "3000m", "-"}, {"/b", "x", "x", "-"}, {"/b", "99999999H", "3000m", "-"},
		{"/c", "3S", "9000m", "-"}, {"/c", "", "9000m", "-"}, {"/d", "3S", "-", "-"}, {"/e", "3S", "3S", "15000"},
	} {
		fields := []string{"content-type: application/grpc"}
		if test.asked != "" {
			fields = append(fields, "grpc-timeout: "+test.asked)
		}
		got := p.Dial().Get(test.path, fields...).Want(t, 200).Body
		for name, want := range map[string]string{"grpc-timeout": test.told, "x-envoy-expected-rq-timeout-ms": test.expected} {
			line := "\r\n" + name + ": "
			if want == "-" && strings.Contains(got, line) || want != "-" && !strings.Contains(got, line+want+"\r\n") {
				t.Errorf("%s with %q: want %s %s in\n%s", test.path, test.asked, name, want, got)
			}
		}
	}
	// Nothing left once our part is taken off: the upstream is not asked.
	for _, asked := range []string{"0S", "100m", "1S", "5n"} {
		p.Dial().Get("/b", "content-type: application/grpc", "grpc-timeout: "+asked).Want(t, 200, "grpc-status: 4", "grpc-message: downstream duration timeout")
	}
	p.WantStat("http.http.downstream_rq_max_duration_reached", 4)
	// It is not heeded where it means nothing.
	if got := p.Dial().Get("/b", "grpc-timeout: 3S").Want(t, 200).Body; !strings.Contains(got, "grpc-timeout: 3S") {
		t.Errorf("of a request that is not gRPC became\n%s", got)
	}
}
