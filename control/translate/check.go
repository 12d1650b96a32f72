package translate

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

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
	case source.WasmPlugin, source.WorkloadGroup:
		c.warn("", "%s is not run yet: nothing of it reaches proxies", o.Kind)
		return c.problems
	}
	if o.More != nil && o.Kind != source.ASMProxyConfig { // which is for injectors
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
	case *security.AuthorizationPolicy:
		if spec.GetAction() == security.AuthorizationPolicy_CUSTOM {
			c.warn("spec.action", "CUSTOM is not run yet: what it is for is denied")
		}
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
	case *source.ServiceSpec:
		if spec.Type == "ExternalName" {
			c.warn("spec.externalName", "names for other hosts are not run yet: requests to it are passed through")
		}
	}
	return c.problems
}

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
			c.warn(path, "not run yet: it is served without")
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
