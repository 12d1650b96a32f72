package source

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	security "istio.io/api/security/v1beta1"
	typebeta "istio.io/api/type/v1beta1"
)

// targets checks which workloads a policy is for.
func (c *checker) targets(s *typebeta.WorkloadSelector, one *typebeta.PolicyTargetReference, several []*typebeta.PolicyTargetReference) {
	if oneOf(s != nil, one != nil, len(several) > 0) > 1 {
		c.bad("targetRefs", "only one of targetRefs or selector can be set")
	}
	c.selector("selector.matchLabels", s != nil, s.GetMatchLabels())
	ref := func(r *typebeta.PolicyTargetReference) {
		if r.Name == "" {
			c.bad("name", "targetRef name must be set")
		}
		if r.Namespace != "" {
			c.bad("namespace", "targetRef namespace must not be set; cross namespace referencing is not supported")
		}
		switch group := strings.TrimSuffix(r.Group, "core"); group + "/" + r.Kind {
		case "/Service", "networking.istio.io/ServiceEntry", "gateway.networking.k8s.io/Gateway", "gateway.networking.k8s.io/GatewayClass":
		default:
			c.bad("kind", "targetRef must be to one of Service, ServiceEntry, Gateway, GatewayClass but was %s/%s", short(r.Group), short(r.Kind))
		}
	}
	if one != nil {
		c.at("targetRef")
		ref(one)
		c.up()
	}
	each(c, "targetRefs", several, func(_ int, r *typebeta.PolicyTargetReference) { ref(r) })
}

func (c *checker) peerAuthentication(p *security.PeerAuthentication) {
	c.selector("selector.matchLabels", p.Selector != nil, p.Selector.GetMatchLabels())
	if len(p.Selector.GetMatchLabels()) == 0 && len(p.PortLevelMtls) > 0 {
		c.bad("portLevelMtls", "mesh/namespace peer authentication cannot have port level mTLS")
	}
	for n := range p.PortLevelMtls {
		c.fault("portLevelMtls."+strconv.Itoa(int(n)), port(n))
	}
}

func (c *checker) requestAuthentication(r *security.RequestAuthentication) {
	c.targets(r.Selector, r.TargetRef, r.TargetRefs)
	each(c, "jwtRules", r.JwtRules, func(_ int, j *security.JWTRule) {
		filled := func(field string, list []string, text string) {
			each(c, field, list, func(_ int, s string) {
				if s == "" {
					c.bad("", "%s", text)
				}
			})
		}
		filled("audiences", j.Audiences, "audience must be non-empty string")
		if j.Issuer == "" && j.JwksUri == "" {
			c.bad("issuer", "issuer or jwksUri must be non-empty string")
		}
		if j.JwksUri != "" {
			c.fault("jwksUri", keysURI(j.JwksUri))
		}
		if j.Jwks != "" {
			c.keys(j.Jwks)
		}
		each(c, "fromHeaders", j.FromHeaders, func(_ int, h *security.JWTHeader) {
			if h.Name == "" {
				c.bad("name", "location header name must be non-empty string")
			} else {
				c.fault("name", headerName(h.Name))
			}
		})
		filled("fromParams", j.FromParams, "location query must be non-empty string")
		filled("fromCookies", j.FromCookies, "cookie name must be non-empty string")
		each(c, "outputClaimToHeaders", j.OutputClaimToHeaders, func(_ int, o *security.ClaimToHeader) {
			if o.Claim == "" || o.Header == "" {
				c.bad("", "outputClaimToHeaders header and claim value must be non-empty string")
				return
			}
			c.fault("header", plainHeader(o.Header))
		})
		filled("spaceDelimitedClaims", j.SpaceDelimitedClaims, "claim must be non-empty string")
		c.fault("timeout", duration(j.Timeout))
	})
}

// keysURI checks where keys are fetched. That nobody is sent to this machine's own ports is for those to see who fetch.
func keysURI(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no URI", short(s))
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("URI scheme %q is not supported: http or https", short(u.Scheme))
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host", short(s))
	case u.Port() != "":
		return portText(u.Port())
	}
	return nil
}

// keys checks keys that are written out.
func (c *checker) keys(text string) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		c.bad("jwks", "jwks parse error: %v", err)
		return
	}
	if set.Keys == nil { // one key by itself
		var one map[string]any
		json.Unmarshal([]byte(text), &one)
		set.Keys = []map[string]any{one}
	}
	for i, k := range set.Keys {
		kind, _ := k["kty"].(string)
		switch kind {
		case "RSA", "EC", "OKP", "oct":
		default:
			c.bad("jwks", "jwks parse error: key %d has no kty that is known: RSA, EC, OKP, oct", i)
		}
		if k["d"] != nil || kind == "oct" {
			c.warn("jwks", "jwks key at index %d contains private key material; only public keys are used for verification", i)
		}
	}
}

func (c *checker) authorizationPolicy(a *security.AuthorizationPolicy) {
	c.targets(a.Selector, a.TargetRef, a.TargetRefs)
	custom := a.Action == security.AuthorizationPolicy_CUSTOM
	switch {
	case custom && len(a.Rules) == 0:
		c.bad("rules", "CUSTOM action without `rules` is meaningless as it will never be triggered, add an empty rule `{}` if you want it be triggered for every request")
	case custom && a.GetProvider().GetName() == "":
		c.bad("provider.name", "`provider.name` must not be empty")
	case !custom && a.GetProvider() != nil:
		c.bad("provider", "`provider` must not be with non CUSTOM action, found %v", a.Action)
	case a.Action == security.AuthorizationPolicy_DENY && len(a.Rules) == 0:
		c.bad("rules", "DENY action without `rules` is meaningless as it will never be triggered, add an empty rule `{}` if you want it be triggered for every request")
	}
	each(c, "rules", a.Rules, func(_ int, r *security.Rule) {
		from, fromTCP := false, false
		each(c, "from", r.From, func(_ int, f *security.Rule_From) {
			if f.Source == nil {
				c.bad("source", "`from.source` must not be nil")
				return
			}
			c.at("source")
			from = true
			fromTCP = c.sourceOf(f.Source, custom) || fromTCP
			c.up()
		})
		to, toTCP := false, false
		each(c, "to", r.To, func(_ int, t *security.Rule_To) {
			if t.Operation == nil {
				c.bad("operation", "`to.operation` must not be nil")
				return
			}
			c.at("operation")
			to = true
			toTCP = c.operation(t.Operation) || toTCP
			c.up()
		})
		each(c, "when", r.When, func(_ int, w *security.Condition) { c.condition(w, custom) })
		if a.Action == security.AuthorizationPolicy_DENY && (from && !to && !fromTCP || to && !toTCP) {
			c.warn("", "will deny all traffic to TCP ports under its scope due to the use of only HTTP attributes in a DENY rule; it is recommended to explicitly specify the port")
		}
	})
}

// listed is a list of a policy's and its opposite.
type listed struct {
	field string
	list  []string
}

// filled checks that lists have no empty values, and says whether they have any at all.
func (c *checker) filled(lists []listed) (any bool) {
	for _, l := range lists {
		any = any || len(l.list) > 0
		each(c, l.field, l.list, func(_ int, s string) {
			if s == "" {
				c.bad("", "empty value not allowed")
			}
		})
	}
	return any
}

// sourceOf checks whom a rule is about, and says whether it can be told of connections that are no HTTP.
func (c *checker) sourceOf(s *security.Source, custom bool) (tcp bool) {
	lists := []listed{{"principals", s.Principals}, {"notPrincipals", s.NotPrincipals}, {"namespaces", s.Namespaces}, {"notNamespaces", s.NotNamespaces},
		{"serviceAccounts", s.ServiceAccounts}, {"notServiceAccounts", s.NotServiceAccounts}, {"ipBlocks", s.IpBlocks}, {"notIpBlocks", s.NotIpBlocks},
		{"remoteIpBlocks", s.RemoteIpBlocks}, {"notRemoteIpBlocks", s.NotRemoteIpBlocks}, {"requestPrincipals", s.RequestPrincipals},
		{"notRequestPrincipals", s.NotRequestPrincipals}, {"trustDomains", s.TrustDomains}, {"notTrustDomains", s.NotTrustDomains}}
	if !c.filled(lists) {
		c.bad("", "`from.source` must not be empty")
	}
	const last = 10 // of those that need no HTTP
	for i, l := range lists {
		if len(l.list) == 0 {
			continue
		}
		tcp = tcp || i < last
		if custom && !strings.HasSuffix(strings.ToLower(l.field), "ipblocks") {
			c.bad(l.field, "is currently not supported with CUSTOM action")
		}
	}
	if len(s.Principals)+len(s.NotPrincipals)+len(s.Namespaces)+len(s.NotNamespaces) > 0 && len(s.ServiceAccounts)+len(s.NotServiceAccounts) > 0 {
		c.bad("serviceAccounts", "cannot set serviceAccounts with namespaces or principals")
	}
	for _, l := range lists[6:10] {
		each(c, l.field, l.list, func(_ int, ip string) { c.fault("", block(ip)) })
	}
	for _, l := range lists[4:6] {
		c.serviceAccounts(l.field, l.list)
	}
	for _, l := range lists[12:] {
		c.wildcards(l.field, l.list, true)
	}
	return tcp
}

func (c *checker) operation(o *security.Operation) (tcp bool) {
	paths := []listed{{"paths", o.Paths}, {"notPaths", o.NotPaths}}
	ports := []listed{{"ports", o.Ports}, {"notPorts", o.NotPorts}}
	any := c.filled([]listed{{"hosts", o.Hosts}, {"notHosts", o.NotHosts}, {"methods", o.Methods}, {"notMethods", o.NotMethods}})
	anyPath := c.filled(paths)
	tcp = len(o.Ports)+len(o.NotPorts) > 0
	if !any && !anyPath && !tcp {
		c.bad("", "`to.operation` must not be empty")
	}
	for _, l := range ports {
		each(c, l.field, l.list, func(_ int, p string) { c.fault("", policyPort(p)) })
	}
	for _, l := range paths {
		each(c, l.field, l.list, func(_ int, p string) { c.fault("", pathTemplate(p)) })
	}
	return tcp
}

// block checks an address or a block of them as policies have them.
func block(s string) error {
	if strings.Contains(s, "/") {
		if _, err := netip.ParsePrefix(s); err != nil {
			return fmt.Errorf("bad CIDR range (%s)", short(s))
		}
		return nil
	}
	if s != "" && !isAddress(s) {
		return fmt.Errorf("bad IP address (%s)", short(s))
	}
	return nil
}

func policyPort(s string) error {
	if n, err := strconv.ParseUint(s, 10, 32); err != nil || n > 65535 {
		return fmt.Errorf("bad port (%s)", short(s))
	}
	return nil
}

// serviceAccounts checks names that stand for exactly one account each: they have no wildcards, and a dot in one is a dot.
func (c *checker) serviceAccounts(field string, list []string) {
	if len(list) > 16 {
		c.bad(field, "may not have more than 16 values")
	}
	each(c, field, list, func(_ int, s string) {
		namespace, account, scoped := strings.Cut(s, "/")
		switch {
		case s == "":
		case strings.Contains(s, "*"):
			c.bad("", "wildcard not allowed")
		case len(s) > 320:
			c.bad("", "value cannot exceed 320 characters")
		case scoped && (namespace == "" || account == "" || strings.Contains(account, "/")):
			c.bad("", "expected format 'serviceAccount' or 'namespace/serviceAccount', found %q", short(s))
		}
	})
}

// wildcards checks values that may begin or end with a wildcard, or be one.
func (c *checker) wildcards(field string, list []string, domain bool) {
	each(c, field, list, func(_ int, s string) {
		switch n := strings.Count(s, "*"); {
		case n > 1:
			c.bad("", "at most one wildcard is allowed: %q", short(s))
		case n == 1 && !strings.HasPrefix(s, "*") && !strings.HasSuffix(s, "*"):
			c.bad("", "wildcard is only allowed at the start or end: %q", short(s))
		case domain && strings.Contains(s, "/"):
			c.bad("", "trust domain must not contain '/': %q", short(s))
		}
	})
}

// pathTemplate checks a path that may have {*} for one part and, as its last, {**} for any.
func pathTemplate(p string) error {
	template := strings.Contains(p, "{*}") || strings.Contains(p, "{**}")
	rest := false
	for part := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		switch {
		case rest && (part == "{*}" || part == "{**}"):
			return fmt.Errorf("invalid or unsupported path %s: {**} is not the last operator", short(p))
		case part == "{**}":
			rest = true
		case part == "{*}":
		case strings.ContainsAny(part, "{}"):
			return fmt.Errorf("invalid or unsupported path %s: contains '{' or '}' beyond a supported path template", short(p))
		case template && !literal(part):
			return fmt.Errorf("invalid or unsupported path %s: segment %s has an invalid string literal", short(p), short(part))
		}
	}
	return nil
}

// literal says whether a part of a path is characters that may stand there (RFC 3986, 3.3), but for a star.
func literal(s string) bool {
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte("-._~%!$&'()+,;:@=", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// condition checks what else must be so.
func (c *checker) condition(w *security.Condition, custom bool) {
	values := [...]listed{{"values", w.Values}, {"notValues", w.NotValues}}
	c.filled(values[:])
	switch {
	case w.Key == "":
		c.bad("key", "`key` must not be empty")
		return
	case len(w.Values)+len(w.NotValues) == 0:
		c.bad("values", "at least one of `values` or `notValues` must be set for key %s", short(w.Key))
	}
	if custom && (strings.HasPrefix(w.Key, "source.") && w.Key != "source.ip" || strings.HasPrefix(w.Key, "request.auth.")) {
		c.bad("key", "%s is currently not supported with CUSTOM action", short(w.Key))
	}
	name, bracket, inner := strings.Cut(w.Key, "[")
	each2 := func(check func(string) error) {
		for _, l := range values {
			each(c, l.field, l.list, func(_ int, s string) { c.fault("", check(s)) })
		}
	}
	switch {
	case name == "request.headers", name == "request.auth.claims", strings.HasPrefix(name, "experimental.envoy.filters."):
		if !inner || len(bracket) < 2 || !strings.HasSuffix(bracket, "]") {
			c.bad("key", "bad key (%s): should have format a[b]", short(w.Key))
		}
	case w.Key == "source.ip", w.Key == "remote.ip", w.Key == "destination.ip":
		each2(block)
	case w.Key == "destination.port":
		each2(policyPort)
	case w.Key == "source.serviceAccount":
		for _, l := range values {
			c.serviceAccounts(l.field, l.list)
		}
	case w.Key == "source.trustDomain":
		for _, l := range values {
			c.wildcards(l.field, l.list, false)
		}
	case w.Key == "source.namespace", w.Key == "source.principal", w.Key == "request.auth.principal", w.Key == "request.auth.audiences",
		w.Key == "request.auth.presenter", w.Key == "connection.sni":
	case w.Key == "destination.namespace":
		c.bad("key", "attribute %s is replaced by the metadata.namespace", w.Key)
	case name == "destination.labels":
		c.bad("key", "attribute %s is replaced by the workload selector", short(w.Key))
	case w.Key == "destination.name", w.Key == "destination.user":
		c.bad("key", "deprecated attribute %s: only supported in v1alpha1", w.Key)
	default:
		c.bad("key", "unknown attribute: %s", short(w.Key))
	}
}
