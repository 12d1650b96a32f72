package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// istioVersion is that of the agent whose words are spoken, by which control planes see what a proxy takes.
const istioVersion = "1.32.0"

const (
	metaPrefix     = "ISTIO_META_"
	metaJSONPrefix = "ISTIO_METAJSON_"
	labelLocality  = "istio-locality"
	// labelHash is of a ReplicaSet's pods, and would tell all pods of a workload apart from those of its last version.
	labelHash = "pod-template-hash"
)

// maxPodFile bounds a file about the pod, in bytes: annotations have 256 KiB at most (Kubernetes).
const maxPodFile = 1 << 20

// describe makes what the node tells control planes: what is said by variables, and what is known of the pod. proxy is the ProxyConfig.
func (s *Settings) describe(proxy map[string]any, r *reader) error {
	meta := map[string]any{}
	static := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.env)) {
		value := r.env[name]
		if key, is := strings.CutPrefix(name, metaPrefix); is && key != "" {
			meta[key] = value
		} else if key, is := strings.CutPrefix(name, metaJSONPrefix); is {
			into := any(&meta)
			if key == "LABELS" {
				into = &static
			}
			if err := json.Unmarshal([]byte(value), into); err != nil {
				return fmt.Errorf("%s is no JSON object: %w", name, err)
			}
		}
	}
	labels, annotations := maps.Clone(static), map[string]string{}
	for path, into := range map[string]map[string]string{podLabels: labels, podAnnotations: annotations} {
		some, err := readPodFile(path)
		if err != nil {
			return err
		}
		delete(some, labelHash)
		maps.Copy(into, some)
	}
	if l, is := labels[labelLocality]; is {
		labels[labelLocality] = strings.ReplaceAll(l, ".", "/") // labels may have no slash
		s.locality = labels[labelLocality]
	}
	s.annotated = annotations
	whole := map[string]any{"configPath": s.ConfigPath, "discoveryAddress": s.Discovery.Address, "proxyAdminPort": s.AdminPort, "statusPort": s.AgentPort,
		"drainDuration": seconds(s.Drain), "terminationDrainDuration": seconds(s.Termination)}
	maps.Copy(whole, proxy)
	for key, value := range map[string]any{
		"INSTANCE_IPS": strings.Join(s.Addresses, ","), "NAME": s.Name, "NAMESPACE": s.Namespace, "LABELS": labels, "PROXY_CONFIG": whole,
		"ENVOY_STATUS_PORT": s.ReadyPort, "ENVOY_PROMETHEUS_PORT": s.PrometheusPort, "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": strconv.FormatBool(s.UntilIdle), "PILOT_SAN": []string{s.Discovery.Name},
	} {
		meta[key] = value
	}
	if _, said := meta["ISTIO_VERSION"]; !said {
		meta["ISTIO_VERSION"] = istioVersion
	}
	if s.Account != "" {
		meta["SERVICE_ACCOUNT"] = s.Account
	}
	if len(annotations) > 0 {
		meta["ANNOTATIONS"] = annotations
	}
	if len(static) > 0 {
		meta["STATIC_LABELS"] = static
	}
	if present(credentialsDoor) != "" {
		meta["credential"] = "true"
	}
	s.node = meta
	workload, _ := meta["WORKLOAD_NAME"].(string)
	s.service = s.serviceName(labels, workload)
	return nil
}

// seconds is a duration as protobuf writes it in JSON.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

// serviceName is what the workload calls itself in what it reports, as Istio's agent has it.
func (s *Settings) serviceName(labels map[string]string, workload string) string {
	canonical := func() string {
		for _, l := range []string{"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"} {
			if labels[l] != "" {
				return labels[l]
			}
		}
		if workload == "" {
			return "istio-proxy"
		}
		return workload
	}
	name := s.proxy.ServiceCluster
	switch s.proxy.TracingServiceName {
	case "CANONICAL_NAME_ONLY":
		name = canonical()
	case "CANONICAL_NAME_AND_NAMESPACE":
		return canonical() + "." + s.Namespace
	}
	switch {
	case name != "" && name != "istio-proxy":
		return name
	case labels["app"] != "":
		return labels["app"] + "." + s.Namespace
	case workload != "":
		return workload + "." + s.Namespace
	}
	return "istio-proxy." + s.Namespace
}

// readPodFile reads what Kubernetes tells of a pod in a file: lines of KEY="VALUE". It need not be there.
func readPodFile(path string) (map[string]string, error) {
	i, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil && i.Size() > maxPodFile {
		err = fmt.Errorf("has %d bytes: want at most %d", i.Size(), maxPodFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, quoted, is := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !is {
			continue
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("%s: the value of %s is not quoted as Kubernetes does", path, key)
		}
		out[key] = value
	}
	return out, nil
}
