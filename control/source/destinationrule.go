package source

import (
	"fmt"
	"math"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

func (c *checker) destinationRule(d *networking.DestinationRule) {
	c.fault("host", wildcardDomain(d.Host))
	c.trafficPolicy(d.TrafficPolicy)
	seen := map[string]bool{}
	each(c, "subsets", d.Subsets, func(_ int, s *networking.Subset) {
		switch {
		case s.Name == "":
			c.bad("name", "subset name cannot be empty")
		case !isLabel(s.Name):
			c.bad("name", "subset name is invalid: %s", short(s.Name))
		case seen[s.Name]:
			c.bad("name", "duplicate subset names: %s", s.Name)
		}
		seen[s.Name] = true
		c.labels("labels", s.Labels)
		c.trafficPolicy(s.TrafficPolicy)
	})
	c.exportTo(d.ExportTo, false)
	if d.WorkloadSelector == nil {
		return
	}
	for _, to := range d.ExportTo {
		if to != "." && to != c.object.Namespace {
			c.bad("exportTo", "destination rule with workload selector cannot have exportTo beyond current namespace")
			break
		}
	}
	c.selector("workloadSelector.matchLabels", true, d.WorkloadSelector.MatchLabels)
}

func (c *checker) trafficPolicy(p *networking.TrafficPolicy) {
	if p == nil {
		return
	}
	c.at("trafficPolicy")
	defer c.up()
	if p.OutlierDetection == nil && p.ConnectionPool == nil && p.LoadBalancer == nil && p.Tls == nil && p.PortLevelSettings == nil &&
		p.Tunnel == nil && p.ProxyProtocol == nil && p.RetryBudget == nil {
		c.bad("", "traffic policy must have at least one field")
	}
	if p.Tunnel != nil && p.ProxyProtocol != nil {
		c.bad("proxyProtocol", "tunnel and proxyProtocol must not be set together")
	}
	c.outlier(p.OutlierDetection)
	c.connectionPool("connectionPool", p.ConnectionPool)
	c.loadBalancer(p.LoadBalancer, p.OutlierDetection)
	c.clientTLS("tls", p.Tls)
	each(c, "portLevelSettings", p.PortLevelSettings, func(_ int, s *networking.TrafficPolicy_PortTrafficPolicy) {
		if s.Port == nil {
			c.bad("port", "must have valid port")
		} else {
			c.fault("port.number", port(s.Port.Number))
		}
		if s.OutlierDetection == nil && s.ConnectionPool == nil && s.LoadBalancer == nil && s.Tls == nil {
			c.bad("", "port traffic policy must have at least one field")
		}
		c.outlier(s.OutlierDetection)
		c.connectionPool("connectionPool", s.ConnectionPool)
		c.loadBalancer(s.LoadBalancer, s.OutlierDetection)
		c.clientTLS("tls", s.Tls)
	})
	if t := p.Tunnel; t != nil {
		if t.Protocol != "" && t.Protocol != "CONNECT" && t.Protocol != "POST" {
			c.bad("tunnel.protocol", `tunnel protocol must be "CONNECT" or "POST"`)
		}
		if fqdn(t.TargetHost) != nil && !isAddress(t.TargetHost) {
			c.bad("tunnel.targetHost", "tunnel target host must be valid FQDN or IP address")
		}
		c.fault("tunnel.targetPort", port(t.TargetPort))
	}
	if v := p.ProxyProtocol.GetVersion(); v != 0 && v != 1 {
		c.bad("proxyProtocol.version", "proxy protocol version is invalid: %d", v)
	}
	if b := p.RetryBudget; b != nil {
		c.share("retryBudget.percent", &networking.Percent{Value: b.Percent.GetValue()})
	}
}

func (c *checker) outlier(o *networking.OutlierDetection) {
	if o == nil {
		return
	}
	c.at("outlierDetection")
	c.fault("baseEjectionTime", duration(o.BaseEjectionTime))
	c.fault("interval", duration(o.Interval))
	if o.ConsecutiveErrors != 0 { //nolint:staticcheck // people still write it
		c.warn("consecutiveErrors", "is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors instead")
	}
	if !o.SplitExternalLocalOriginErrors && o.ConsecutiveLocalOriginFailures.GetValue() > 0 {
		c.bad("consecutiveLocalOriginFailures", "is specified, but splitExternalLocalOriginErrors is set to false")
	}
	c.fault("maxEjectionPercent", percent(o.MaxEjectionPercent))
	c.fault("minHealthPercent", percent(o.MinHealthPercent))
	c.up()
}

func (c *checker) connectionPool(field string, p *networking.ConnectionPoolSettings) {
	if p == nil {
		return
	}
	c.at(field)
	defer c.up()
	if p.Http == nil && p.Tcp == nil {
		c.bad("", "connection pool must have at least one field")
	}
	positive := func(field string, n int32) {
		if n < 0 {
			c.bad(field, "must be non-negative")
		}
	}
	if h := p.Http; h != nil {
		c.at("http")
		positive("http1MaxPendingRequests", h.Http1MaxPendingRequests)
		positive("http2MaxRequests", h.Http2MaxRequests)
		positive("maxRequestsPerConnection", h.MaxRequestsPerConnection)
		positive("maxRetries", h.MaxRetries)
		positive("maxConcurrentStreams", h.MaxConcurrentStreams)
		c.fault("idleTimeout", duration(h.IdleTimeout))
		if h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE && h.UseClientProtocol {
			c.bad("useClientProtocol", "must not be true when h2UpgradePolicy is UPGRADE")
		}
		if k := h.Http2KeepAlive; k != nil {
			if k.Interval == nil {
				c.bad("http2KeepAlive.interval", "is required")
			}
			if k.Timeout == nil {
				c.bad("http2KeepAlive.timeout", "is required")
			}
			c.fault("http2KeepAlive.interval", duration(k.Interval))
			c.fault("http2KeepAlive.timeout", duration(k.Timeout))
		}
		c.up()
	}
	if t := p.Tcp; t != nil {
		c.at("tcp")
		positive("maxConnections", t.MaxConnections)
		c.fault("connectTimeout", duration(t.ConnectTimeout))
		c.fault("maxConnectionDuration", duration(t.MaxConnectionDuration))
		if t.IdleTimeout.AsDuration() != 0 { // 0 switches it off
			c.fault("idleTimeout", duration(t.IdleTimeout))
		}
		c.fault("tcpKeepalive.time", duration(t.TcpKeepalive.GetTime()))
		c.fault("tcpKeepalive.interval", duration(t.TcpKeepalive.GetInterval()))
		c.up()
	}
}

func (c *checker) loadBalancer(lb *networking.LoadBalancerSettings, outlier *networking.OutlierDetection) {
	if lb == nil {
		return
	}
	c.at("loadBalancer")
	defer c.up()
	if h := lb.GetConsistentHash(); h != nil {
		c.at("consistentHash")
		c.consistentHash(h)
		c.up()
	}
	if lb.LocalityLbSetting != nil && lb.ZoneAwareLbSetting != nil {
		c.bad("zoneAwareLbSetting", "only one of localityLbSetting and zoneAwareLbSetting can be set")
	}
	c.locality("localityLbSetting", lb.LocalityLbSetting, outlier != nil)
	if z := lb.ZoneAwareLbSetting; z != nil {
		c.zoneAware(z, outlier != nil)
	}
	if w := lb.Warmup; w != nil {
		if w.Duration == nil {
			c.bad("warmup.duration", "duration is required")
		}
		c.fault("warmup.duration", duration(w.Duration))
		if w.MinimumPercent.GetValue() > 100 {
			c.bad("warmup.minimumPercent", "value should be less than or equal to 100")
		}
		if w.Aggression != nil && !(w.Aggression.Value > 0) {
			c.bad("warmup.aggression", "should be greater than 0")
		}
	}
}

func (c *checker) consistentHash(h *networking.LoadBalancerSettings_ConsistentHashLB) {
	if h.HashKey == nil {
		c.warn("", "says nothing that is hashed: httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	}
	if k := h.GetHttpCookie(); k != nil {
		if k.Name == "" {
			c.bad("httpCookie.name", "name required for HttpCookie")
		}
		seen := map[string]bool{}
		each(c, "httpCookie.attributes", k.Attributes, func(_ int, a *networking.LoadBalancerSettings_ConsistentHashLB_HTTPCookie_Attribute) {
			switch {
			case a.Name == "":
				c.bad("name", "cookie attribute name cannot be empty")
			case seen[a.Name]:
				c.bad("name", "duplicate cookie attribute name: %s", short(a.Name))
			}
			seen[a.Name] = true
		})
	}
	if h.MinimumRingSize != 0 { //nolint:staticcheck // people still write it
		c.warn("minimumRingSize", "is deprecated, use ringHash instead")
		if h.HashAlgorithm != nil {
			c.bad("minimumRingSize", "only one of minimumRingSize, maglev and ringHash can be specified")
		}
	}
	if m := h.GetMaglev(); m != nil {
		const most = 5_000_011
		switch n := m.TableSize; {
		case n == 0:
			c.bad("maglev.tableSize", "tableSize must be set for maglev")
		case n >= most:
			c.bad("maglev.tableSize", "tableSize must be less than %d for maglev", most)
		case !prime(n):
			c.bad("maglev.tableSize", "tableSize must be a prime number for maglev")
		}
	}
}

func prime(n uint64) bool {
	for f := uint64(2); f <= uint64(math.Sqrt(float64(n))); f++ {
		if n%f == 0 {
			return false
		}
	}
	return n > 1
}

// Labels of where something runs, which locality rules use without being told to.
var topology = []string{"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"}

func (c *checker) locality(field string, l *networking.LocalityLoadBalancerSetting, outlier bool) {
	if l == nil {
		return
	}
	c.at(field)
	defer c.up()
	if len(l.Distribute) > 0 && len(l.Failover) > 0 {
		c.bad("failover", "can not simultaneously specify 'distribute' and 'failover'")
	}
	if len(l.Failover) > 0 {
		each(c, "failoverPriority", l.FailoverPriority, func(_ int, p string) {
			if slices.Contains(topology, p) {
				c.bad("", "can not simultaneously set 'failover' and topology label '%s' in 'failoverPriority'", p)
			}
		})
	}
	var from []string
	each(c, "distribute", l.Distribute, func(_ int, d *networking.LocalityLoadBalancerSetting_Distribute) {
		from = append(from, d.From)
		total := uint64(0)
		var to []string
		eachKey(c, "to", d.To, func(where string, weight uint32) {
			to = append(to, where)
			if weight == 0 || weight > 100 {
				c.bad("", "locality weight must be in range [1, 100]")
			}
			total += uint64(weight)
		})
		if total != 100 {
			c.bad("to", "total locality weight %d != 100", total)
		}
		c.fault("to", localities(to))
	})
	c.fault("distribute", localities(from))
	if (len(l.Failover) > 0 || len(l.FailoverPriority) > 0) && !outlier {
		c.warn("", "outlier detection policy must be provided for failover")
	}
	each(c, "failover", l.Failover, func(_ int, f *networking.LocalityLoadBalancerSetting_Failover) { c.failover(f.From, f.To) })
}

func (c *checker) failover(from, to string) {
	switch {
	case from == to:
		c.bad("", "failover settings must specify different regions")
	case strings.Contains(from, "/") || strings.Contains(to, "/"):
		c.bad("", "failover only specifies regions")
	case strings.Contains(from, "*") || strings.Contains(to, "*"):
		c.bad("", "failover region should not contain '*' wildcard")
	}
}

func (c *checker) zoneAware(z *networking.ZoneAwareLoadBalancerSetting, outlier bool) {
	c.at("zoneAwareLbSetting")
	each(c, "failoverPriority", z.FailoverPriority, func(_ int, p string) {
		if slices.Contains(topology, p) {
			c.bad("", "must not use topology label '%s'; regions and zones are handled automatically", p)
		}
	})
	if (len(z.Failover) > 0 || len(z.FailoverPriority) > 0) && !outlier {
		c.warn("", "outlier detection policy must be provided for failover")
	}
	for i, f := range z.Failover {
		c.at("failover" + indexStep(i))
		c.failover(f.From, f.To)
		c.up()
	}
	c.up()
}

// localities checks that places do not lie in one another.
func localities(list []string) error {
	covers := func(a, b string) bool {
		a = strings.TrimSuffix(strings.TrimSuffix(a, "*"), "/")
		return a == "" || a == b || strings.HasPrefix(b, a+"/")
	}
	const most = 1000 // each is compared with each
	if len(list) > most {
		return fmt.Errorf("more than %d localities", most)
	}
	for i, l := range list {
		if n := strings.Count(l, "*"); n > 1 || n == 1 && !strings.HasSuffix(l, "*") {
			return fmt.Errorf("locality %s wildcard '*' number can not exceed 1 and must be in the end", short(l))
		}
		for part := range strings.SplitSeq(l, "/") {
			if part == "" {
				return fmt.Errorf("locality %s must not contain empty region/zone/subzone info", short(l))
			}
		}
		for _, other := range list[:i] {
			if covers(l, other) || covers(other, l) {
				return fmt.Errorf("locality %s overlap with previous specified ones", short(l))
			}
		}
	}
	return nil
}

// clientTLS checks how upstreams are spoken to.
func (c *checker) clientTLS(field string, t *networking.ClientTLSSettings) {
	if t == nil {
		return
	}
	c.at(field)
	defer c.up()
	simple, mutual := t.Mode == networking.ClientTLSSettings_SIMPLE, t.Mode == networking.ClientTLSSettings_MUTUAL
	if rest, is := strings.CutPrefix(t.CredentialName, "configmap://"); is {
		if namespace, name, scoped := strings.Cut(rest, "/"); name == "" && scoped || rest == "" {
			c.bad("credentialName", "names no ConfigMap: write configmap://name")
		} else if scoped && namespace != c.object.Namespace {
			c.bad("credentialName", "namespace must match the configuration namespace %q", c.object.Namespace)
		}
	}
	if t.InsecureSkipVerify.GetValue() {
		switch {
		case simple && (t.CaCertificates != "" || t.CredentialName != "" || len(t.SubjectAltNames) > 0):
			c.bad("insecureSkipVerify", "cannot be true with caCertificates, credentialName or subjectAltNames")
		case mutual && (t.CaCertificates != "" || len(t.SubjectAltNames) > 0):
			c.bad("insecureSkipVerify", "cannot be true with caCertificates or subjectAltNames")
		}
	}
	if (simple || mutual) && t.CredentialName != "" {
		if t.ClientCertificate != "" || t.CaCertificates != "" || t.PrivateKey != "" || t.CaCrl != "" {
			c.bad("credentialName", "cannot be with clientCertificate, privateKey, caCertificates or caCrl")
		}
		return
	}
	if mutual && t.ClientCertificate == "" {
		c.bad("clientCertificate", "client certificate required for mutual tls")
	}
	if mutual && t.PrivateKey == "" {
		c.bad("privateKey", "private key required for mutual tls")
	}
}
