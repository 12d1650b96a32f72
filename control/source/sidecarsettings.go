package source

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SidecarSettings is Object.More of an ASMProxyConfig: what it says of sidecars beside the fields of Istio's ProxyConfig, which are its spec. A nil field
// says nothing.
type SidecarSettings struct {
	Selector *struct {
		MatchLabels map[string]string `json:"matchLabels,omitempty"`
	} `json:"selector,omitempty"`
	Lifecycle     *Lifecycle `json:"lifecycle,omitempty"`
	Resources     *Resources `json:"sidecarProxyResource,omitempty"`
	InitResources *Resources `json:"sidecarProxyInitResource,omitempty"`
	// What is captured: lists with commas, of ports and of address ranges. * is all, and an empty list none.
	IncludeInboundPorts     *string `json:"includeInboundPorts,omitempty"`
	ExcludeInboundPorts     *string `json:"excludeInboundPorts,omitempty"`
	IncludeOutboundPorts    *string `json:"includeOutboundPorts,omitempty"`
	ExcludeOutboundPorts    *string `json:"excludeOutboundPorts,omitempty"`
	IncludeOutboundIPRanges *string `json:"includeOutboundIPRanges,omitempty"`
	ExcludeOutboundIPRanges *string `json:"excludeOutboundIPRanges,omitempty"`
	// DNSProxy has the sidecar answer questions about names.
	DNSProxy   *bool   `json:"istioDNSProxyEnabled,omitempty"`
	LogLevel   *string `json:"logLevel,omitempty"`
	Privileged *bool   `json:"privileged,omitempty"`
	CoreDump   *bool   `json:"enableCoreDump,omitempty"`
	// Of the sidecar's readiness probe.
	ReadinessInitialDelay     *int32 `json:"readinessInitialDelaySeconds,omitempty"`
	ReadinessPeriod           *int32 `json:"readinessPeriodSeconds,omitempty"`
	ReadinessFailureThreshold *int32 `json:"readinessFailureThreshold,omitempty"`
	// ParentShutdown is accepted, and nothing is done with it: it was for hot restarts of Envoy, which no agent does any more.
	ParentShutdown *string `json:"parentShutdownDuration,omitempty"`
}

// Resources are Kubernetes' ResourceRequirements, as far as they are quantities: cpu and memory, by their names.
type Resources struct {
	Requests map[string]Amount `json:"requests,omitempty"`
	Limits   map[string]Amount `json:"limits,omitempty"`
}

// Amount is Kubernetes' Quantity, such as 100m or 128Mi. It may be written as a number, too.
type Amount string

// UnmarshalJSON takes a word or a number.
func (a *Amount) UnmarshalJSON(b []byte) error {
	var n json.Number
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(a))
	}
	err := json.Unmarshal(b, &n)
	*a = Amount(n)
	return err
}

// Lifecycle is Kubernetes' Lifecycle of a container.
type Lifecycle struct {
	PostStart *Hook `json:"postStart,omitempty"`
	PreStop   *Hook `json:"preStop,omitempty"`
}

// Hook is one of the ways to do something when a container starts or ends.
type Hook struct {
	Exec *struct {
		Command []string `json:"command,omitempty"`
	} `json:"exec,omitempty"`
	HTTPGet *struct {
		Path        string     `json:"path,omitempty"`
		Port        TargetPort `json:"port,omitzero"`
		Host        string     `json:"host,omitempty"`
		Scheme      string     `json:"scheme,omitempty"`
		HTTPHeaders []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"httpHeaders,omitempty"`
	} `json:"httpGet,omitempty"`
	Sleep *struct {
		Seconds int64 `json:"seconds"`
	} `json:"sleep,omitempty"`
}

// Labels are those that a workload has to have for an ASMProxyConfig to be about it; empty: it is about all.
func (s *SidecarSettings) Labels() map[string]string {
	if s == nil || s.Selector == nil {
		return nil
	}
	return s.Selector.MatchLabels
}

// ReadSidecarSettings reads what an ASMProxyConfig says in its spec, where nothing stands around it: an annotation, or a part of a file.
func ReadSidecarSettings(data []byte, from Origin) (*Object, []Problem) {
	return readSetting(ASMProxyConfig, data, from)
}

// sidecarSettings takes what is not Istio's out of an ASMProxyConfig.
func (t *taken) sidecarSettings(spec *yaml.Node) *SidecarSettings {
	s := &SidecarSettings{}
	for _, one := range []struct {
		name string
		into any
	}{{"selector", &s.Selector}, {"lifecycle", &s.Lifecycle}, {"sidecarProxyResource", &s.Resources}, {"sidecarProxyInitResource", &s.InitResources},
		{"includeInboundPorts", &s.IncludeInboundPorts}, {"excludeInboundPorts", &s.ExcludeInboundPorts}, {"includeOutboundPorts", &s.IncludeOutboundPorts},
		{"excludeOutboundPorts", &s.ExcludeOutboundPorts}, {"includeOutboundIPRanges", &s.IncludeOutboundIPRanges},
		{"excludeOutboundIPRanges", &s.ExcludeOutboundIPRanges}, {"istioDNSProxyEnabled", &s.DNSProxy}, {"logLevel", &s.LogLevel}, {"privileged", &s.Privileged},
		{"enableCoreDump", &s.CoreDump}, {"readinessInitialDelaySeconds", &s.ReadinessInitialDelay}, {"readinessPeriodSeconds", &s.ReadinessPeriod},
		{"readinessFailureThreshold", &s.ReadinessFailureThreshold}, {"parentShutdownDuration", &s.ParentShutdown}} {
		t.lift("", spec, one.name, one.into)
	}
	var smc struct {
		Enabled bool `json:"enabled"`
	}
	if name, is := t.lift("", spec, "smcConfiguration", &smc); is && smc.Enabled {
		t.refuse("smcConfiguration", name, "shared memory (SMC-R)")
	}
	for _, slo := range []string{"sidecarProxyAckSloResource", "sidecarProxyInitAckSloResource"} {
		var r *Resources
		t.read("", spec, []string{slo}, &r)
	}
	return s
}

// sidecarSettings checks them.
func (c *checker) sidecarSettings(s *SidecarSettings) {
	if s == nil {
		return
	}
	if s.Selector != nil {
		c.selector("selector.matchLabels", true, s.Selector.MatchLabels)
	}
	text := func(field string, value *string, rule func(string) error) {
		if value != nil {
			c.fault(field, rule(*value))
		}
	}
	text("includeInboundPorts", s.IncludeInboundPorts, OrAll(PortList))
	text("excludeInboundPorts", s.ExcludeInboundPorts, PortList)
	text("includeOutboundPorts", s.IncludeOutboundPorts, PortList)
	text("excludeOutboundPorts", s.ExcludeOutboundPorts, PortList)
	text("includeOutboundIPRanges", s.IncludeOutboundIPRanges, OrAll(RangeList))
	text("excludeOutboundIPRanges", s.ExcludeOutboundIPRanges, RangeList)
	text("logLevel", s.LogLevel, LogLevel)
	for _, r := range []struct {
		field string
		*Resources
	}{{"sidecarProxyResource", s.Resources}, {"sidecarProxyInitResource", s.InitResources}} {
		if r.Resources == nil {
			continue
		}
		quantity := func(_ string, q Amount) { c.fault("", Quantity(string(q))) }
		eachKey(c, r.field+".requests", r.Requests, quantity)
		eachKey(c, r.field+".limits", r.Limits, quantity)
	}
	for _, n := range []struct {
		field string
		is    *int32
		least int32
	}{{"readinessInitialDelaySeconds", s.ReadinessInitialDelay, 0}, {"readinessPeriodSeconds", s.ReadinessPeriod, 1},
		{"readinessFailureThreshold", s.ReadinessFailureThreshold, 1}} {
		if n.is != nil && *n.is < n.least {
			c.bad(n.field, "must be at least %d", n.least)
		}
	}
	if l := s.Lifecycle; l != nil {
		for _, h := range []struct {
			field string
			*Hook
		}{{"lifecycle.postStart", l.PostStart}, {"lifecycle.preStop", l.PreStop}} {
			if h.Hook != nil && oneOf(h.Exec != nil, h.HTTPGet != nil, h.Sleep != nil) != 1 {
				c.bad(h.field, "want one of exec, httpGet and sleep")
			}
		}
	}
	if s.CoreDump != nil && *s.CoreDump {
		c.warn("enableCoreDump", "is not run: a pod that may change where its node's kernel writes cores may do anything there: set kernel.core_pattern on nodes")
	}
	if s.ParentShutdown != nil {
		c.warn("parentShutdownDuration", "nothing is done with it: no agent restarts its proxy any more")
	}
}

// OrAll is a rule of lists that takes * as well, which is all.
func OrAll(rule func(string) error) func(string) error {
	return func(s string) error {
		if s == "*" {
			return nil
		}
		return rule(s)
	}
}

// PortList says what is wrong with a list of ports with commas, such as 80,8443. An empty one is none.
func PortList(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		if n, err := strconv.ParseUint(one, 10, 16); s != "" && (err != nil || n == 0 || strconv.FormatUint(n, 10) != one) {
			return fmt.Errorf("%q is no port: want numbers from 1 to 65535 with commas between them", short(one))
		}
	}
	return nil
}

// RangeList says what is wrong with a list of address ranges with commas, such as 10.0.0.0/8,fd00::/8. An empty one is none.
func RangeList(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		if _, err := netip.ParsePrefix(one); s != "" && err != nil {
			return fmt.Errorf("%q is no range of addresses: want such as 10.0.0.0/8, with commas between them", short(one))
		}
	}
	return nil
}

// quantities are as Kubernetes writes them.
var quantities = regexp.MustCompile(`^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`)

// Quantity says what is wrong with an amount of something, such as 100m or 128Mi.
func Quantity(s string) error {
	if len(s) > 32 || !quantities.MatchString(s) || s[0] == '-' {
		return fmt.Errorf("%q is no amount: want such as 100m of cpu, or 128Mi of memory", short(s))
	}
	return nil
}

// logLevels are Envoy's.
var logLevels = []string{"trace", "debug", "info", "warning", "warn", "error", "critical", "off"}

// LogLevel says what is wrong with the level of a proxy's log.
func LogLevel(s string) error {
	if !slices.Contains(logLevels, s) {
		return fmt.Errorf("%q is no level: want one of %s", short(s), strings.Join(logLevels, ", "))
	}
	return nil
}
