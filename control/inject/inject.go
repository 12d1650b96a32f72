package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	meshv1 "istio.io/api/mesh/v1alpha1"
)

// Outcome is what becomes of a pod.
type Outcome struct {
	Patch    []Operation // what makes it one with a sidecar
	Skipped  string      // why there is none put in; empty: there is
	Warnings []string    // for whoever creates it
}

// Pod says what becomes of a pod, which is JSON. An error has it refused: something that the pod says of its sidecar is wrong or not run, and without it, it
// would not be what its author asks for.
func Pod(text []byte, w *World) (*Outcome, error) { return inject(text, w, nil) }

// inject is Pod, of what stands for itself or is a template of something.
func inject(text []byte, w *World, of *workload) (*Outcome, error) {
	p, tree, err := readPod(text)
	if err != nil {
		return nil, err
	}
	b := &build{world: w, pod: p, owner: p.owner(of)}
	out := &Outcome{}
	if out.Skipped = b.skip(); out.Skipped == "" {
		before, _ := parse(text) // which was good before
		if err := b.change(tree); err != nil {
			return nil, err
		}
		out.Patch = diff("", before, plain(tree))
	}
	out.Warnings = b.warnings
	return out, nil
}

// build is a pod that gets a sidecar.
type build struct {
	world     *World
	pod       *pod
	owner     workload
	set       *Settings
	warnings  []string
	imageName string
	mode      string // of interception
	network   string
	// statusPort is the agent's; 0: it has none.
	statusPort   int32
	native, hold bool
	scrape       string // what the agent is told of where the application's metrics are; empty: nothing
}

// maxWarnings bounds what is said of one pod: Kubernetes passes 4,096 bytes on.
const maxWarnings = 20

func (b *build) warn(format string, args ...any) {
	if len(b.warnings) < maxWarnings {
		b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
	}
}

// skip says why a pod gets no sidecar; empty: it gets one.
func (b *build) skip() string {
	p, in := b.pod, b.world.Install
	said, where := p.Metadata.Labels[annotationInject], "label"
	if _, is := p.Metadata.Labels[annotationInject]; !is {
		said, where = p.Metadata.Annotations[annotationInject], "annotation"
	}
	_, done := p.Metadata.Annotations[annotationStatus]
	switch {
	case done:
		return "it has one already, as its annotation " + annotationStatus + " says"
	case p.Spec.HostNetwork:
		return "it is on its node's network (hostNetwork), where the node's own traffic would be captured"
	case p.Spec.OS.Name == "windows" || p.Spec.NodeSelector["kubernetes.io/os"] == "windows":
		return "it is for Windows, where there is no sidecar to run"
	case slices.Contains(in.ExcludedNamespaces, b.world.Namespace):
		return "namespace " + b.world.Namespace + " is one of those without sidecars"
	}
	switch strings.ToLower(said) {
	case "y", "yes", "true", "on":
		return ""
	case "":
		if in.Policy == "disabled" {
			return "it does not ask for one, by the label " + annotationInject + ": \"true\", and the policy is disabled"
		}
		return ""
	case "n", "no", "false", "off":
	default:
		b.warn("the %s %s: %.64q is neither true nor false: it counts as false", where, annotationInject, said)
	}
	return fmt.Sprintf("its %s %s says so", where, annotationInject)
}

// change puts the sidecar into a pod.
func (b *build) change(tree object) error {
	own, err := b.own()
	b.set = b.settings(own)
	b.settle()
	image, wrong := b.image()
	if err = errors.Join(err, wrong, b.wrong()); err != nil {
		return err
	}
	b.imageName = image
	b.heed()
	meta, spec := mapping(tree, "metadata"), mapping(tree, "spec")
	annotations, labels := mapping(meta, "annotations"), mapping(meta, "labels")
	b.mergeMetrics(annotations)
	probers := ""
	if or(b.set.RewriteProbes, true) && b.statusPort != 0 {
		probers = b.rewriteProbes(b.pod)
	}
	sidecar, err := b.sidecar(probers)
	if err != nil {
		return err
	}
	status, err := b.containers(spec, sidecar, annotations)
	if err != nil {
		return err
	}
	b.things(spec, status)
	b.describe(annotations, labels, status)
	return nil
}

// settle finds out what follows from the settings.
func (b *build) settle() {
	p := b.set.Proxy
	b.mode = or(b.set.Mode, p.GetInterceptionMode().String())
	p.InterceptionMode = meshv1.ProxyConfig_InboundInterceptionMode(meshv1.ProxyConfig_InboundInterceptionMode_value[b.mode])
	b.statusPort = agentPort
	if p.GetStatusPort() != 0 {
		b.statusPort = p.GetStatusPort()
	}
	if b.set.StatusPort != nil {
		b.statusPort = *b.set.StatusPort
		p.StatusPort = b.statusPort
	}
	b.network = orWord(b.pod.Metadata.Labels[labelNetwork], b.world.Install.Network)
	b.native = or(b.set.Native, false)
	b.hold = p.GetHoldApplicationUntilProxyStarts().GetValue() && !b.native // of which Kubernetes sees that it is ready before others start
	if p.DiscoveryAddress == "" {
		p.DiscoveryAddress = b.world.Discovery
	}
}

// variables are what Kubernetes takes for names of them.
var variables = regexp.MustCompile(`^[A-Za-z_.-][A-Za-z0-9_.-]*$`)

// wrong says what cannot be put into a pod.
func (b *build) wrong() error {
	var all []error
	b.eachMetadata(func(name, _ string) {
		if !variables.MatchString(name) {
			all = append(all, fmt.Errorf("proxyMetadata: %.64q is no name of a variable: want letters, digits and underscores", name))
		}
	})
	return errors.Join(all...)
}

// heed says what is not as its author will think.
func (b *build) heed() {
	p := b.set.Proxy
	if b.mode == "NONE" {
		b.warn("nothing is captured (interceptionMode NONE): only what is sent to the sidecar itself goes through it")
	}
	if p.GetStatsdUdpAddress() != "" || p.GetEnvoyMetricsService() != nil {
		b.warn("weft refuses a bootstrap with statsdUdpAddress or envoyMetricsService: with weft in the image the pod will not become ready")
	}
	if p.GetTracing() != nil {
		b.warn("weft sends no spans yet, and refuses listeners with a tracer: with weft in the image, want no tracing")
	}
	stays := or(b.pod.Spec.TerminationSeconds, stayingTime)
	if drain := p.GetTerminationDrainDuration().AsDuration().Seconds(); drain > float64(stays) {
		b.warn("terminationDrainDuration is %v s and the pod ends after %d s: want terminationGracePeriodSeconds of more", drain, stays)
	}
	for _, c := range b.pod.apps() {
		user := c.SecurityContext.RunAsUser
		if user == nil {
			user = b.pod.Spec.SecurityContext.RunAsUser
		}
		if user != nil && *user == proxyUser {
			b.warn("container %s runs as user %d, who is the sidecar's: nothing that it sends is captured", c.Name, proxyUser)
		}
	}
}

// status is what was put in, as the annotation has it.
type status struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`
}

// containers puts the sidecar, and what captures for it, among the pod's containers.
func (b *build) containers(spec, sidecar, annotations object) (*status, error) {
	s := &status{Revision: orWord(b.world.Revision, "default")}
	inits, apps := list(spec, "initContainers"), list(spec, "containers")
	// What the pod itself says of these containers counts before what is put in.
	over := object{}
	take := func(from *[]any, key, name string) object {
		for i, one := range *from {
			if nameOf(one) != name {
				continue
			}
			*from = slices.Delete(*from, i, i+1)
			said := maps.Clone(one.(object))
			if said["image"] == "auto" {
				delete(said, "image")
			}
			over[key] = append(list(over, key), said)
			return said
		}
		return nil
	}
	said := take(&apps, "containers", proxyName)
	if native := take(&inits, "initContainers", proxyName); said == nil {
		said = native
	}
	user := int64(proxyUser)
	c := plain(sidecar).(object)
	if said != nil {
		c = overlaid(c, said)
		var read container
		text, err := json.Marshal(said)
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil {
			return nil, fmt.Errorf("the container %s: %w", proxyName, err)
		}
		if u := read.SecurityContext.RunAsUser; u != nil && *u > 0 && b.mode != "TPROXY" {
			user = *u
		}
	}
	var capture object
	if b.mode != "NONE" {
		capture = plain(b.capture(user)).(object)
		if said := take(&inits, "initContainers", b.captureName()); said != nil {
			capture = overlaid(capture, said)
		}
		s.InitContainers = append(s.InitContainers, b.captureName())
	}
	switch {
	case b.native: // the sidecar is there before the other init containers, and their traffic is captured, too
		s.InitContainers = append(s.InitContainers, proxyName)
		var first []any
		for name := range strings.SplitSeq(or(b.set.BeforeProxy, ""), ",") {
			if at := slices.IndexFunc(inits, func(one any) bool { return name != "" && nameOf(one) == name }); at >= 0 {
				first = append(first, inits[at])
				inits = slices.Delete(inits, at, at+1)
			}
		}
		if capture != nil {
			first = slices.Insert(first, 0, any(capture))
		}
		inits = append(append(first, c), inits...)
	case capture != nil && b.world.Install.CNI: // all that the pod's containers send is captured, and none of them starts if it is not
		if len(inits) > 0 {
			b.warn("the connections of init containers are captured before the sidecar runs, and fail: want nativeSidecar, or annotations that exclude where they go to")
		}
		inits = slices.Insert(inits, 0, any(capture))
	case capture != nil: // other init containers are done by then, and what they ask for is not captured by a sidecar that does not run yet
		inits = append(inits, capture)
	}
	if !b.native {
		s.Containers = append(s.Containers, proxyName)
		if b.hold {
			apps = slices.Insert(apps, 0, any(c))
		} else {
			apps = append(apps, c)
		}
	}
	spec["containers"] = apps
	if _, was := spec["initContainers"]; was || len(inits) > 0 {
		spec["initContainers"] = inits
	}
	if len(over) > 0 {
		text, err := json.Marshal(over)
		if err != nil {
			return nil, err
		}
		annotations[annotationOver] = string(text)
	}
	return s, nil
}

// things puts volumes and what images are pulled with into a pod. A volume that it has already is its own.
func (b *build) things(spec object, s *status) {
	volumes := list(spec, "volumes")
	for _, v := range b.volumes() {
		name := v["name"].(string)
		if slices.ContainsFunc(volumes, func(one any) bool { return nameOf(one) == name }) {
			b.warn("the pod has a volume %s of its own, which the sidecar gets in the place of the one that would be put in", name)
			continue
		}
		volumes = append(volumes, v)
		s.Volumes = append(s.Volumes, name)
	}
	spec["volumes"] = volumes
	pulls := list(spec, "imagePullSecrets")
	for _, name := range b.world.Install.ImagePullSecrets {
		if !slices.ContainsFunc(pulls, func(one any) bool { return nameOf(one) == name }) {
			pulls = append(pulls, object{"name": name})
			s.ImagePullSecrets = append(s.ImagePullSecrets, name)
		}
	}
	if len(pulls) > 0 {
		spec["imagePullSecrets"] = pulls
	}
}

// describe writes the labels and annotations by which others know the pod.
func (b *build) describe(annotations, labels object, s *status) {
	usual := func(m object, key, value string) {
		if _, is := m[key]; !is && value != "" {
			m[key] = value
		}
	}
	word := func(names ...string) string {
		for _, one := range names {
			if v := b.pod.Metadata.Labels[one]; v != "" {
				return v
			}
		}
		return ""
	}
	name := orWord(word("app.kubernetes.io/name", "app"), b.owner.name)
	usual(labels, labelTLS, "istio")
	usual(labels, labelService, strings.TrimRight(name[:min(len(name), 63)], "-_."))
	usual(labels, labelVersion, orWord(word("app.kubernetes.io/version", "version"), "latest"))
	usual(labels, labelNetwork, b.network)
	if own := slices.IndexFunc(b.pod.Spec.Containers, func(c container) bool { return !isOurs(c) }); own >= 0 {
		for _, key := range []string{"kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"} {
			usual(annotations, key, b.pod.Spec.Containers[own].Name)
		}
	}
	annotations[annotationRev] = s.Revision
	text, err := json.Marshal(s)
	if err != nil {
		panic("inject: " + err.Error()) // they are words
	}
	annotations[annotationStatus] = string(text)
}

// mapping is the one below a field, which is made if there is none.
func mapping(m object, name string) object {
	below, is := m[name].(object)
	if !is {
		below = object{}
		m[name] = below
	}
	return below
}

// list is the one below a field, to be added to.
func list(m object, name string) []any {
	l, _ := m[name].([]any)
	return slices.Clone(l)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
