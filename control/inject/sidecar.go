package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/weftmesh/weft/control/source"
)

// What Istio's agent and its proxy have in a pod: reference section 2.5.
const (
	proxyUser      = 1337 // whose traffic is not captured again
	prometheusPort = 15090
	readyPort      = 15021
	agentPort      = 15020
	stayingTime    = 30 // seconds that a pod has to end, if it does not say
)

// usualResources are those of both containers, as Istio's.
var usualResources = source.Resources{Requests: map[string]source.Amount{"cpu": "100m", "memory": "128Mi"}, Limits: map[string]source.Amount{"cpu": "2", "memory": "1Gi"}}

// imageTypes are the ends that tags of Istio's images have.
var imageTypes = []string{"default", "debug", "distroless"}

// imageOf is an image of a type.
func imageOf(image, kind string) (string, error) {
	if kind == "" {
		return image, nil
	}
	if err := imageType(kind); err != nil {
		return "", fmt.Errorf("the image's type: %w", err)
	}
	if strings.Contains(image, "@") || !hasTag(image) {
		return "", fmt.Errorf("%s has no tag that can say %s: want an image with one", image, kind)
	}
	for _, one := range imageTypes {
		image = strings.TrimSuffix(image, "-"+one)
	}
	if kind == "default" {
		return image, nil
	}
	return image + "-" + kind, nil
}

// image is that of the sidecar.
func (b *build) image() (string, error) {
	image := b.world.Install.Image
	if b.set.Image != nil {
		image = *b.set.Image
	}
	if image == "" {
		return "", fmt.Errorf("no image of a sidecar is named: say it as image in the injector's file, or in the annotation %s", annotationImage)
	}
	kind := b.set.Proxy.GetImage().GetImageType()
	if b.set.ImageType != nil {
		kind = *b.set.ImageType
	}
	return imageOf(image, kind)
}

// sidecar is the container with the agent and the proxy.
func (b *build) sidecar(probers string) (object, error) {
	in, s := b.world.Install, b.set
	env, err := b.environment(probers)
	if err != nil {
		return nil, err
	}
	args := []string{"proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc." + in.ClusterDomain, "--proxyLogLevel=" + or(s.LogLevel, "warning"),
		"--proxyComponentLogLevel=" + or(s.ComponentLogLevel, "misc:error"), "--log_output_level=" + or(s.AgentLogLevel, "default:info")}
	if in.LogAsJSON {
		args = append(args, "--log_as_json")
	}
	c := object{"name": proxyName, "image": b.imageName, "args": args, "env": env,
		"ports":           []object{{"name": "http-envoy-prom", "containerPort": prometheusPort, "protocol": "TCP"}},
		"resources":       resources(s.Resources, usualResources),
		"securityContext": b.proxySecurity(), "volumeMounts": b.mounts()}
	if in.ImagePullPolicy != "" {
		c["imagePullPolicy"] = in.ImagePullPolicy
	}
	if hooks := b.hooks(); hooks != nil {
		c["lifecycle"] = hooks
	}
	ready := object{"path": "/healthz/ready", "port": readyPort}
	if b.native { // what comes after it starts when this has been so once
		c["restartPolicy"] = "Always"
		c["startupProbe"] = object{"httpGet": ready, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600}
	}
	if b.statusPort != 0 {
		c["readinessProbe"] = object{"httpGet": ready, "initialDelaySeconds": or(s.ReadinessInitialDelay, 1), "periodSeconds": or(s.ReadinessPeriod, 2),
			"timeoutSeconds": 3, "failureThreshold": or(s.ReadinessFailureThreshold, 30)}
	}
	return c, nil
}

// hooks are what is done when the sidecar starts and ends. What was said counts before what is done by itself.
func (b *build) hooks() *source.Lifecycle {
	l := source.Lifecycle{}
	if b.set.Lifecycle != nil {
		l = *b.set.Lifecycle
	}
	if l.PostStart == nil && b.hold {
		l.PostStart = command("pilot-agent", "wait")
	}
	if l.PreStop == nil && b.native && b.statusPort != 0 { // a native sidecar is told to end when all others have
		l.PreStop = command("pilot-agent", "request", fmt.Sprintf("--debug-port=%d", b.statusPort), "POST", "drain")
	}
	if l == (source.Lifecycle{}) {
		return nil
	}
	return &l
}

func command(words ...string) *source.Hook {
	return &source.Hook{Exec: &struct {
		Command []string `json:"command,omitempty"`
	}{words}}
}

// resources are what was said, as a whole, or the usual.
func resources(said *source.Resources, usual source.Resources) source.Resources {
	if said == nil {
		return usual
	}
	return *said
}

func (b *build) proxySecurity() object {
	privileged := b.set.Privileged != nil && *b.set.Privileged
	user, add := int64(proxyUser), []string{}
	if b.mode == "TPROXY" {
		user, add = 0, append(add, "NET_ADMIN")
	}
	if b.set.BindService != nil && *b.set.BindService {
		user, add = 0, append(add, "NET_BIND_SERVICE")
	}
	capabilities := object{"drop": []string{"ALL"}}
	if len(add) > 0 {
		capabilities["add"] = add
	}
	return object{"allowPrivilegeEscalation": privileged, "privileged": privileged, "capabilities": capabilities, "readOnlyRootFilesystem": true,
		"runAsGroup": proxyUser, "runAsUser": user, "runAsNonRoot": user != 0}
}

// environment is what the agent is told. Of a name that is there twice the later value counts, in the place of the former: what a proxy says of itself may be
// anything that is said here.
func (b *build) environment(probers string) (env []object, err error) {
	in := b.world.Install
	put := func(name string, value object) {
		value["name"] = name
		if at := slices.IndexFunc(env, func(e object) bool { return e["name"] == name }); at >= 0 {
			env[at] = value
			return
		}
		env = append(env, value)
	}
	text := func(name, value string) { put(name, object{"value": value}) }
	field := func(name, path string) {
		put(name, object{"valueFrom": object{"fieldRef": object{"fieldPath": path}}})
	}
	limit := func(name, resource string) {
		put(name, object{"valueFrom": object{"resourceFieldRef": object{"resource": resource}}})
	}
	discovery := b.set.Proxy.GetDiscoveryAddress()
	text("PILOT_CERT_PROVIDER", "istiod")
	text("CA_ADDR", orWord(in.CAAddress, discovery))
	field("POD_NAME", "metadata.name")
	field("POD_NAMESPACE", "metadata.namespace")
	field("INSTANCE_IP", "status.podIP")
	field("SERVICE_ACCOUNT", "spec.serviceAccountName")
	field("HOST_IP", "status.hostIP")
	limit("ISTIO_CPU_LIMIT", "limits.cpu")
	config, err := protojson.Marshal(b.set.Proxy)
	if err != nil {
		return nil, fmt.Errorf("the proxy's configuration: %w", err)
	}
	text("PROXY_CONFIG", compact(config))
	ports := []port{}
	var names []string
	for _, c := range b.pod.Spec.Containers {
		if !isOurs(c) {
			ports, names = append(ports, c.Ports...), append(names, c.Name)
		}
	}
	all, err := json.Marshal(ports)
	if err != nil {
		return nil, err
	}
	text("ISTIO_META_POD_PORTS", string(all))
	text("ISTIO_META_APP_CONTAINERS", strings.Join(names, ","))
	limit("GOMEMLIMIT", "limits.memory")
	limit("GOMAXPROCS", "limits.cpu")
	text("ISTIO_META_CLUSTER_ID", in.Cluster)
	field("ISTIO_META_NODE_NAME", "spec.nodeName")
	text("ISTIO_META_INTERCEPTION_MODE", b.mode)
	if b.network != "" {
		text("ISTIO_META_NETWORK", b.network)
	}
	if name := orWord(b.pod.Metadata.Labels[labelWorkload], b.owner.name); name != "" {
		text("ISTIO_META_WORKLOAD_NAME", name)
	}
	if b.world.Revision != "" {
		text("ISTIO_META_ISTIO_REVISION", b.world.Revision)
	}
	if b.owner.name != "" {
		text("ISTIO_META_OWNER", fmt.Sprintf("kubernetes://apis/%s/namespaces/%s/%ss/%s",
			b.owner.apiVersion, b.world.Namespace, strings.ToLower(b.owner.kind), b.owner.name))
	}
	if b.set.BootstrapOverride != nil {
		text("ISTIO_BOOTSTRAP_OVERRIDE", "/etc/istio/custom-bootstrap/custom_bootstrap.json")
	}
	domain := orWord(b.world.Config.GetTrustDomain(), "cluster.local")
	text("ISTIO_META_MESH_ID", orWord(b.set.Proxy.GetMeshId(), orWord(in.MeshID, domain)))
	text("TRUST_DOMAIN", domain)
	b.eachMetadata(text)
	if probers != "" {
		text("ISTIO_KUBE_APP_PROBERS", probers)
	}
	if b.scrape != "" {
		text("ISTIO_PROMETHEUS_ANNOTATIONS", b.scrape)
	}
	return env, nil
}

// eachMetadata goes through what a proxy says of itself, in order.
func (b *build) eachMetadata(do func(name, value string)) {
	m := b.set.Proxy.GetProxyMetadata()
	for _, name := range sortedKeys(m) {
		do(name, m[name])
	}
}

// compact is JSON without the blanks that protobuf puts into it, now here and now there.
func compact(text []byte) string {
	v, err := parse(text)
	if err != nil {
		panic("inject: " + err.Error()) // protobuf has written it
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// mounts are where the sidecar has its volumes, and those of the user's.
func (b *build) mounts() (out []object) {
	add := func(name, path string) { out = append(out, object{"name": name, "mountPath": path}) }
	add("workload-socket", "/var/run/secrets/workload-spiffe-uds")
	if b.set.Spire { // whose socket is somebody else's
		out[0]["readOnly"] = true
	}
	add("credential-socket", "/var/run/secrets/credential-uds")
	add("workload-certs", "/var/run/secrets/workload-spiffe-credentials")
	add("istiod-ca-cert", "/var/run/secrets/istio")
	add("istio-data", "/var/lib/istio/data")
	add("istio-envoy", "/etc/istio/proxy")
	add("istio-token", "/var/run/secrets/tokens")
	add("istio-podinfo", "/etc/istio/pod")
	if b.set.BootstrapOverride != nil {
		add("custom-bootstrap-volume", "/etc/istio/custom-bootstrap")
	}
	for _, name := range sortedKeys(b.set.Mounts) {
		one := object{}
		for k, v := range b.set.Mounts[name].(object) {
			one[k] = v
		}
		one["name"] = name
		out = append(out, one)
	}
	return out
}

// volumes are those of the sidecar, and those of the user's.
func (b *build) volumes() (out []object) {
	fields := func(paths ...string) (items []object) {
		for _, one := range paths {
			items = append(items, object{"path": one, "fieldRef": object{"fieldPath": "metadata." + one}})
		}
		return items
	}
	socket := object{"name": "workload-socket", "emptyDir": object{}}
	if b.set.Spire {
		socket = object{"name": "workload-socket", "csi": object{"driver": "csi.spiffe.io", "readOnly": true}}
	}
	out = []object{
		socket,
		{"name": "credential-socket", "emptyDir": object{}},
		{"name": "workload-certs", "emptyDir": object{}},
		{"name": "istio-envoy", "emptyDir": object{"medium": "Memory"}},
		{"name": "istio-data", "emptyDir": object{}},
		{"name": "istio-podinfo", "downwardAPI": object{"items": fields("labels", "annotations")}},
		{"name": "istio-token", "projected": object{"sources": []object{
			{"serviceAccountToken": object{"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}}}}},
		{"name": "istiod-ca-cert", "configMap": object{"name": "istio-ca-root-cert"}},
	}
	if b.set.BootstrapOverride != nil {
		out = append(out, object{"name": "custom-bootstrap-volume", "configMap": object{"name": *b.set.BootstrapOverride}})
	}
	for _, name := range sortedKeys(b.set.Volumes) {
		one := object{}
		for k, v := range b.set.Volumes[name].(object) {
			one[k] = v
		}
		one["name"] = name
		out = append(out, one)
	}
	return out
}

func or[T any](said *T, usual T) T {
	if said == nil {
		return usual
	}
	return *said
}

func orWord(said, usual string) string {
	if said == "" {
		return usual
	}
	return said
}

// number is one as an argument.
func number[N int | int32 | int64](n N) string { return strconv.FormatInt(int64(n), 10) }
