package conformance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"github.com/weftmesh/weft/test/e2e"
)

// deliberate are the cases in which we do otherwise, and why. Those of priorities ask for what RFC 9113 §5.3.2 has taken back.
var deliberate = map[string]string{
	"http2/5.3.1/1": "streams no longer depend on one another",
	"http2/5.3.1/2": "streams no longer depend on one another",
}

// h2spec, which reads RFC 7540 and 7541 to the letter, finds nothing wrong with how clients are spoken to, in plain text and over TLS.
func TestH2Spec(t *testing.T) {
	u := e2e.Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // an answer before the request's end would end the stream before the case has made its point
		fmt.Fprint(w, "an answer that is longer than the smallest window of a case")
	})
	a := e2e.NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	listener := e2e.HTTPListener(e2e.All, "codec_type: HTTP2", "http2_protocol_options: {override_stream_error_on_invalid_http_message: true}")
	cluster := e2e.Cluster("up", u.Port, e2e.Speaks2())
	plain := e2e.Start(t, e2e.Bootstrap(listener, cluster))
	secure := e2e.Start(t, e2e.Bootstrap(e2e.Secured(listener, e2e.DownstreamTLS("alpn_protocols: [h2], tls_certificates: ["+a.Source("front")+"]", "")), cluster))
	for name, p := range map[string]*e2e.Proxy{"plain": plain, "tls": secure} {
		host, port, _ := net.SplitHostPort(p.Address())
		n, _ := strconv.Atoi(port)
		c := &config.Config{Host: host, Port: n, Path: "/", Timeout: 3 * time.Second, MaxHeaderLen: 4000, Strict: true, TLS: name == "tls", Insecure: true}
		t.Run(name, func(t *testing.T) {
			for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				group(t, c, g)
			}
		})
	}
}

// group runs the cases of a group and of those within it, side by side: each has a connection of its own.
func group(t *testing.T, c *config.Config, g *spec.TestGroup) {
	for i, tc := range append(append([]*spec.TestCase(nil), g.Tests...), g.StrictTests...) {
		id := fmt.Sprintf("%s/%d", g.ID(), i+1)
		t.Run(id+" "+tc.Desc, func(t *testing.T) {
			t.Parallel()
			conn, err := spec.Dial(c)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = tc.Run(c, conn)
			if why := deliberate[id]; (err != nil) != (why != "") {
				t.Errorf("%s: %s\n%v", tc.Desc, tc.Requirement, told(err))
			}
		})
	}
	for _, sub := range g.Groups {
		group(t, c, sub)
	}
}

// told is what was expected and what came.
func told(err error) string {
	if e, ok := err.(*spec.TestError); ok {
		return fmt.Sprintf("expected %s\ngot %s", strings.Join(e.Expected, ", or "), e.Actual)
	}
	return fmt.Sprint(err)
}
