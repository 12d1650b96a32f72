package admin

import (
	"crypto/x509"
	"net/http"
	"strconv"
	"time"
)

// TransportView is what a transport socket shows, and whom it trusts.
type TransportView struct{ Roots, Chain []CertificateView }

// CertificateView is a certificate and where it was read.
type CertificateView struct {
	Where       string
	Certificate *x509.Certificate
}

// DaysLeft is how many whole days it is until a certificate ends; 0: it has, or will within a day.
func DaysLeft(c *x509.Certificate, now time.Time) uint64 {
	return uint64(max(0, c.NotAfter.Sub(now)) / (24 * time.Hour))
}

// certs writes what Envoy's page of that name does.
func (s *Server) certs(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	list := []any{}
	for _, t := range s.view.Certificates() {
		list = append(list, map[string]any{"ca_cert": describeAll(t.Roots, now), "cert_chain": describeAll(t.Chain, now)})
	}
	writeJSON(w, map[string]any{"certificates": list})
}

func describeAll(list []CertificateView, now time.Time) []any {
	all := []any{}
	for _, v := range list {
		c := v.Certificate
		names := []any{}
		add := func(kind, text string) { names = append(names, map[string]string{kind: text}) }
		for _, n := range c.DNSNames {
			add("dns", n)
		}
		for _, u := range c.URIs {
			add("uri", u.String())
		}
		for _, ip := range c.IPAddresses {
			add("ip_address", ip.String())
		}
		all = append(all, map[string]any{
			"path": v.Where, "serial_number": c.SerialNumber.Text(16), "subject_alt_names": names,
			"days_until_expiration": strconv.FormatUint(DaysLeft(c, now), 10),
			"valid_from":            c.NotBefore.UTC().Format(time.RFC3339), "expiration_time": c.NotAfter.UTC().Format(time.RFC3339),
		})
	}
	return all
}
