package translate

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/weftmesh/weft/test/envoy"
)

// refused is what a real Envoy says of a listener whose tags have formats; empty: it takes it.
func refused(t *testing.T, formats []string) string {
	t.Helper()
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: "x", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{}}, Tracing: &hcmv3.HttpConnectionManager_Tracing{},
		HttpFilters: []*hcmv3.HttpFilter{httpFilter("envoy.filters.http.router", &routerv3.Router{})},
	}
	for _, f := range formats {
		m.Tracing.CustomTags = append(m.Tracing.CustomTags, &tagv3.CustomTag{Tag: f, Type: &tagv3.CustomTag_Value{Value: f}})
	}
	text, err := protojson.Marshal(&bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{Listeners: []*listenerv3.Listener{{
		Name: "x", Address: addressOf("127.0.0.1", 0), FilterChains: []*listenerv3.FilterChain{{Filters: managerFilter(m)}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(limit, envoy.Binary(t), "--mode", "validate", "--disable-hot-restart", "-l", "critical", "-c", file).CombinedOutput()
	if err == nil {
		return ""
	}
	return string(out)
}

// TestFormatsAreThoseOfEnvoy holds what tags may be made of to a real Envoy: it takes each operator with all that may stand behind it.
func TestFormatsAreThoseOfEnvoy(t *testing.T) {
	good := []string{"", "text", "100%%", "%%%%", "%REQ(a)%%RESP(b)% and %%%TRAILER(c)%"}
	each := func(names string, behind ...string) {
		for _, name := range strings.Fields(names) {
			for _, b := range behind {
				good = append(good, "%"+name+b+"%")
			}
		}
	}
	each(operatorsAlone, "")
	each(operatorsOfFields, "(x-a)", "(X-A?:path)", "(:authority):7", "(a|b~!#$&'*+.^_`):0")
	each(operatorsOfNames, "(a)", "(a:b:c)", "(a b%c):7", "(a)b)", "(:):123456789")
	each(operatorsOfPaths, "(a)", "(a:b:c)", "(a b%c)", "(a)b)")
	each(operatorsOfTime, "", "()", "(%Y/%m/%dT%H:%M:%S%z)", "(%s.%3f)", "(%Q)", "(%)", "(%0f)", "(text)")
	for name, words := range operatorsOfWords {
		each(name, "", "()")
		for _, w := range strings.Fields(words) {
			each(name, "("+w+")")
		}
	}
	for _, f := range good {
		if err := checkFormat(f); err != nil {
			t.Errorf("%q: %v", f, err)
		}
	}
	if said := refused(t, good[1:]); said != "" { // a tag that says nothing is another matter
		t.Errorf("refused: %s", said)
	}
}

// TestFormatsThatEnvoyRefuses has none of them pass.
func TestFormatsThatEnvoyRefuses(t *testing.T) {
	for _, f := range []string{
		"100%", "%", "% %", "%FOO%", "%req(x)%", "%REQ(", "%REQ(x", "%REQ(x)", "%REQ%", "%REQ()%", "%REQ(a?b?c)%", "%REQ(a b)%", "%REQ(x):%", "%REQ(x):a%", "%REQ(a\nb)%",
		"%PROTOCOL(x)%", "%PROTOCOL:3%", "%START_TIME:3%", "%START_TIME(\n)%", "%GRPC_STATUS(x)%", "%GRPC_STATUS:3%", "%ENVIRONMENT%", "%ENVIRONMENT()%", "%CLUSTER_METADATA(a):7%", "%%%",
	} {
		if checkFormat(f) == nil {
			t.Errorf("%q passes", f)
		}
		if refused(t, []string{f}) == "" {
			t.Errorf("%q is taken: what is it doing here?", f)
		}
	}
	for _, f := range []string{"%CEL(x)%", "%CEL(%", "%COALESCE({})%", "%REQ(x):9999999999%"} { // of which it takes some, and others not
		if checkFormat(f) == nil {
			t.Errorf("%q passes", f)
		}
	}
}
