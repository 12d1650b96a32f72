package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	extensions "istio.io/api/extensions/v1alpha1"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"

	"github.com/weftmesh/weft/control/source"
)

// Check says what of an object is not run: as warnings where it is served all the same, and else as problems, for which the object must be kept out of
// the mesh. It does not say whether the object is right.
func Check(o *source.Object) (problems []source.Problem) {
	c := &checking{object: o}
	switch o.Kind {
	case source.EnvoyFilter:
		c.envoyFilter(o.Spec.(*networking.EnvoyFilter))
		return c.problems
	}
	switch more := o.More.(type) {
	case nil, *source.SidecarSettings, *source.WasmPluginMore: // of which the first is for injectors
	case *source.VirtualServiceMore:
		for _, i := range slices.Sorted(maps.Keys(more.HTTP)) {
			if route := more.HTTP[i]; route.Fallbacks != nil || route.HeaderToDynamicSubsetKey != nil {
				c.refuse(fmt.Sprintf("spec.http[%d]", i), "additions to %s are not run yet", o.Kind)
			}
		}
		c.calls(more, len(o.Spec.(*networking.VirtualService).GetHttp()))
		c.dubbo(more.Dubbo)
	default:
		c.refuse("spec", "additions to %s are not run yet", o.Kind)
	}
	if m, ok := o.Spec.(proto.Message); ok {
		c.message(m.ProtoReflect(), "spec")
	}
	switch spec := o.Spec.(type) {
	case *networking.ServiceEntry:
		if spec.GetResolution() == networking.ServiceEntry_DYNAMIC_DNS {
			c.refuse("spec.resolution", "DYNAMIC_DNS is not run yet: want NONE, STATIC, DNS or DNS_ROUND_ROBIN")
		}
		for i, h := range spec.GetHosts() {
			if strings.HasPrefix(h, "*") && spec.GetResolution() != networking.ServiceEntry_NONE && len(spec.GetEndpoints()) == 0 && spec.GetWorkloadSelector() == nil {
				c.refuse(fmt.Sprintf("spec.hosts[%d]", i), "%q cannot be resolved: want endpoints, or resolution NONE", h)
			}
		}
	case *networking.WorkloadGroup:
		if spec.GetTemplate().GetAddress() != "" {
			c.warn("spec.template.address", "comes with each machine: leave it out")
		}
	case *security.AuthorizationPolicy:
		for i, r := range spec.GetRules() {
			for j, when := range r.GetWhen() {
				w := &ruleWriter{}
				if one, _, _ := w.whenPrincipal(when); one == nil && w.whenPermission(when.GetKey()) == nil {
					c.warn(fmt.Sprintf("spec.rules[%d].when[%d].key", i, j), "%q is not run: the rule allows nothing, or denies whatever it is", when.GetKey())
				}
			}
		}
	case *security.RequestAuthentication:
		for i, r := range spec.GetJwtRules() {
			if r.GetJwks() == "" && r.GetJwksUri() != "" {
				c.warn(fmt.Sprintf("spec.jwtRules[%d].jwksUri", i), "proxies ask for the keys themselves: want a Service or ServiceEntry for its host, or no token of the issuer is good")
			}
		}
	case *networking.Gateway:
		for i, s := range spec.GetServers() {
			for _, name := range credentialNames(s.GetTls()) {
				if !isCredential(name, false) {
					c.refuse(fmt.Sprintf("spec.servers[%d].tls.credentialName", i), "%q: want the name of a Secret", name)
				}
			}
			if name := s.GetTls().GetCaCertCredentialName(); name != "" && !isCredential(name, true) {
				c.refuse(fmt.Sprintf("spec.servers[%d].tls.caCertCredentialName", i), "%q: want the name of a Secret, or configmap://NAME", name)
			}
		}
	case *networking.DestinationRule:
		tlsOf(spec, func(path string, tls *networking.ClientTLSSettings) {
			name, mode := tls.GetCredentialName(), tls.GetMode()
			if len(tls.GetSubjectAltNames()) > 0 && name == "" && tls.GetCaCertificates() == "" && (mode == networking.ClientTLSSettings_SIMPLE || mode == networking.ClientTLSSettings_MUTUAL) {
				c.warn(path+".subjectAltNames", "an Envoy without Istio's agent checks no names by the authorities of its host, and refuses the cluster: want caCertificates")
			}
			if name == "" || mode != networking.ClientTLSSettings_SIMPLE && mode != networking.ClientTLSSettings_MUTUAL {
				return
			}
			if !isCredential(name, mode == networking.ClientTLSSettings_SIMPLE) {
				c.refuse(path+".credentialName", "%q: want the name of a Secret, or for SIMPLE configmap://NAME", name)
			} else if spec.GetWorkloadSelector() == nil {
				c.warn(path+".credentialName", "%q is for gateways: sidecars speak no TLS to the host, unless a workloadSelector chooses them", name)
			}
		})
	case *networking.Sidecar:
		for i, l := range spec.GetIngress() {
			if e := l.GetDefaultEndpoint(); l.GetCaptureMode() == networking.CaptureMode_NONE && !local(e) {
				c.refuse(fmt.Sprintf("spec.ingress[%d].defaultEndpoint", i), "%q: want 127.0.0.1:PORT, [::1]:PORT or unix://PATH, since nobody redirects to the listener (captureMode NONE)", e)
			}
		}
		if spec.GetOutboundTrafficPolicy() != nil {
			switch m := spec.GetOutboundTrafficPolicy().GetMode(); m {
			case networking.OutboundTrafficPolicy_ALLOW_ANY, networking.OutboundTrafficPolicy_REGISTRY_ONLY:
			default:
				c.refuse("spec.outboundTrafficPolicy.mode", "%s is not run yet: want ALLOW_ANY or REGISTRY_ONLY", m)
			}
		}
	case *meshv1.MeshConfig:
		if p := spec.GetOutboundTrafficPolicy(); p != nil && p.GetMode() != meshv1.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY && p.GetMode() != meshv1.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY {
			c.refuse("spec.outboundTrafficPolicy.mode", "%s is not run yet: want ALLOW_ANY or REGISTRY_ONLY", p.GetMode())
		}
		if spec.GetAccessLogEncoding() == meshv1.MeshConfig_JSON && spec.GetAccessLogFormat() != "" && protojson.Unmarshal([]byte(spec.GetAccessLogFormat()), &structpb.Struct{}) != nil {
			c.refuse("spec.accessLogFormat", "not an object of JSON, as accessLogEncoding says: want one")
		}
		for i, p := range spec.GetExtensionProviders() {
			path := fmt.Sprintf("spec.extensionProviders[%d]", i)
			switch p.GetProvider().(type) {
			case *meshv1.MeshConfig_ExtensionProvider_EnvoyExtAuthzHttp, *meshv1.MeshConfig_ExtensionProvider_EnvoyExtAuthzGrpc:
				if _, err := newAuthorizer(p, "any", "any"); err != nil {
					c.warn(path, "%v: what CUSTOM policies ask it for is denied", err)
				}
			case *meshv1.MeshConfig_ExtensionProvider_EnvoyOtelAls:
				c.warn(path+".envoyOtelAls", "weft writes no logs to OpenTelemetry yet; Envoy does")
			case *meshv1.MeshConfig_ExtensionProvider_Zipkin, *meshv1.MeshConfig_ExtensionProvider_Datadog, *meshv1.MeshConfig_ExtensionProvider_Skywalking, *meshv1.MeshConfig_ExtensionProvider_Opentelemetry:
				if _, _, err := tracerOf(p, &Proxy{}, func(string, uint32) string { return "any" }); err != nil {
					c.warn(path, "%v: nothing is reported by it", err)
				}
			}
		}
		if own := spec.GetDefaultConfig().GetTracing(); own != nil && !spec.GetEnableTracing() && len(spec.GetDefaultProviders().GetTracing()) == 0 {
			c.warn("spec.defaultConfig.tracing", "tracers of bootstraps report nothing without enableTracing: true, which Istio takes for said; with a Telemetry that names a provider it is not needed")
		}
		c.tags("spec.defaultConfig.tracing.customTags", ownTags(spec.GetDefaultConfig().GetTracing()))
		if spec.GetEnableTracing() {
			c.warn("spec.enableTracing", "%s", untraced)
		}
		if len(spec.GetDefaultProviders().GetTracing()) > 0 {
			c.warn("spec.defaultProviders.tracing", "%s", untraced)
		}
		if len(spec.GetDefaultProviders().GetMetrics()) > 0 {
			c.warn("spec.defaultProviders.metrics", "%s", uncounted)
		}
	case *telemetryv1.Telemetry:
		if len(spec.GetTracing()) > 0 {
			c.warn("spec.tracing", "%s", untraced)
		}
		if len(spec.GetMetrics()) > 0 {
			c.warn("spec.metrics", "%s", uncounted)
		}
		for i, one := range spec.GetTracing() {
			c.tags(fmt.Sprintf("spec.tracing[%d].customTags", i), saidTags(&Proxy{}, one.GetCustomTags()))
		}
	case *extensions.WasmPlugin:
		becomes := "requests are answered with 503 there, or connections ended (failStrategy: " + extensions.FailStrategy_FAIL_CLOSE.String() + ")"
		if spec.GetFailStrategy() == extensions.FailStrategy_FAIL_OPEN {
			becomes = "all passes unseen there (failStrategy: " + spec.GetFailStrategy().String() + ")"
		}
		c.warn("spec", "weft runs no Wasm: %s", becomes)
		switch u, err := moduleURL(spec.GetUrl()); {
		case err != nil || u.Scheme == "file":
		case u.Scheme == "oci":
			c.warn("spec.url", "only Istio's agents fetch images: where an Envoy runs without one, %s; want http, with sha256", becomes)
		case spec.GetSha256() == "":
			c.warn("spec.sha256", "an Envoy without Istio's agent fetches only what it can check: %s; want the hash of the module", becomes)
		}
	case *source.ServiceSpec:
		if spec.Type == "ExternalName" {
			c.warn("spec.externalName", "names for other hosts are not run yet: requests to it are passed through")
		}
	}
	return c.problems
}

// tags says which proxies would not take.
func (c *checking) tags(path string, list []*tagv3.CustomTag) {
	for _, t := range list {
		if err := checkTag(t); err != nil {
			c.warn(fmt.Sprintf("%s[%s]", path, t.GetTag()), "%v: it is left out", err)
		}
	}
}

// What becomes of traces and metrics where the proxy is not Istio's.
const (
	untraced  = "weft reports no spans yet, and passes on what it is told of traces; Envoy reports them"
	uncounted = "weft counts none of Istio's metrics yet, and an Envoy without Istio's filters has none; proxies with Istio's agent count them"
)

// maxProblems bounds what is said of one object.
const maxProblems = 50

type checking struct {
	object   *source.Object
	problems []source.Problem
}

func (c *checking) say(warning bool, path, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, source.Problem{Key: c.object.Key, From: c.object.From, Path: path, Text: fmt.Sprintf(format, args...), Warning: warning})
	}
}

func (c *checking) refuse(path, format string, args ...any) { c.say(false, path, format, args...) }
func (c *checking) warn(path, format string, args ...any)   { c.say(true, path, format, args...) }

// message looks at all that is set of a message.
func (c *checking) message(m protoreflect.Message, path string) {
	name := string(m.Descriptor().FullName())
	list, ok := known[name]
	if !ok {
		if !strings.HasPrefix(name, "google.protobuf.") {
			c.refuse(path, "%s is not run yet", m.Descriptor().Name())
		}
		return
	}
	in := func(names string, f protoreflect.FieldDescriptor) bool {
		return slices.Contains(strings.Fields(names), string(f.Name()))
	}
	var set []protoreflect.FieldDescriptor
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, f)
		return true
	})
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return a.Index() - b.Index() })
	for _, f := range set {
		path := path + "." + f.JSONName()
		switch {
		case in(list.idle, f):
			continue
		case in(list.warn, f):
			if text := instead[string(f.FullName())]; text != "" {
				c.warn(path, "%s", text)
			} else {
				c.warn(path, "not run yet: it is served without")
			}
			continue
		case !in(list.run, f):
			c.refuse(path, "not run yet: leave it out")
			continue
		}
		v := m.Get(f)
		switch {
		case f.IsMap():
			if f.MapValue().Message() == nil {
				continue
			}
			v.Map().Range(func(k protoreflect.MapKey, one protoreflect.Value) bool {
				c.message(one.Message(), path+"["+k.String()+"]")
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				c.message(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", path, i))
			}
		case f.Message() != nil:
			c.message(v.Message(), path)
		}
	}
}
