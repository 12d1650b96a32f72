package source

import (
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

func (c *checker) serviceEntry(e *networking.ServiceEntry) {
	c.selector("workloadSelector.labels", e.WorkloadSelector != nil, e.WorkloadSelector.GetLabels())
	if e.WorkloadSelector != nil && len(e.Endpoints) > 0 {
		c.bad("endpoints", "only one of workloadSelector or endpoints is allowed in Service Entry")
	}
	if len(e.Hosts) == 0 {
		c.bad("hosts", "service entry must have at least one host")
	}
	dynamic := e.Resolution == networking.ServiceEntry_DYNAMIC_DNS
	each(c, "hosts", e.Hosts, func(_ int, h string) {
		if h == "*" {
			c.bad("", "invalid host *")
			return
		}
		c.fault("", wildcardDomain(h))
		if err := partialWildcard(h); err != nil && !dynamic {
			c.warn("", "%v", err)
		}
		if dynamic && !strings.HasPrefix(h, "*") {
			c.bad("", "host must be wildcarded for resolution mode DYNAMIC_DNS")
		}
	})
	static := e.Resolution == networking.ServiceEntry_NONE || e.Resolution == networking.ServiceEntry_STATIC
	each(c, "addresses", e.Addresses, func(_ int, a string) {
		if c.fault("", subnet(a)); strings.Contains(a, "/") && !static {
			c.bad("", "CIDR addresses are allowed only for NONE/STATIC resolution types")
		}
	})
	numbers, names := map[uint32]bool{}, map[string]bool{}
	each(c, "ports", e.Ports, func(_ int, p *networking.ServicePort) {
		if names[p.Name] {
			c.bad("name", "service entry port name %q already defined", short(p.Name))
		}
		if numbers[p.Number] {
			c.bad("number", "service entry port %d already defined", p.Number)
		}
		numbers[p.Number], names[p.Name] = true, true
		c.fault("name", portName(p.Name))
		c.fault("protocol", protocol(p.Protocol))
		c.fault("number", port(p.Number))
		if p.TargetPort != 0 {
			c.fault("targetPort", port(p.TargetPort))
		}
		// A name alone does not tell connections apart that say none.
		if len(e.Hosts) > 1 && e.Resolution != networking.ServiceEntry_NONE && !isHTTP(p.Protocol) && !isTLS(p.Protocol) {
			c.bad("protocol", "multiple hosts provided with non-HTTP, non-TLS ports")
		}
		if dynamic && !slices.Contains([]string{"http", "tls", "grpc", "http2"}, strings.ToLower(p.Protocol)) {
			c.bad("protocol", "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for resolution type DYNAMIC_DNS")
		}
	})
	c.resolution(e, names)
	c.exportTo(e.ExportTo, true)
}

// resolution checks endpoints against how they are found.
func (c *checker) resolution(e *networking.ServiceEntry, ports map[string]bool) {
	if _, known := networking.ServiceEntry_Resolution_name[int32(e.Resolution)]; !known {
		c.bad("resolution", "unsupported resolution type %v", e.Resolution)
	}
	switch e.Resolution {
	case networking.ServiceEntry_NONE:
		if len(e.Endpoints) > 0 {
			c.bad("endpoints", "no endpoints should be provided for resolution type none")
		}
		if e.WorkloadSelector != nil {
			c.warn("workloadSelector", "should not be set when resolution mode is NONE")
		}
	case networking.ServiceEntry_STATIC:
		each(c, "endpoints", e.Endpoints, func(_ int, w *networking.WorkloadEntry) { c.workloadEntry(w, ports, false) })
	case networking.ServiceEntry_DNS, networking.ServiceEntry_DNS_ROUND_ROBIN:
		if len(e.Endpoints) == 0 {
			each(c, "hosts", e.Hosts, func(_ int, h string) {
				if fqdn(h) != nil {
					c.bad("", "hosts must be FQDN if no endpoints are provided for resolution mode %v", e.Resolution)
				}
			})
		}
		if e.Resolution == networking.ServiceEntry_DNS_ROUND_ROBIN && len(e.Endpoints) > 1 {
			c.bad("endpoints", "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN")
		}
		each(c, "endpoints", e.Endpoints, func(_ int, w *networking.WorkloadEntry) {
			if !isAddress(w.Address) && fqdn(w.Address) != nil {
				c.bad("address", "endpoint address %q is not a valid FQDN or an IP address", short(w.Address))
			}
			c.labels("labels", w.Labels)
			c.endpointPorts(w.Ports, ports)
		})
		if len(e.Addresses) > 0 && len(e.Hosts) > 1 && slices.ContainsFunc(e.Ports, func(p *networking.ServicePort) bool { return isTCP(p.Protocol) }) {
			c.warn("hosts", "service entry can not have more than one host specified simultaneously with address and tcp port")
		}
	case networking.ServiceEntry_DYNAMIC_DNS:
		if len(e.Addresses) > 0 {
			c.bad("addresses", "addresses cannot be set for resolution type DYNAMIC_DNS: the hosts say what is meant")
		}
		if len(e.Endpoints) > 0 {
			c.bad("endpoints", "endpoints cannot be set for resolution type DYNAMIC_DNS: the hosts say where requests go")
		}
	}
}

func (c *checker) endpointPorts(ports map[string]uint32, defined map[string]bool) {
	eachKey(c, "ports", ports, func(name string, n uint32) {
		if defined != nil && !defined[name] {
			c.bad("", "endpoint port %d is not defined by the service entry", n)
		}
		c.fault("", portName(name))
		c.fault("", port(n))
	})
}

func (c *checker) workloadEntry(w *networking.WorkloadEntry, ports map[string]bool, domain bool) {
	socket, isSocket := strings.CutPrefix(w.Address, unix)
	switch {
	case w.Address == "" && w.Network == "":
		c.bad("address", "address is required")
	case w.Address == "":
		c.warn("address", "address is unset with network %q", short(w.Network))
	case isSocket:
		if c.fault("address", unixPath(socket)); len(w.Ports) > 0 {
			c.bad("ports", "unix endpoint must not include ports")
		}
		if ports != nil && len(ports) != 1 {
			c.bad("address", "exactly 1 service port required for unix endpoints")
		}
	case isAddress(w.Address):
	case !domain:
		c.bad("address", "endpoint address %q is not a valid IP address", short(w.Address))
	case fqdn(w.Address) != nil:
		c.bad("address", "endpoint address %q is not a valid FQDN or an IP address", short(w.Address))
	}
	c.endpointPorts(w.Ports, ports)
	c.labels("labels", w.Labels)
}

func (c *checker) workloadGroup(g *networking.WorkloadGroup) {
	// What a workload's entry is made of: its address comes with the workload.
	if g.Template == nil {
		c.bad("template", "template is required")
	} else {
		c.at("template")
		c.endpointPorts(g.Template.Ports, nil)
		c.labels("labels", g.Template.Labels)
		c.up()
	}
	c.labels("metadata.labels", g.Metadata.GetLabels())
	c.readiness("probe", g.Probe)
}

func (c *checker) readiness(field string, p *networking.ReadinessProbe) {
	if p == nil {
		return
	}
	c.at(field)
	defer c.up()
	for _, n := range []struct {
		field string
		value int32
	}{{"periodSeconds", p.PeriodSeconds}, {"initialDelaySeconds", p.InitialDelaySeconds}, {"timeoutSeconds", p.TimeoutSeconds},
		{"successThreshold", p.SuccessThreshold}, {"failureThreshold", p.FailureThreshold}} {
		if n.value < 0 {
			c.bad(n.field, "must be non-negative")
		}
	}
	switch m := p.HealthCheckMethod.(type) {
	case *networking.ReadinessProbe_HttpGet:
		c.fault("httpGet.port", port(m.HttpGet.Port))
		if s := m.HttpGet.Scheme; s != "" && s != "HTTP" && s != "HTTPS" {
			c.bad("httpGet.scheme", "must be one of HTTP, HTTPS")
		}
		for i, h := range m.HttpGet.HttpHeaders {
			c.fault("httpGet.httpHeaders["+strconv.Itoa(i)+"].name", plainHeader(h.Name))
		}
	case *networking.ReadinessProbe_TcpSocket:
		c.fault("tcpSocket.port", port(m.TcpSocket.Port))
	case *networking.ReadinessProbe_Exec:
		if len(m.Exec.Command) == 0 {
			c.bad("exec.command", "is required")
		}
	case *networking.ReadinessProbe_Grpc:
		c.fault("grpc.port", port(m.Grpc.Port))
	default:
		c.bad("", "must say what is asked: httpGet, tcpSocket, exec or grpc")
	}
}
