package sidecar

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// proxyConfig is what is read of a ProxyConfig of Istio's. The rest of it is the control plane's or the injector's, is on one of the lists below, or is told of.
type proxyConfig struct {
	ConfigPath               string            `yaml:"configPath"`
	ServiceCluster           string            `yaml:"serviceCluster"`
	TracingServiceName       string            `yaml:"tracingServiceName"`
	DrainDuration            duration          `yaml:"drainDuration"`
	TerminationDrainDuration duration          `yaml:"terminationDrainDuration"`
	DiscoveryAddress         string            `yaml:"discoveryAddress"`
	ProxyAdminPort           uint16            `yaml:"proxyAdminPort"`
	StatusPort               *int              `yaml:"statusPort"`
	ControlPlaneAuthPolicy   string            `yaml:"controlPlaneAuthPolicy"`
	Concurrency              *int              `yaml:"concurrency"`
	ProxyMetadata            map[string]string `yaml:"proxyMetadata"`
	RuntimeValues            map[string]string `yaml:"runtimeValues"`
	ExtraStatTags            []string          `yaml:"extraStatTags"`
	FileFlushInterval        duration          `yaml:"fileFlushInterval"`
	FileFlushMinSizeKB       *uint             `yaml:"fileFlushMinSizeKb"`
	ReadinessProbe           map[string]any    `yaml:"readinessProbe"` // sidecar/status reads it
	ProxyStatsMatcher        struct {
		InclusionPrefixes []string `yaml:"inclusionPrefixes"`
		InclusionSuffixes []string `yaml:"inclusionSuffixes"`
		InclusionRegexps  []string `yaml:"inclusionRegexps"`
	} `yaml:"proxyStatsMatcher"`
}

// Of a ProxyConfig's fields:
var (
	// proxyElsewhere are the control plane's and the injector's, which read them from the node's metadata, where all of it is, or beforehand.
	proxyElsewhere = []string{"availabilityZone", "gatewayTopology", "holdApplicationUntilProxyStarts", "image", "interceptionMode", "meshId", "proxyHeaders"}
	// proxyHarmless change nothing here.
	proxyHarmless = []string{"binaryPath", "parentShutdownDuration", "connectTimeout", "statNameLength", "statsCompression", "proxyHealthyPort"}
)

// duration is one as protobuf writes it in JSON.
type duration struct {
	time.Duration
	said bool
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *duration) UnmarshalYAML(n *yaml.Node) (err error) {
	d.said = true
	if d.Duration, err = time.ParseDuration(n.Value); err == nil && d.Duration < 0 {
		err = errors.New("is below nothing")
	}
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration: want one such as 5s", n.Line, n.Value)
	}
	return nil
}

func (d duration) or(usual time.Duration) time.Duration {
	if d.said {
		return d.Duration
	}
	return usual
}

// maxProxyConfig bounds a ProxyConfig, in bytes: an environment has no more than 128 KiB for one variable (Linux, MAX_ARG_STRLEN).
const maxProxyConfig = 128 << 10

// readProxyConfig reads a ProxyConfig in JSON or YAML, also as a map, as the node tells it. said is what of it is not run.
func readProxyConfig(text string) (c proxyConfig, all map[string]any, said []string, err error) {
	all = map[string]any{}
	if len(text) > maxProxyConfig {
		return c, nil, nil, fmt.Errorf("PROXY_CONFIG has %d bytes: want at most %d", len(text), maxProxyConfig)
	}
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		return c, nil, nil, fmt.Errorf("PROXY_CONFIG is neither JSON nor YAML of a ProxyConfig: %w", err)
	}
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		return c, nil, nil, fmt.Errorf("PROXY_CONFIG: %w", err)
	}
	if all == nil { // it is empty
		all = map[string]any{}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch why := proxyUnused[name]; {
		case slices.Contains(proxyElsewhere, name), slices.Contains(proxyHarmless, name), slices.Contains(proxyRun, name):
		case why != "":
			said = append(said, "PROXY_CONFIG "+name+": "+why)
		default:
			said = append(said, "PROXY_CONFIG "+name+": is no field that is known here, and does nothing")
		}
	}
	return c, all, said, nil
}

// proxyUnused are fields that ask for what is not here.
var proxyUnused = map[string]string{
	"statsdUdpAddress":           "statistics are pulled, not pushed",
	"envoyMetricsService":        "statistics are pulled, not pushed",
	"envoyMetricsServiceAddress": "statistics are pulled, not pushed",
	"envoyAccessLogService":      "name a provider of access logs in the mesh's configuration instead",
	"tracing":                    "the tracer is the one that the control plane names; what is said here is told to it",
	"zipkinAddress":              "the tracer is the one that the control plane names",
	"customConfigFile":           "the bootstrap is made here; a whole one of your own is taken by weft -c",
	"proxyBootstrapTemplatePath": "the bootstrap is made here; a piece of your own is merged by ISTIO_BOOTSTRAP_OVERRIDE",
	"privateKeyProvider":         "operations of private keys are done together where the processor can",
	"caCertificatesPem":          "roots are those of XDS_ROOT_CA and CA_ROOT_CA",
}

// proxyRun are the fields of proxyConfig, by the names that are written.
var proxyRun = []string{"configPath", "serviceCluster", "tracingServiceName", "drainDuration", "terminationDrainDuration", "discoveryAddress", "proxyAdminPort", "statusPort", "controlPlaneAuthPolicy",
	"concurrency", "proxyMetadata", "runtimeValues", "extraStatTags", "fileFlushInterval", "fileFlushMinSizeKb", "proxyStatsMatcher", "readinessProbe"}

// plain says that the control plane is spoken to in plain text.
func (c *proxyConfig) plain() (bool, error) {
	switch strings.ToUpper(c.ControlPlaneAuthPolicy) {
	case "", "MUTUAL_TLS":
		return false, nil
	case "NONE":
		return true, nil
	}
	return false, fmt.Errorf("PROXY_CONFIG controlPlaneAuthPolicy is %q: want MUTUAL_TLS or NONE", c.ControlPlaneAuthPolicy)
}
