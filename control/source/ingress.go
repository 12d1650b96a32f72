package source

import "strings"

// What Ingresses say beside their spec.
const (
	// IngressClassAnnotation names the class of an Ingress in the old way.
	IngressClassAnnotation = "kubernetes.io/ingress.class"
	// IngressController is whom an IngressClass names whose Ingresses the mesh carries out.
	IngressController = "istio.io/ingress-controller"
)

// ingress checks what an API server would have, and what is not carried out.
func (c *checker) ingress(s *IngressSpec) {
	if s.DefaultBackend != nil {
		c.at("defaultBackend")
		c.warn("", "is not carried out, as at Istio: requests that no rule is for are answered with 404; write a rule without a host")
		c.up()
	}
	each(c, "tls", s.TLS, func(_ int, t IngressTLS) {
		if t.SecretName == "" {
			c.warn("secretName", "is missing: nothing is served by TLS for this entry, as at Istio; name a Secret with the certificate")
		}
	})
	each(c, "rules", s.Rules, func(_ int, r IngressRule) {
		if strings.Contains(r.Host, "*") && !strings.HasPrefix(r.Host, "*.") || strings.Count(r.Host, "*") > 1 {
			c.bad("host", "%q: want a name, or *. and a name", short(r.Host))
		}
		c.at("http")
		defer c.up()
		each(c, "paths", r.HTTP.Paths, func(_ int, p IngressPath) {
			switch p.PathType {
			case "Exact", "Prefix":
				if !strings.HasPrefix(p.Path, "/") {
					c.bad("path", "%q: want one that begins with a slash", short(p.Path))
				}
			case "ImplementationSpecific", "":
				if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
					c.bad("path", "%q: want one that begins with a slash", short(p.Path))
				}
			default:
				c.bad("pathType", "%q is not Exact, Prefix or ImplementationSpecific", short(p.PathType))
			}
			c.at("backend")
			defer c.up()
			switch b := p.Backend.Service; {
			case b == nil:
				c.bad("service", "is missing: want a Service, since no other backend is carried out")
			case b.Name == "" || (b.Port.Name == "") == (b.Port.Number == 0):
				c.bad("service", "want a name and a port, which is a number or a name")
			case b.Port.Number != 0:
				c.fault("service.port.number", port(b.Port.Number))
			}
		})
	})
}
