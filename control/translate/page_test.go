package translate

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const page = "../../docs/resources.md"

// pageHead is what stands before the tables.
const pageHead = `# What is run of Istio's resources

Made by ` + "`go test ./control/translate -run TestPage -update`" + ` from the lists that ` + "`weftd`" + ` itself goes by; do not edit it.

A field is **run**; **nothing here** (it changes nothing of what proxies are told: it is for agents, injectors or ingress controllers, or Istio does not
run it any more either); **warned about** (it is not run yet, the object is served without it, and the log and ` + "`weftctl status`" + ` say so); or **refused**: the object is kept
out, with object and field, and what there was of it before stays in force. ` + "`weftctl analyze`" + ` says all of it of your files before anybody is told anything.

Whole kinds: a WorkloadGroup is what [machines register themselves by](weftd.md#machines-that-register-themselves). A ProxyConfig, and an ASMProxyConfig, whose spec is
the mesh's ProxyConfig and more, is for [pods that are created](injection.md). Of an EnvoyFilter all of ` + "`configPatches`" + ` is run, as Istio runs it, but

- ` + "`match.proxy.metadata`" + ` is refused: choose by labels;
- ` + "`applyTo: BOOTSTRAP`" + ` does nothing: a bootstrap is written where a proxy starts;
- what is aimed at by ` + "`targetRefs`" + ` are proxies of Kubernetes' Gateway API, of which there are none here;
- a value has 128 KB at most, since it may go into each cluster of a mesh;
- a filter that is only added (` + "`ADD`" + `) goes before the one that ends its chain, where Istio puts it behind it, and proxies refuse the whole;
- of a packed message of the same type what is set is merged, wherever it stands; one of another type takes its place.

Of MeshConfig's ` + "`caCertificates`" + ` weftd itself takes those of the signer of its certificates: [` + "`--ca-signer`" + `](weftd.md#who-signs).

What is run is run by Envoy. ` + "`weft`" + ` runs no Wasm, reports no spans and counts none of Istio's metrics yet: [what becomes of it there](weftd.md#who-else-is-asked-and-told).

Of the additions of ASM's to Istio's kinds ` + "`VirtualService.spec.dubbo`" + ` is run: [calls of Dubbo](dubbo.md#under-weftd). Of Higress' kinds ` + "`Http2Rpc`" + ` is taken, as ` + "`VirtualService.spec.http[].dubbo`" + `: [HTTP to Dubbo](dubbo.md#http-to-dubbo). The other additions (` + "`fallback` of requests, `dynamicSubset`" + ` and more) are read, and refused by name until they are run.
`

// TestPage holds the page to the lists.
func TestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		list := known[name]
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Fatal(err)
		}
		fate := map[string]string{}
		for _, one := range []struct{ names, says string }{{list.run, "run"}, {list.idle, "nothing here"}, {list.warn, "warned about"}} {
			for _, field := range strings.Fields(one.names) {
				fate[field] = one.says
			}
		}
		fmt.Fprintf(&b, "\n## %s\n\n`%s`\n\n| field | |\n|---|---|\n", strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, forNetworking), forSecurity), forMesh), forTelemetry), forExtensions), name)
		fields := d.(protoreflect.MessageDescriptor).Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			says, is := fate[string(f.Name())]
			if !is {
				says = "refused"
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", f.JSONName(), says)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(page)
	if err != nil || string(is) != b.String() {
		t.Errorf("%s is not what the lists say (%v): run the test with -update", page, err)
	}
}
