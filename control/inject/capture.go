package inject

import (
	"slices"
	"strings"
)

// capture is the init container that has the kernel hand the pod's traffic to the sidecar: what is put in says so by the flags of istio-iptables. user is whose
// traffic is the sidecar's own. Where a CNI plugin captures, it only asks whether that is done, and may nothing: the plugin reads the same flags from it, so that
// they are written once.
func (b *build) capture(user int64) object {
	in, s := b.world.Install, b.set
	config := b.world.Config
	listen := func(said int32, usual int) string {
		if said != 0 {
			return number(said)
		}
		return number(usual)
	}
	args := []string{"istio-iptables",
		"-p", listen(config.GetProxyListenPort(), 15001), "-z", listen(config.GetProxyInboundListenPort(), 15006), "-u", number(user), "-m", b.mode,
		"-i", or(s.IncludeOutboundIPRanges, "*"), "-x", or(s.ExcludeOutboundIPRanges, ""), "-b", or(s.IncludeInboundPorts, "*"), "-d", b.excludedPorts()}
	more := func(name string, value *string) {
		if value != nil && *value != "" {
			args = append(args, name, *value)
		}
	}
	more("-q", s.IncludeOutboundPorts)
	more("-o", s.ExcludeOutboundPorts)
	more("-k", s.Interfaces)
	more("-c", s.ExcludeInterfaces)
	args = append(args, "--log_output_level="+or(s.AgentLogLevel, "default:info"))
	if in.LogAsJSON {
		args = append(args, "--log_as_json")
	}
	privileged := s.Privileged != nil && *s.Privileged
	rights := object{"allowPrivilegeEscalation": privileged, "privileged": privileged,
		"capabilities":           object{"add": []string{"NET_ADMIN", "NET_RAW"}, "drop": []string{"ALL"}},
		"readOnlyRootFilesystem": false, "runAsGroup": 0, "runAsNonRoot": false, "runAsUser": 0}
	if in.CNI {
		args = append(args, "--run-validation", "--skip-rule-apply")
		rights = object{"allowPrivilegeEscalation": false, "privileged": false, "capabilities": object{"drop": []string{"ALL"}},
			"readOnlyRootFilesystem": true, "runAsGroup": user, "runAsNonRoot": true, "runAsUser": user}
	}
	c := object{"name": b.captureName(), "image": b.imageName, "args": args, "resources": resources(s.InitResources, usualResources), "securityContext": rights}
	if in.ImagePullPolicy != "" {
		c["imagePullPolicy"] = in.ImagePullPolicy
	}
	var env []object
	b.eachMetadata(func(name, value string) { env = append(env, object{"name": name, "value": value}) })
	if env != nil {
		c["env"] = env
	}
	return c
}

// captureName is that container's.
func (b *build) captureName() string {
	if b.world.Install.CNI {
		return validationName
	}
	return initName
}

// excludedPorts are those at which the sidecar and its agent are asked by who is no part of the mesh, and those that were said.
func (b *build) excludedPorts() string {
	ports := []string{number(prometheusPort), number(readyPort)}
	if said := or(b.set.ExcludeInboundPorts, ""); said != "" {
		ports = append(ports, strings.Split(said, ",")...)
	}
	if own := number(b.statusPort); b.statusPort != 0 && !slices.Contains(ports, own) {
		ports = append(ports, own)
	}
	return strings.Join(ports, ",")
}
