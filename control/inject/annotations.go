package inject

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/source"
)

// Fate is what becomes of an annotation or a label of Istio's on a pod.
type Fate int

// The fates.
const (
	Run      Fate = iota // something is done by it, here
	ByAgent              // the agent in the pod reads it
	Warned               // nothing is done by it, which is said to whoever creates the pod
	Harmless             // there is nothing to do by it here: it is for something else, or is written by what injects
)

// Known is an annotation or a label.
type Known struct {
	Name string
	Fate Fate
	Note string // what is done, or why nothing is
	take func(*Settings, string) error
}

const (
	annotationInject = "sidecar.istio.io/inject"
	annotationStatus = "sidecar.istio.io/status"
	annotationImage  = "sidecar.istio.io/proxyImage"
	annotationProxy  = "proxy.istio.io/config"
	annotationOver   = "proxy.istio.io/overrides"
	annotationMerge  = "prometheus.istio.io/merge-metrics"
	annotationRev    = "istio.io/rev"
	annotationMode   = "sidecar.istio.io/interceptionMode"
)

// Annotations are all that are known, by name.
var Annotations = []Known{
	{"alpha.istio.io/canonical-serviceaccounts", Harmless, "of Services", nil},
	{"alpha.istio.io/kubernetes-serviceaccounts", Harmless, "of Services", nil},
	{"ambient.istio.io/bypass-inbound-capture", Warned, "ambient meshes are not run", nil},
	{"ambient.istio.io/dns-capture", Warned, "ambient meshes are not run", nil},
	{"ambient.istio.io/redirection", Warned, "ambient meshes are not run", nil},
	{"ambient.istio.io/waypoint-inbound-binding", Harmless, "of Gateways", nil},
	{"galley.istio.io/analyze-suppress", Harmless, "of `istioctl analyze`", nil},
	{"gateway.istio.io/controller-version", Harmless, "of Gateways", nil},
	{"gateway.istio.io/name-override", Harmless, "of Gateways", nil},
	{"gateway.istio.io/service-account", Harmless, "of Gateways", nil},
	{"inject.istio.io/templates", Run, "`sidecar`, which is what is put in anyway, or `sidecar,spire`: its identity is SPIRE's, whose socket is a volume of `csi.spiffe.io`; any other is refused by its name", func(s *Settings, v string) error {
		switch v {
		case "sidecar":
		case "sidecar,spire", "sidecar, spire":
			s.Spire = true
		default:
			return fmt.Errorf("there is no template %.64q: want sidecar, or sidecar,spire, or no annotation", v)
		}
		return nil
	}},
	{"istio.io/autoRegistrationGroup", Harmless, "of WorkloadEntries", nil},
	{"istio.io/connectedAt", Harmless, "of WorkloadEntries", nil},
	{"istio.io/disconnectedAt", Harmless, "of WorkloadEntries", nil},
	{"istio.io/dry-run", Harmless, "of policies", nil},
	{"istio.io/reroute-virtual-interfaces", Run, "interfaces of virtual machines in the pod, whose traffic is captured as the pod's own",
		interfaces(func(s *Settings) **string { return &s.Interfaces })},
	{annotationRev, Harmless, "which control plane injects is said by the label, and written here", nil},
	{"istio.io/use-waypoint-canary-weight", Warned, "ambient meshes are not run", nil},
	{"istio.io/workloadController", Harmless, "of WorkloadEntries", nil},
	{"kubernetes.io/ingress.class", Harmless, "of Ingresses", nil},
	{"networking.istio.io/exportTo", Harmless, "of Services", nil},
	{"networking.istio.io/service-type", Harmless, "of Gateways", nil},
	{"networking.istio.io/traffic-distribution", Harmless, "of Services", nil},
	{annotationMerge, Run, "whether the application's metrics are served with the sidecar's", yesOrNo(func(s *Settings) **bool { return &s.MergeMetrics })},
	{annotationProxy, Run, "fields of a ProxyConfig of the mesh, for this pod; one that is not known is refused", proxyConfig},
	{annotationOver, Harmless, "written by what injects: what the pod itself said of the sidecar's containers", nil},
	{"readiness.status.sidecar.istio.io/applicationPorts", Warned, "no agent waits for ports of the application any more", nil},
	{"readiness.status.sidecar.istio.io/failureThreshold", Run, "of the sidecar's readiness probe",
		count(1, func(s *Settings) **int32 { return &s.ReadinessFailureThreshold })},
	{"readiness.status.sidecar.istio.io/initialDelaySeconds", Run, "of the sidecar's readiness probe",
		count(0, func(s *Settings) **int32 { return &s.ReadinessInitialDelay })},
	{"readiness.status.sidecar.istio.io/periodSeconds", Run, "of the sidecar's readiness probe", count(1, func(s *Settings) **int32 { return &s.ReadinessPeriod })},
	{"sidecar.istio.io/agentLogLevel", Run, "of the agent's log, such as `default:info`", text(scopes, func(s *Settings) **string { return &s.AgentLogLevel })},
	{"sidecar.istio.io/bootstrapOverride", Run, "a ConfigMap with `custom_bootstrap.json`, which is merged over the bootstrap",
		text(resourceName, func(s *Settings) **string { return &s.BootstrapOverride })},
	{"sidecar.istio.io/capNetBindService", Run, "whether the sidecar may listen at ports below 1024", yesOrNo(func(s *Settings) **bool { return &s.BindService })},
	{"sidecar.istio.io/componentLogLevel", Run, "of parts of the proxy's log, such as `misc:error`",
		text(scopes, func(s *Settings) **string { return &s.ComponentLogLevel })},
	{"sidecar.istio.io/discoveryAddress", Run, "where the control plane is: HOST:PORT", func(s *Settings, v string) error {
		return proxyConfig(s, "discoveryAddress: "+strconv.Quote(v))
	}},
	{"sidecar.istio.io/extraStatTags", ByAgent, "tags of metrics", nil},
	{"sidecar.istio.io/init-containers-before-proxy", Run, "init containers that are done before a native sidecar starts",
		text(wordList, func(s *Settings) **string { return &s.BeforeProxy })},
	{annotationInject, Run, "whether a sidecar is put in; the label of that name counts before it", nil},
	{annotationMode, Run, "`REDIRECT`, `TPROXY` (the application sees its clients' addresses: [capture](capture.md)), or `NONE`: nothing is captured", func(s *Settings, v string) error {
		if _, is := meshv1.ProxyConfig_InboundInterceptionMode_value[v]; !is {
			return fmt.Errorf("%.64q is none of REDIRECT, TPROXY and NONE", v)
		}
		s.Mode = &v
		return nil
	}},
	{"sidecar.istio.io/logLevel", Run, "of the proxy's log", text(source.LogLevel, func(s *Settings) **string { return &s.LogLevel })},
	{"sidecar.istio.io/nativeSidecar", Run, "whether it is an init container that stays", yesOrNo(func(s *Settings) **bool { return &s.Native })},
	{"sidecar.istio.io/proxyCPU", Run, "the sidecar's request", amount(func(r *source.Resources) *map[string]source.Amount { return &r.Requests }, "cpu")},
	{"sidecar.istio.io/proxyCPULimit", Run, "the sidecar's limit", amount(func(r *source.Resources) *map[string]source.Amount { return &r.Limits }, "cpu")},
	{annotationImage, Run, "the sidecar's image, `REGISTRY/NAME:TAG`", text(func(v string) error {
		if !strings.Contains(v, "/") {
			return fmt.Errorf("%.64q: want an image with its registry, such as REGISTRY/proxyv2-weft:TAG", v)
		}
		return checkImage(v)
	}, func(s *Settings) **string { return &s.Image })},
	{"sidecar.istio.io/proxyImageType", Run, "`default`, `debug` or `distroless`: the end of the image's tag",
		text(imageType, func(s *Settings) **string { return &s.ImageType })},
	{"sidecar.istio.io/proxyMemory", Run, "the sidecar's request", amount(func(r *source.Resources) *map[string]source.Amount { return &r.Requests }, "memory")},
	{"sidecar.istio.io/proxyMemoryLimit", Run, "the sidecar's limit", amount(func(r *source.Resources) *map[string]source.Amount { return &r.Limits }, "memory")},
	{"sidecar.istio.io/rewriteAppHTTPProbers", Run, "whether kubelets' probes go through the agent", yesOrNo(func(s *Settings) **bool { return &s.RewriteProbes })},
	{"sidecar.istio.io/statsCompression", ByAgent, "of metrics", nil},
	{"sidecar.istio.io/statsEvictionInterval", Warned, "`weft` refuses a bootstrap with statistics that expire, and the pod would not become ready: take it out where the image has `weft`",
		nil},
	{"sidecar.istio.io/statsFlushInterval", ByAgent, "of metrics", nil},
	{"sidecar.istio.io/statsHistogramBins", ByAgent, "of metrics", nil},
	{"sidecar.istio.io/statsHistogramBuckets", ByAgent, "of metrics", nil},
	{"sidecar.istio.io/statsInclusionPrefixes", ByAgent, "which metrics there are", nil},
	{"sidecar.istio.io/statsInclusionRegexps", ByAgent, "which metrics there are", nil},
	{"sidecar.istio.io/statsInclusionSuffixes", ByAgent, "which metrics there are", nil},
	{annotationStatus, Run, "written by what injects: a pod that has it is left as it is", nil},
	{"sidecar.istio.io/userVolume", Run, "volumes of the pod, JSON by name", things("volume", nil, func(s *Settings) *object { return &s.Volumes })},
	{"sidecar.istio.io/userVolumeMount", Run, "where the sidecar has volumes, JSON by name",
		things("mount", []string{"mountPath"}, func(s *Settings) *object { return &s.Mounts })},
	{"status.sidecar.istio.io/port", Run, "of the agent; 0: it has none, and probes stay as they are", func(s *Settings, v string) error {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil {
			return fmt.Errorf("%.64q is no port: want a number from 0 to 65535", v)
		}
		p := int32(n)
		s.StatusPort = &p
		return nil
	}},
	{"topology.istio.io/controlPlaneClusters", Harmless, "of Namespaces", nil},
	{"traffic.istio.io/nodeSelector", Harmless, "of Services", nil},
	{"traffic.sidecar.istio.io/excludeInboundPorts", Run, "ports that are not captured",
		text(source.PortList, func(s *Settings) **string { return &s.ExcludeInboundPorts })},
	{"traffic.sidecar.istio.io/excludeInterfaces", Run, "interfaces that are not captured", interfaces(func(s *Settings) **string { return &s.ExcludeInterfaces })},
	{"traffic.sidecar.istio.io/excludeOutboundIPRanges", Run, "ranges that are not captured",
		text(source.RangeList, func(s *Settings) **string { return &s.ExcludeOutboundIPRanges })},
	{"traffic.sidecar.istio.io/excludeOutboundPorts", Run, "ports that are not captured",
		text(source.PortList, func(s *Settings) **string { return &s.ExcludeOutboundPorts })},
	{"traffic.sidecar.istio.io/includeInboundPorts", Run, "ports that are captured; `*`: all",
		text(source.OrAll(source.PortList), func(s *Settings) **string { return &s.IncludeInboundPorts })},
	{"traffic.sidecar.istio.io/includeOutboundIPRanges", Run, "ranges that are captured; `*`: all",
		text(source.OrAll(source.RangeList), func(s *Settings) **string { return &s.IncludeOutboundIPRanges })},
	{"traffic.sidecar.istio.io/includeOutboundPorts", Run, "ports that are captured whatever the address",
		text(source.PortList, func(s *Settings) **string { return &s.IncludeOutboundPorts })},
	{"traffic.sidecar.istio.io/kubevirtInterfaces", Run, "as `istio.io/reroute-virtual-interfaces`, which counts before it", func(s *Settings, v string) error {
		if s.Interfaces != nil {
			return nil
		}
		return interfaces(func(s *Settings) **string { return &s.Interfaces })(s, v)
	}},
}

// Labels are all of Istio's that are known on pods, by name.
var Labels = []Known{
	{"gateway.istio.io/managed", Harmless, "of Gateways", nil},
	{"gateway.networking.k8s.io/gateway-class-name", Harmless, "of Gateways", nil},
	{"gateway.networking.k8s.io/gateway-name", Harmless, "of Gateways", nil},
	{"istio.io/dataplane-mode", Warned, "ambient meshes are not run", nil},
	{"istio.io/ingress-use-waypoint", Warned, "ambient meshes are not run", nil},
	{annotationRev, Harmless, "which control plane is asked: its webhook chooses by it", nil},
	{"istio.io/tag", Harmless, "of webhooks", nil},
	{"istio.io/use-waypoint", Warned, "ambient meshes are not run", nil},
	{"istio.io/use-waypoint-canary", Warned, "ambient meshes are not run", nil},
	{"istio.io/use-waypoint-canary-namespace", Warned, "ambient meshes are not run", nil},
	{"istio.io/use-waypoint-namespace", Warned, "ambient meshes are not run", nil},
	{"istio.io/waypoint-for", Harmless, "of Gateways", nil},
	{"networking.istio.io/enable-autoallocate-ip", Harmless, "of ServiceEntries", nil},
	{"networking.istio.io/gatewayPort", Harmless, "of Services", nil},
	{"networking.istio.io/tunnel", Warned, "HBONE is not run", nil},
	{"operator.istio.io/component", Harmless, "of who installs", nil},
	{"operator.istio.io/managed", Harmless, "of who installs", nil},
	{"operator.istio.io/version", Harmless, "of who installs", nil},
	{labelTLS, Run, "`istio`: others speak mutual TLS to the pod; written if it is not there", nil},
	{labelService, Run, "the service that the pod is of, for people; written if it is not there", nil},
	{labelVersion, Run, "and the version; written if it is not there", nil},
	{labelWorkload, Run, "the workload that the sidecar says it is of, in the place of its owner's name", nil},
	{annotationInject, Run, "whether a sidecar is put in", nil},
	{"topology.istio.io/cluster", Harmless, "of WorkloadEntries", nil},
	{"topology.istio.io/locality", Harmless, "of WorkloadEntries", nil},
	{labelNetwork, Run, "the network that the pod is in; written if the injector's file says one", nil},
	{"topology.istio.io/subzone", Harmless, "of Nodes", nil},
}

const (
	labelTLS      = "security.istio.io/tlsMode"
	labelService  = "service.istio.io/canonical-name"
	labelVersion  = "service.istio.io/canonical-revision"
	labelNetwork  = "topology.istio.io/network"
	labelWorkload = "service.istio.io/workload-name"
)

func yesOrNo(of func(*Settings) **bool) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		is, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%.64q is neither true nor false", v)
		}
		*of(s) = &is
		return nil
	}
}

func text(rule func(string) error, of func(*Settings) **string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if err := rule(v); err != nil {
			return err
		}
		*of(s) = &v
		return nil
	}
}

func count(least int64, of func(*Settings) **int32) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < least {
			return fmt.Errorf("%.64q is no number from %d", v, least)
		}
		is := int32(n)
		*of(s) = &is
		return nil
	}
}

// amount is of one resource, of both containers. Whoever says one says all of them: what the levels below said does not count then, as with Istio.
func amount(of func(*source.Resources) *map[string]source.Amount, name string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if err := source.Quantity(v); err != nil {
			return err
		}
		if s.Resources == nil {
			s.Resources = &source.Resources{}
			s.InitResources = s.Resources
		}
		m := of(s.Resources)
		if *m == nil {
			*m = map[string]source.Amount{}
		}
		(*m)[name] = source.Amount(v)
		return nil
	}
}

// things are mappings by name, each of which has to have some fields.
func things(what string, fields []string, of func(*Settings) *object) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		all, err := parse([]byte(v))
		o, is := all.(object)
		if err != nil || !is {
			return fmt.Errorf("is no JSON object with a %s by each name", what)
		}
		for _, name := range slices.Sorted(maps.Keys(o)) {
			one, is := o[name].(object)
			if !is || resourceName(name) != nil {
				return fmt.Errorf("%.64q is no %s: want a name of small letters, digits and dashes, and an object", name, what)
			}
			for _, f := range fields {
				if s, is := one[f].(string); !is || s == "" {
					return fmt.Errorf("the %s %s has no %s", what, name, f)
				}
			}
		}
		*of(s) = o
		return nil
	}
}

// proxyConfig reads what a pod says of its proxy in the form of the mesh's configuration.
func proxyConfig(s *Settings, v string) error {
	o, problems := source.ReadSidecarSettings([]byte(v), source.Origin{})
	var all []error
	for _, p := range problems {
		if !p.Warning {
			all = append(all, errors.New(strings.TrimPrefix(p.Path+": "+p.Text, ": ")))
		}
	}
	if o == nil {
		return errors.Join(all...)
	}
	if o.More != nil { // the agent reads the annotation, too, and does not know these
		return errors.New("has fields that are an ASMProxyConfig's, and no ProxyConfig's: want an ASMProxyConfig, or annotations")
	}
	s.over(&Settings{Proxy: o.Spec.(*meshv1.ProxyConfig)})
	return nil
}

var (
	resourceNames  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	interfaceNames = regexp.MustCompile(`^[A-Za-z0-9_.+-]{1,15}$`)
	scopeLevels    = regexp.MustCompile(`^(?:[A-Za-z0-9_.-]+:)?[a-z]+(?:,[A-Za-z0-9_.-]+:[a-z]+)*$`)
)

func resourceName(v string) error {
	if len(v) > 253 || !resourceNames.MatchString(v) {
		return fmt.Errorf("%.64q is no name: want small letters, digits and dashes", v)
	}
	return nil
}

func wordList(v string) error {
	for one := range strings.SplitSeq(v, ",") {
		if err := resourceName(one); err != nil {
			return err
		}
	}
	return nil
}

func scopes(v string) error {
	if len(v) > 1024 || !scopeLevels.MatchString(v) {
		return fmt.Errorf("%.64q are no levels: want such as misc:error,http:debug", v)
	}
	return nil
}

func interfaces(of func(*Settings) **string) func(*Settings, string) error {
	return text(func(v string) error {
		for one := range strings.SplitSeq(v, ",") {
			if !interfaceNames.MatchString(one) {
				return fmt.Errorf("%.64q is no interface: want names such as eth1, with commas between them", one)
			}
		}
		return nil
	}, of)
}

func imageType(v string) error {
	if !slices.Contains(imageTypes, v) {
		return fmt.Errorf("%.64q is none of %s", v, strings.Join(imageTypes, ", "))
	}
	return nil
}

// ours tells whether a label or an annotation is one of Istio's.
func ours(name string) bool {
	domain, _, is := strings.Cut(name, "/")
	return is && (domain == "istio.io" || strings.HasSuffix(domain, ".istio.io"))
}

// own are the settings that the pod itself says, by its annotations. What is wrong with one has the pod refused.
func (b *build) own() (*Settings, error) {
	s := &Settings{}
	var all []error
	look := func(what string, said map[string]string, known []Known) {
		for i := range known { // in their order, so that what is said of one thing counts over proxy.istio.io/config
			k := &known[i]
			v, is := said[k.Name]
			if !is {
				continue
			}
			if k.Fate == Warned {
				b.warn("nothing is done by the %s %s: %s", what, k.Name, strings.ReplaceAll(k.Note, "`", ""))
			}
			if k.take == nil {
				continue
			}
			if err := k.take(s, v); err != nil {
				all = append(all, fmt.Errorf("metadata.%ss[%q]: %w", what, k.Name, err))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(said)) {
			if ours(name) && !slices.ContainsFunc(known, func(k Known) bool { return k.Name == name }) {
				b.warn("nothing is done by the %s %.100s, which is not known", what, name)
			}
		}
	}
	look("annotation", b.pod.Metadata.Annotations, Annotations)
	look("label", b.pod.Metadata.Labels, Labels)
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(all...)
}
