package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/source"
)

// Settings are what one level says of a sidecar, or all of them together. What is nil is not said.
type Settings struct {
	source.SidecarSettings
	Proxy             *meshv1.ProxyConfig
	Mode              *string // of interception; nil: as Proxy says, which cannot say REDIRECT where a level below says another
	Image, ImageType  *string
	ComponentLogLevel *string
	AgentLogLevel     *string
	Native            *bool // it is an init container that stays, and not a container
	RewriteProbes     *bool
	MergeMetrics      *bool
	StatusPort        *int32 // of the agent; 0: it has none
	BindService       *bool  // it may listen at ports below 1024
	// Interfaces and ExcludeInterfaces are lists of names: of those whose inbound traffic is another machine's outbound, and of those that are left alone.
	Interfaces, ExcludeInterfaces *string
	BootstrapOverride             *string // a ConfigMap
	Spire                         bool    // its identity comes from the socket of SPIRE's agent
	BeforeProxy                   *string // a list of names: init containers that are done before a native sidecar starts
	Volumes, Mounts               object  // of the user's, by name
}

// over has what a nearer level says take the place of what is said below it.
func (s *Settings) over(nearer *Settings) {
	proxy := s.Proxy
	overlay(reflect.ValueOf(s).Elem(), reflect.ValueOf(nearer).Elem())
	if s.Proxy = proxy; s.Proxy == nil {
		s.Proxy = &meshv1.ProxyConfig{}
	}
	if nearer.Proxy != nil {
		merge(s.Proxy.ProtoReflect(), nearer.Proxy.ProtoReflect())
	}
}

func overlay(to, from reflect.Value) {
	for i := range to.NumField() {
		switch f := from.Field(i); {
		case f.Kind() == reflect.Struct:
			overlay(to.Field(i), f)
		case !f.IsZero():
			to.Field(i).Set(f)
		}
	}
}

// merge puts what a message says over another: fields of messages one by one, maps key by key, and lists as a whole.
func merge(to, from protoreflect.Message) {
	from.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.IsMap():
			m := to.Mutable(d).Map()
			v.Map().Range(func(k protoreflect.MapKey, one protoreflect.Value) bool {
				m.Set(k, one)
				return true
			})
		case d.Message() != nil && !d.IsList() && to.Has(d) && !strings.HasPrefix(string(d.Message().FullName()), "google.protobuf."):
			merge(to.Mutable(d).Message(), v.Message())
		case d.Message() != nil && !d.IsList(): // a copy: what is merged into it next is not to change an object
			to.Set(d, protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect()))
		default:
			to.Set(d, v)
		}
		return true
	})
}

// ofObject is what an ASMProxyConfig says.
func ofObject(o *source.Object) *Settings {
	s := &Settings{Proxy: o.Spec.(*meshv1.ProxyConfig)}
	if more, is := o.More.(*source.SidecarSettings); is {
		s.SidecarSettings = *more
	}
	if dns := s.DNSProxy; dns != nil {
		s.Proxy = withMetadata(s.Proxy, map[string]string{"ISTIO_META_DNS_CAPTURE": fmt.Sprint(*dns)})
	}
	return s
}

// withMetadata is a proxy's configuration with more of what it says of itself. Objects are never changed.
func withMetadata(p *meshv1.ProxyConfig, metadata map[string]string) *meshv1.ProxyConfig {
	out := &meshv1.ProxyConfig{}
	if p != nil {
		merge(out.ProtoReflect(), p.ProtoReflect())
	}
	merge(out.ProtoReflect(), (&meshv1.ProxyConfig{ProxyMetadata: metadata}).ProtoReflect())
	return out
}

// Install is what whoever runs the mesh says of all sidecars, beside the mesh's own configuration: a file of YAML.
type Install struct {
	// Image is that of the sidecar, such as REGISTRY/proxyv2-weft:TAG; Tag is put behind it if it has none.
	Image, Tag string
	// Agent is what runs the proxy in it: Istio's agent, or weft alone.
	Agent            string
	ImagePullPolicy  string   `yaml:"imagePullPolicy"`
	ImagePullSecrets []string `yaml:"imagePullSecrets"`
	// Policy is enabled or disabled: what becomes of pods that say nothing.
	Policy string
	// ExcludedNamespaces are those whose pods never get one; nil: Kubernetes' own.
	ExcludedNamespaces  []string `yaml:"excludedNamespaces"`
	NativeSidecar       *bool    `yaml:"nativeSidecar"`
	RewriteAppHTTPProbe *bool    `yaml:"rewriteAppHTTPProbe"`
	DualStack           bool     `yaml:"dualStack"`
	CNI                 bool     `yaml:"cni"` // a CNI plugin captures, and pods need no NET_ADMIN
	LogAsJSON           bool     `yaml:"logAsJSON"`
	ComponentLogLevel   *string  `yaml:"componentLogLevel"`
	AgentLogLevel       *string  `yaml:"agentLogLevel"`
	Cluster             string
	Network             string
	MeshID              string    `yaml:"meshID"`
	ClusterDomain       string    `yaml:"clusterDomain"`
	CAAddress           string    `yaml:"caAddress"` // HOST:PORT; empty: the control plane's
	Sidecar             yaml.Node // as the spec of an ASMProxyConfig
	sidecar             *Settings
}

// withoutSidecars are namespaces of Kubernetes' own, as Istio leaves them alone.
var withoutSidecars = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// MaxInstall bounds, in bytes, what is read of the file.
const MaxInstall = 1 << 20

// ReadInstall reads that file. Changes are put over it, each as KEY=VALUE, where a key below another has a dot between: sidecar.concurrency=2.
func ReadInstall(data []byte, changes ...string) (*Install, error) {
	if len(data) > MaxInstall {
		return nil, fmt.Errorf("has more than %d bytes", MaxInstall)
	}
	root := yaml.Node{}
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("has several documents: one is read")
	}
	said := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if len(root.Content) > 0 && root.Content[0].Tag != "!!null" {
		said = root.Content[0]
	}
	for _, change := range changes {
		if err := set(said, change); err != nil {
			return nil, err
		}
	}
	text, err := yaml.Marshal(said)
	if err != nil {
		return nil, err
	}
	in := &Install{}
	d = yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(in); err != nil {
		return nil, errors.New(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), " in type inject.Install", ""))
	}
	return in, in.check()
}

// set puts a value at a key.
func set(root *yaml.Node, change string) error {
	path, text, is := strings.Cut(change, "=")
	if !is || path == "" {
		return fmt.Errorf("%q: want KEY=VALUE, such as tag=1.30", change)
	}
	var value yaml.Node
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Errorf("%q: %w", change, err)
	}
	n := root
	keys := strings.Split(path, ".")
	for i, key := range keys {
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("%q: there is no %s", change, key)
		}
		at := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Value == key })
		for at >= 0 && at%2 == 1 { // a value that is the same word
			next := slices.IndexFunc(n.Content[at+1:], func(k *yaml.Node) bool { return k.Value == key })
			if at += 1 + next; next < 0 {
				at = -1
			}
		}
		if at < 0 {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"})
			at = len(n.Content) - 2
		}
		if i < len(keys)-1 {
			n = n.Content[at+1]
			continue
		}
		n.Content[at+1] = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		if len(value.Content) > 0 {
			n.Content[at+1] = value.Content[0]
		}
	}
	return nil
}

// images are references as registries have them.
var images = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+)?(?:/[A-Za-z0-9._-]+)*(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@[a-z0-9]+:[a-f0-9]+)?$`)

func checkImage(s string) error {
	if len(s) > 512 || !images.MatchString(s) {
		return fmt.Errorf("%.64q is no image: want such as REGISTRY/proxyv2-weft:TAG", s)
	}
	return nil
}

// check says what is wrong with the file, and fills in what it does not say.
func (in *Install) check() error {
	var all []error
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if in.Tag != "" && !hasTag(in.Image) && in.Image != "" {
		in.Image += ":" + in.Tag
	}
	if in.Image != "" {
		if err := checkImage(in.Image); err != nil {
			bad("image: %w", err)
		}
	}
	switch in.Agent {
	case "", "istio", "weft": // what is put in is the same: weft answers to the agent's words
	default:
		bad("agent: %.64q is none: want istio or weft", in.Agent)
	}
	one := func(key, is string, of ...string) {
		if is != "" && !slices.Contains(of, is) {
			bad("%s: %.64q is none of %s", key, is, strings.Join(of, ", "))
		}
	}
	one("imagePullPolicy", in.ImagePullPolicy, "Always", "IfNotPresent", "Never")
	one("policy", in.Policy, "enabled", "disabled")
	if in.ExcludedNamespaces == nil {
		in.ExcludedNamespaces = withoutSidecars
	}
	for _, d := range []struct {
		is    *string
		usual string
	}{{&in.Cluster, "Kubernetes"}, {&in.ClusterDomain, "cluster.local"}} {
		if *d.is == "" {
			*d.is = d.usual
		}
	}
	in.sidecar = &Settings{Proxy: &meshv1.ProxyConfig{}, Native: in.NativeSidecar, RewriteProbes: in.RewriteAppHTTPProbe,
		ComponentLogLevel: in.ComponentLogLevel, AgentLogLevel: in.AgentLogLevel}
	if in.DualStack { // what captures and what is captured for read it from there
		in.sidecar.Proxy.ProxyMetadata = map[string]string{"ISTIO_DUAL_STACK": "true"}
	}
	if in.Sidecar.Kind != 0 {
		text, err := yaml.Marshal(&in.Sidecar)
		if err != nil {
			return err
		}
		o, problems := source.ReadSidecarSettings(text, source.Origin{})
		for _, p := range problems {
			if !p.Warning {
				bad("%s", strings.TrimSuffix("sidecar."+p.Path+": "+p.Text, "."))
			}
		}
		if o != nil {
			in.sidecar.over(ofObject(o))
			if len(in.sidecar.Labels()) > 0 {
				bad("sidecar.selector: it is of all sidecars: want an ASMProxyConfig for some")
			}
		}
	}
	return errors.Join(all...)
}

// hasTag tells whether an image is of a version: by a tag, or by a digest.
func hasTag(image string) bool {
	return strings.Contains(image, "@") || strings.Contains(image[strings.LastIndexByte(image, '/')+1:], ":")
}
