package source

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	extensions "istio.io/api/extensions/v1alpha1"
	mesh "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
)

// Check says what is wrong with an object, looked at by itself: Istio's rules, in its words where they say enough, with the field beside them. What
// is only unwise is a warning.
func Check(o *Object) []Problem {
	c := &checker{object: o, steps: make([]string, 0, 16)}
	c.annotations()
	if m, is := o.Spec.(proto.Message); is {
		root := "spec"
		if bare(o) {
			root = ""
		}
		if f := numbers(m.ProtoReflect()); f != nil {
			c.bad(below(root, f.path), "%s", f.text)
		}
	}
	c.at("spec")
	switch spec := o.Spec.(type) {
	case *networking.VirtualService:
		c.virtualService(spec)
	case *networking.DestinationRule:
		c.destinationRule(spec)
	case *networking.Gateway:
		c.gateway(spec)
	case *networking.ServiceEntry:
		c.serviceEntry(spec)
	case *networking.WorkloadEntry:
		c.workloadEntry(spec, nil, true)
	case *networking.WorkloadGroup:
		c.workloadGroup(spec)
	case *networking.Sidecar:
		c.sidecar(spec)
	case *networkingbeta.ProxyConfig:
		c.proxyConfig(spec)
	case *networking.EnvoyFilter:
		c.envoyFilter(spec)
	case *security.PeerAuthentication:
		c.peerAuthentication(spec)
	case *security.RequestAuthentication:
		c.requestAuthentication(spec)
	case *security.AuthorizationPolicy:
		c.authorizationPolicy(spec)
	case *telemetry.Telemetry:
		c.telemetry(spec)
	case *extensions.WasmPlugin:
		c.wasmPlugin(spec)
	case *mesh.ProxyConfig:
		if bare(o) {
			c.up()
		}
		c.meshProxy("", spec)
		more, _ := o.More.(*SidecarSettings)
		c.sidecarSettings(more)
	case *mesh.MeshConfig:
		c.up()
		c.meshConfig(spec)
	case *mesh.MeshNetworks:
		c.up()
		c.meshNetworks(spec)
	case *ServiceSpec:
		c.service(spec)
	case *EndpointSliceSpec:
		c.up()
		c.endpointSlice(spec)
	case *IngressSpec:
		c.ingress(spec)
	}
	if c.more {
		c.problems[len(c.problems)-1].Text += " (there is more)"
	}
	return c.problems
}

// bare tells whether an object is a spec with nothing around it.
func bare(o *Object) bool {
	return Forms[o.Kind].Versions == nil || o.Kind == ASMProxyConfig && o.Namespace == ""
}

// checker is a check under way. Where it is it keeps as steps, since a path is wanted only when something is wrong.
type checker struct {
	object   *Object
	steps    []string // names, and indexes as "[0]"
	problems []Problem
	more     bool // there are more problems than are told
}

// at goes into a field; up leaves it.
func (c *checker) at(name string) { c.steps = append(c.steps, name) }

func (c *checker) up() { c.steps = c.steps[:len(c.steps)-1] }

// each goes through the items of a list.
func each[T any](c *checker, name string, list []T, visit func(int, T)) {
	if len(list) == 0 {
		return
	}
	c.at(name)
	for i, item := range list {
		c.at(indexStep(i))
		visit(i, item)
		c.up()
	}
	c.up()
}

// eachKey goes through a mapping in the order of its keys.
func eachKey[V any](c *checker, name string, m map[string]V, visit func(string, V)) {
	if len(m) == 0 {
		return
	}
	c.at(name)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		c.at(step(short(key)))
		visit(key, m[key])
		c.up()
	}
	c.up()
}

// indexSteps are those that lists mostly have.
var indexSteps = [...]string{"[0]", "[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]"}

func indexStep(i int) string {
	if i < len(indexSteps) {
		return indexSteps[i]
	}
	return "[" + strconv.Itoa(i) + "]"
}

// bad notes what is wrong with a field here; an empty one is what the check is at.
func (c *checker) bad(field, format string, args ...any) { c.say(false, field, format, args) }

// warn notes what is unwise.
func (c *checker) warn(field, format string, args ...any) { c.say(true, field, format, args) }

// fault notes what a rule of words has said; nil: nothing.
func (c *checker) fault(field string, err error) {
	if err != nil {
		c.say(false, field, "%v", []any{err})
	}
}

func (c *checker) say(warning bool, field, format string, args []any) {
	if len(c.problems) >= maxProblems {
		c.more = true
		// Not one that keeps the object out may be lost.
		if warning || !c.problems[len(c.problems)-1].Warning {
			return
		}
		c.problems = c.problems[:len(c.problems)-1]
	}
	path := ""
	for _, s := range c.steps {
		path = below(path, s)
	}
	c.problems = append(c.problems, Problem{Key: c.object.Key, From: c.object.From, Path: below(path, field), Text: fmt.Sprintf(format, args...),
		Warning: warning})
}

// numbers finds a choice that is none of those that there are: protobuf takes any number for one.
func numbers(m protoreflect.Message) (f *fault) {
	if m.Descriptor().FullName() == "google.protobuf.Struct" {
		return nil
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		one := func(d protoreflect.FieldDescriptor, v protoreflect.Value) *fault {
			switch {
			case d.Message() != nil:
				return numbers(v.Message())
			case d.Enum() != nil && d.Enum().Values().ByNumber(v.Enum()) == nil:
				return &fault{text: fmt.Sprintf("%d is none of its values: write its name", v.Enum())}
			}
			return nil
		}
		switch {
		case d.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				if f = one(d.MapValue(), v); f != nil {
					f = f.in(step(short(k.String())))
				}
				return f == nil
			})
		case d.Message() == nil && d.Enum() == nil:
		case d.IsList():
			for i := 0; i < v.List().Len() && f == nil; i++ {
				if f = one(d, v.List().Get(i)); f != nil {
					f = f.in(indexStep(i))
				}
			}
		default:
			f = one(d, v)
		}
		if f != nil {
			f = f.in(d.JSONName())
		}
		return f == nil
	})
	return f
}

// annotations checks those that mean something to every kind of Istio's.
func (c *checker) annotations() {
	if author, is := c.object.Annotations[AuthorAnnotation]; is && !IsAuthor(author) {
		c.warn("metadata.annotations"+step(AuthorAnnotation), "%q names nobody: want a word of at most 128 bytes", short(author))
	}
	if how, is := c.object.Annotations[RolloutAnnotation]; is {
		switch at := "metadata.annotations" + step(RolloutAnnotation); {
		case how != AtOnce && how != ByCohorts:
			c.bad(at, "is %q: want %s or %s", short(how), AtOnce, ByCohorts)
		case how == ByCohorts && NeverWaits(c.object.Kind):
			c.warn(at, "says nothing of a %s: it never waits", c.object.Kind)
		}
	}
	if Forms[c.object.Kind].message == nil {
		return
	}
	for _, name := range []string{"internal.istio.io/parents", "internal.istio.io/parent-namespace"} {
		if _, is := c.object.Annotations[name]; is {
			c.bad("metadata.annotations"+step(name), "may not be set by users")
		}
	}
	if _, is := c.object.Annotations["internal.istio.io/webhook-always-reject"]; is {
		c.bad(`metadata.annotations["internal.istio.io/webhook-always-reject"]`, "has the object refused")
	}
	const dry = "istio.io/dry-run"
	value, is := c.object.Annotations[dry]
	if !is {
		return
	}
	policy, _ := c.object.Spec.(*security.AuthorizationPolicy)
	at := "metadata.annotations" + step(dry)
	switch {
	case policy == nil:
		c.bad(at, "is supported of an AuthorizationPolicy only")
	case policy.Action != security.AuthorizationPolicy_ALLOW && policy.Action != security.AuthorizationPolicy_DENY:
		c.bad(at, "is supported with action ALLOW or DENY only, found %v", policy.Action)
	default:
		if _, err := strconv.ParseBool(value); err != nil {
			c.bad(at, "%q is neither true nor false", short(value))
		}
	}
}

// oneOf says how many are set.
func oneOf(set ...bool) (n int) {
	for _, s := range set {
		if s {
			n++
		}
	}
	return n
}

// exportTo checks whom an object is for.
func (c *checker) exportTo(list []string, none bool) {
	seen := map[string]bool{}
	each(c, "exportTo", list, func(_ int, e string) {
		key := e
		if e == "." {
			key = c.object.Namespace
		}
		switch {
		case seen[key]:
			c.bad("", "%q is there twice", short(e))
		case e == "*" || e == ".":
		case e == "~" && none:
		case e == "~":
			c.bad("", "~ (nobody) is allowed in a ServiceEntry only")
		case !isLabel(e):
			c.bad("", "%q is no namespace, nor . (its own), nor * (all)", short(e))
		}
		seen[key] = true
	})
	if seen["*"] && len(list) > 1 {
		c.bad("exportTo", "cannot have both public (*) and non-public values")
	}
	if seen["~"] && none && len(list) > 1 {
		c.bad("exportTo", "cannot export to no one (~) and someone")
	}
}

// labels checks labels as Kubernetes does.
func (c *checker) labels(field string, m map[string]string) {
	eachKey(c, field, m, func(k, v string) {
		switch {
		case !isKey(k):
			c.bad("", "invalid label key: %q", short(k))
		case !isTag(v):
			c.bad("", "invalid label value: %q", short(v))
		}
	})
}

// selector checks which workloads an object is for.
func (c *checker) selector(field string, set bool, labels map[string]string) {
	if !set {
		return
	}
	if len(labels) == 0 {
		c.warn(field, "workload selector specified without labels: it is for all workloads of the namespace")
	}
	eachKey(c, field, labels, func(k, v string) {
		switch {
		case k == "":
			c.bad("", "empty key is not supported in a selector")
		case strings.Contains(k, "*") || strings.Contains(v, "*"):
			c.bad("", "wildcard is not supported in a selector: %q", short(k+"="+v))
		}
	})
}
