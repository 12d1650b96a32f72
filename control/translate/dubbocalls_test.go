package translate

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/test/manifest"
)

// TestCallsChangeWhatTheyAreSaidOf has what requests become change where it is said and nowhere else, with the first and the last who says it, too.
func TestCallsChangeWhatTheyAreSaidOf(t *testing.T) {
	text, err := os.ReadFile("testdata/dubbocalls-gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, _, _ := strings.Cut(string(text), markNode)
	with := func(old, now string) string {
		if !strings.Contains(objects, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(objects, old, now, 1)
	}
	const block, others = "dubbo: {service: org.example.Shop, methods: [{serviceMethod: stock}]}", "    dubbo:\n      service: org.example.Shop\n"
	shop := objects[strings.Index(objects, others):]
	shop = shop[:strings.Index(shop, "  - match: ")]
	one := with(block, "")
	none := strings.Replace(one, shop, "", 1)
	const gateway = "{id: router~10.1.9.1~ingress.shop~shop.svc.cluster.local, user_agent_name: %, metadata: {NAMESPACE: shop, LABELS: {app: ingress}}}"
	const sidecar = "{id: sidecar~10.1.0.9~x.shop~shop.svc.cluster.local, user_agent_name: %, metadata: {NAMESPACE: shop}}"
	for _, c := range []struct {
		name, node, agent, from, to string
		want                        []string
	}{
		{"another method, at a gateway", gateway, "weft", objects, with(block, strings.Replace(block, "stock", "other", 1)), []string{"routes/http.80"}},
		{"another method, in a sidecar", sidecar, "weft", objects, with(block, strings.Replace(block, "stock", "other", 1)), []string{"host/80/shop.example.com:80"}},
		{"another method, for an Envoy", gateway, "envoy", objects, with(block, strings.Replace(block, "stock", "other", 1)), nil},
		{"one of two goes", gateway, "weft", objects, one, []string{"routes/http.80"}},
		{"the last goes", gateway, "weft", one, none, []string{"routes/http.80"}},
		{"the first comes", sidecar, "weft", none, one, []string{"host/80/shop.example.com:80"}},
		{"the first comes, for an Envoy", sidecar, "envoy", none, one, []string{"routes/80"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, p := New(), proxyOf(t, strings.Replace(c.node, "%", c.agent, 1))
			m := mesh.New().With(manifest.Read(t, c.from))
			before := tr.View(m, p)
			after := tr.View(m.With(manifest.Read(t, c.to)), p)
			got, _ := changed(before, after)
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("other resources %q, want %q", got, c.want)
			}
		})
	}
}

// TestParameters has arguments come from where it is said, headers by names in small letters.
func TestParameters(t *testing.T) {
	for _, c := range []struct {
		said source.DubboCallParam
		want string
	}{
		{source.DubboCallParam{ParamSource: source.FromQuery, ParamKey: "Q", ParamType: "int"}, `type:"int" query:"Q"`},
		{source.DubboCallParam{ParamSource: source.FromHeader, ParamKey: "X-H", ParamType: "int"}, `type:"int" header:"x-h"`},
		{source.DubboCallParam{ParamSource: source.FromPath, ParamKey: "P", ParamType: "int"}, `type:"int" segment:"P"`},
		{source.DubboCallParam{ParamSource: source.FromBody, ParamKey: "B", ParamType: "int"}, `type:"int" field:"B"`},
		{source.DubboCallParam{ParamSource: source.FromBody, ParamType: "int"}, `type:"int" body:true`},
	} {
		if got := strings.Join(strings.Fields(parameterOf(c.said).String()), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.said, got, c.want)
		}
	}
}
