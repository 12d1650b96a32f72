package decode

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	customv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"

	"github.com/weftmesh/weft/config"
)

// detections reads how the addresses of clients are found.
func (s *session) detections(list []*corev3.TypedExtensionConfig, p *at) []config.Detection {
	var out []config.Detection
	for i, e := range list {
		p := p.item(i).field("typed_config")
		switch m := s.open(e.GetTypedConfig()).message.(type) {
		case *customv3.CustomHeaderConfig:
			p := p.as("CustomHeaderConfig")
			d := config.Detection{Header: strings.ToLower(m.GetHeaderName()), Trust: m.GetAllowExtensionToSetAddressAsTrusted()}
			if !token(d.Header) {
				s.problem(p.field("header_name"), "%q is no name of a field: want letters, digits and !#$%%&'*+-.^_`|~", d.Header)
			}
			if m.GetRejectWithStatus() != nil {
				if d.Reject = uint16(m.GetRejectWithStatus().GetCode()); d.Reject < 400 || d.Reject > 599 {
					d.Reject = 403 // as Envoy
				}
			}
			out = append(out, d)
		case *xffv3.XffConfig:
			p := p.as("XffConfig")
			d := config.Detection{Hops: m.GetXffNumTrustedHops(), Append: !isTrue(m.GetSkipXffAppend(), true)}
			if c := m.GetXffTrustedCidrs(); c != nil {
				d.Trusted = s.prefixes(c.GetCidrs(), p.field("xff_trusted_cidrs").field("cidrs"))
				if d.Hops > 0 {
					s.problem(p.field("xff_num_trusted_hops"), "xff_trusted_cidrs says who is trusted: leave one of the two out")
				}
			}
			out = append(out, d)
		}
	}
	return out
}
