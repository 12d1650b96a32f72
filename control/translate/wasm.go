package translate

import (
	"cmp"
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	httpwasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpwasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/wasm/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	extensions "istio.io/api/extensions/v1alpha1"
	typebeta "istio.io/api/type/v1beta1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// plugged is a WasmPlugin on one side of a workload. It is comparable, so that a list of them can be part of a key.
type plugged struct {
	object  *source.Object
	serving bool
	loads   bool   // the proxy can load the module
	cluster string // that it fetches it from by itself; empty: from a file
}

func (p *plugged) spec() *extensions.WasmPlugin { return p.object.Spec.(*extensions.WasmPlugin) }

// name is that of the filter, and of its configuration, as Istio's. One that sees connections has its own: were it that of one which saw requests a moment ago,
// connections from then would have Envoy refuse the configuration, for which the listener waits.
func (p *plugged) name() string {
	name := "extensions.istio.io/wasmplugin/" + p.object.Namespace + "." + p.object.Name
	if p.network() {
		name += "/network"
	}
	return name
}

// atRouter is a phase of ASM's: just before the router.
const atRouter extensions.PluginPhase = 100

func (p *plugged) phase() extensions.PluginPhase {
	if more, is := p.object.More.(*source.WasmPluginMore); is && more.Router {
		return atRouter
	}
	return p.spec().GetPhase()
}

func (p *plugged) network() bool { return p.spec().GetType() == extensions.PluginType_NETWORK }

// shuts tells whether nothing may pass where the module is not loaded.
func (p *plugged) shuts() bool {
	return !p.loads && p.spec().GetFailStrategy() != extensions.FailStrategy_FAIL_OPEN
}

// inPlace tells whether its configuration is a part of the listener. What Envoy fetches by itself it fetches while a listener warms, and lets nobody pass before.
// Of another version that came over ECDS while the listener served, Envoy 1.40 fetched nothing, and let all pass.
func (p *plugged) inPlace() bool { return p.cluster != "" && p.cluster != agentsOwn }

// sees tells whether it is for a side, and for a port there; any: whatever the port.
func (p *plugged) sees(any bool, port uint32) bool {
	side := typebeta.WorkloadMode_CLIENT
	if p.serving {
		side = typebeta.WorkloadMode_SERVER
	}
	list := p.spec().GetMatch()
	return len(list) == 0 || slices.ContainsFunc(list, func(m *extensions.WasmPlugin_TrafficSelector) bool {
		if mode := m.GetMode(); mode != side && mode != typebeta.WorkloadMode_CLIENT_AND_SERVER && mode != typebeta.WorkloadMode_UNDEFINED {
			return false
		}
		return any || len(m.GetPorts()) == 0 || slices.ContainsFunc(m.GetPorts(), func(s *typebeta.PortSelector) bool { return s.GetNumber() == port })
	})
}

// pluginsOf finds the WasmPlugins for a side of a workload: of its namespace and then of the root, those of higher priority first, then the oldest.
func (t *Translator) pluginsOf(m *mesh.Mesh, p *Proxy, s *scope, serving bool) (list *chain) {
	var all []plugged
	of := func(namespace string) {
		for _, o := range m.Objects(source.WasmPlugin).In(namespace) {
			one := plugged{object: o, serving: serving}
			spec := one.spec()
			if spec.GetTargetRef() != nil || len(spec.GetTargetRefs()) > 0 || !has(p.Labels, spec.GetSelector().GetMatchLabels()) || !one.sees(true, 0) {
				continue // what is aimed at a proxy of Kubernetes' Gateway API concerns nobody here
			}
			one.cluster, one.loads = loadedBy(p, spec, s.ruled.seen)
			all = append(all, one)
		}
	}
	of(p.Namespace)
	if p.Namespace != m.Settings.RootNamespace {
		of(m.Settings.RootNamespace)
	}
	priority := func(p *plugged) int32 {
		if said := p.spec().GetPriority(); said != nil {
			return said.GetValue()
		}
		return math.MinInt32
	}
	slices.SortStableFunc(all, func(a, b plugged) int { return cmp.Compare(priority(&b), priority(&a)) })
	for _, one := range all {
		list = t.chains.add(list, one)
	}
	return list
}

// agentsOwn is the cluster of modules that the agent beside a proxy fetches, as Istio's knows it.
const agentsOwn = "_"

// moduleURL is where a module is. Without a scheme it is an image.
func moduleURL(said string) (*url.URL, error) {
	u, err := url.Parse(said)
	if err == nil && u.Scheme == "" {
		u, err = url.Parse("oci://" + said)
	}
	return u, err
}

// loadedBy says how a proxy comes by a module, if it can. An agent of Istio's fetches images, too. A proxy by itself fetches by HTTP what it can check, from
// a service that it sees, and reads files. weft runs no Wasm.
func loadedBy(p *Proxy, spec *extensions.WasmPlugin, services *seen) (cluster string, loads bool) {
	u, err := moduleURL(spec.GetUrl())
	switch {
	case err != nil || p.Traits.Weft:
		return "", false
	case u.Scheme == "file":
		return "", true
	case p.Version != "":
		return agentsOwn, true
	case u.Scheme == "oci" || spec.GetSha256() == "":
		return "", false
	}
	cluster = uriCluster(spec.GetUrl(), services)
	return cluster, cluster != ""
}

// plugins calls f for those of phases that are for a port, in order.
func (k *connections) plugins(network bool, port uint32, f func(p *plugged), phases ...extensions.PluginPhase) {
	var list []plugged
	for link := k.plugged; link != nil; link = link.before {
		list = append(list, link.item.(plugged))
	}
	slices.Reverse(list)
	for _, phase := range phases {
		for i := range list {
			if one := &list[i]; one.phase() == phase && one.network() == network && one.sees(false, port) {
				f(one)
			}
		}
	}
}

// pluginsHTTP are the filters of modules that see requests. Where one is missing that has to be there, its place is taken by one that answers as
// Envoy answers with a module that has failed.
func (k *connections) pluginsHTTP(port uint32, phases ...extensions.PluginPhase) (list []*hcmv3.HttpFilter) {
	k.plugins(false, port, func(p *plugged) {
		switch {
		case p.loads && p.inPlace():
			list = append(list, httpFilter(p.name(), p.module()))
		case p.loads:
			list = append(list, &hcmv3.HttpFilter{Name: p.name(), ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: byItself(&httpwasmv3.Wasm{}, filterHTTPRulesType)}})
		case p.shuts():
			list = append(list, httpFilter(p.name(), &faultv3.HTTPFault{Abort: &faultv3.FaultAbort{
				ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: moduleMissing}, Percentage: &typev3.FractionalPercent{Numerator: 100},
			}}))
		}
	}, phases...)
	return list
}

// moduleMissing is what Envoy answers with where a module has failed.
const moduleMissing = 503

// pluginsTCP are the filters of modules that see connections.
func (k *connections) pluginsTCP(port uint32, phases ...extensions.PluginPhase) (list []*listenerv3.Filter) {
	k.plugins(true, port, func(p *plugged) {
		switch {
		case p.loads && p.inPlace():
			list = append(list, networkFilter(p.name(), p.module()))
		case p.loads:
			list = append(list, &listenerv3.Filter{Name: p.name(), ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: byItself(&tcpwasmv3.Wasm{}, filterTCPRulesType)}})
		}
	}, phases...)
	return list
}

// allPhases are Istio's, in order.
var allPhases = []extensions.PluginPhase{extensions.PluginPhase_AUTHN, extensions.PluginPhase_AUTHZ, extensions.PluginPhase_STATS, extensions.PluginPhase_UNSPECIFIED_PHASE, atRouter}

// shut tells whether connections to a port have to end, since a module is missing that has to see them.
func (k *connections) shut(port uint32) (is bool) {
	k.plugins(true, port, func(p *plugged) { is = is || p.shuts() }, allPhases...)
	return is
}

// What an agent puts in the place of a module that it has not got.
const (
	filterHTTPRulesType = "envoy.extensions.filters.http.rbac.v3.RBAC"
	filterTCPRulesType  = "envoy.extensions.filters.network.rbac.v3.RBAC"
)

// byItself has a filter's configuration come by itself. Nothing is served before it is there: it may be what guards it.
func byItself(m proto.Message, or string) *corev3.ExtensionConfigSource {
	const prefix = "type.googleapis.com/"
	return &corev3.ExtensionConfigSource{ConfigSource: fromStream(), TypeUrls: []string{prefix + string(m.ProtoReflect().Descriptor().FullName()), prefix + or}}
}

// Variables by which Istio's agent is told how to fetch a module. It takes them out.
const (
	variablePolicy  = "ISTIO_META_WASM_IMAGE_PULL_POLICY"
	variableVersion = "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION"
	// moduleWait is how long a module is waited for, as at Istio.
	moduleWait = 30 * time.Second
)

// module is the configuration of a plugin that a proxy loads.
func (p *plugged) module() proto.Message {
	spec := p.spec()
	u, err := moduleURL(spec.GetUrl())
	if err != nil {
		u = &url.URL{} // which cannot be: it would not be loaded
	}
	code := &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Remote{Remote: &corev3.RemoteDataSource{
		HttpUri: &corev3.HttpUri{Uri: u.String(), HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: p.cluster}, Timeout: durationpb.New(moduleWait)}, Sha256: spec.GetSha256(),
	}}}
	if u.Scheme == "file" {
		code = &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: strings.TrimPrefix(spec.GetUrl(), "file://")}}}}
	}
	env := &wasmv3.EnvironmentVariables{KeyValues: map[string]string{}}
	if p.cluster == agentsOwn {
		env.KeyValues[variableVersion] = cmp.Or(p.object.Revision, strconv.FormatInt(p.object.Generation, 10))
		if policy := spec.GetImagePullPolicy(); policy != extensions.PullPolicy_UNSPECIFIED_POLICY {
			env.KeyValues[variablePolicy] = policy.String()
		}
	}
	for _, v := range spec.GetVmConfig().GetEnv() {
		if v.GetValueFrom() == extensions.EnvValueSource_HOST {
			env.HostEnvKeys = append(env.HostEnvKeys, v.GetName())
		} else {
			env.KeyValues[v.GetName()] = v.GetValue()
		}
	}
	config := &wasmv3.PluginConfig{
		Name: p.object.Namespace + "." + p.object.Name, RootId: spec.GetPluginName(), FailurePolicy: wasmv3.FailurePolicy_FAIL_CLOSED,
		Vm: &wasmv3.PluginConfig_VmConfig{VmConfig: &wasmv3.VmConfig{Runtime: "envoy.wasm.runtime.v8", Code: code, EnvironmentVariables: env}},
	}
	if len(spec.GetPluginConfig().GetFields()) > 0 {
		text, err := json.Marshal(spec.GetPluginConfig().AsMap()) // which has keys in order
		if err != nil {
			panic("translate: " + err.Error()) // a Struct that was read out of JSON has no numbers that JSON has not
		}
		config.Configuration = wrap(wrapperspb.String(string(text)))
	}
	switch spec.GetFailStrategy() {
	case extensions.FailStrategy_FAIL_OPEN:
		config.FailurePolicy = wasmv3.FailurePolicy_FAIL_OPEN
	case extensions.FailStrategy_FAIL_RELOAD:
		config.FailurePolicy = wasmv3.FailurePolicy_FAIL_RELOAD
	}
	if p.network() {
		return &tcpwasmv3.Wasm{Config: config}
	}
	return &httpwasmv3.Wasm{Config: config}
}

// moduleLayer is the configurations of modules.
type moduleLayer struct{ part *part }

type moduleKey struct{ in, out *chain }

// modules finds those of a proxy; nil: there are none.
func (t *Translator) modules(m *mesh.Mesh, p *Proxy, s *scope) *moduleLayer {
	k := moduleKey{out: t.pluginsOf(m, p, s, false)}
	if p.Role == Sidecar {
		k.in = t.pluginsOf(m, p, s, true)
	}
	if k == (moduleKey{}) {
		return nil
	}
	return t.moduleLayers.get(k, func() *moduleLayer {
		var list []*server.Resource
		for _, c := range []*chain{k.in, k.out} {
			for ; c != nil; c = c.before {
				one := c.item.(plugged)
				if one.loads && !one.inPlace() {
					list = append(list, t.message(server.Extensions, one.name(), &corev3.TypedExtensionConfig{Name: one.name(), TypedConfig: wrap(one.module())}))
				}
			}
		}
		return &moduleLayer{t.part(server.Extensions, list)}
	})
}
