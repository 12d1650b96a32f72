package l7

import (
	"bytes"
	"net/netip"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// detect finds the client's address in the ways that are configured, and tells whether it may count as ours. It says false if it has
// answered a request that had to bring one.
func (x *exchange) detect() (trusted, ok bool) {
	list, r := x.server.config.Detections, &x.request
	add := false
	for i := range list {
		d := &list[i]
		var ip netip.Addr
		if d.Header != "" {
			if at := r.Find(http.Lookup(d.Header), d.Header, 0); at >= 0 {
				ip = parseAddress(r.Value(at))
			}
			if !ip.IsValid() && d.Reject != 0 {
				x.conn.stats.Inc(RqRejectedIPDetection)
				x.reply(d.Reject, "rejecting_because_detection_failed", nil, "")
				return false, false
			}
			trusted = d.Trust
		} else {
			ip, add = x.detectForwarded(d, add)
			trusted = r.Count(http.XForwardedFor) == 1 && bytes.IndexByte(r.Get(http.XForwardedFor), ',') < 0
		}
		if ip.IsValid() {
			x.entry.Remote = netip.AddrPortFrom(ip, 0)
			break
		}
		trusted = false
	}
	if add {
		x.appendForwardedFor()
	}
	return trusted, true
}

// detectForwarded looks into x-forwarded-for. Whom a list of trusted peers does not have is added to it, whatever else is said.
func (x *exchange) detectForwarded(d *config.Detection, add bool) (ip netip.Addr, appends bool) {
	if d.Trusted == nil {
		a, _ := forwardedFor(&x.request, d.Hops)
		return a.Addr(), add || d.Append
	}
	if !within(d.Trusted, x.conn.conn.Remote().Addr()) {
		return ip, true
	}
	n := 0
	for i := x.request.Index(http.XForwardedFor, 0); i >= 0; i = x.request.Index(http.XForwardedFor, i+1) {
		n += bytes.Count(x.request.Value(i), []byte(",")) + 1
	}
	for skip := range min(n, maxForwarded) {
		a, ok := forwardedFor(&x.request, uint32(skip))
		if !ok {
			return netip.Addr{}, add || d.Append
		}
		if ip = a.Addr(); !within(d.Trusted, ip) {
			break
		}
	}
	return ip, add || d.Append
}

// maxForwarded bounds how many addresses are looked at: each is looked for from the end.
const maxForwarded = 64

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// parseAddress reads an address without port and zone; not valid if there is none.
func parseAddress(b []byte) netip.Addr {
	ip, err := netip.ParseAddr(string(b))
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}
	}
	return ip.Unmap()
}
