package l7

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// prepareHead judges and completes a request's head before any filter sees it, in the order in which Envoy's connection manager does:
// what filters decide upon is what the upstream gets. It says false if it has answered.
func (x *exchange) prepareHead() bool {
	c, r := x.server.config, &x.request
	if !x.normalizeTarget() {
		return false
	}
	x.stripAuthority()
	if len(c.Early) > 0 {
		x.mutate(&r.Header, c.Early)
	}
	inside, ok := x.resolveClient()
	if !ok {
		return false
	}
	x.sanitize(inside)
	if c.AddUserAgent {
		x.addUserAgent()
	}
	x.requestID(inside)
	if len(x.server.via) > 0 {
		appendList(x, &r.Header, http.Via, x.server.via, ", ")
	}
	// An upgrade is a matter of the route, which is matched by what the request is made into: after all of the above.
	if !x.acceptUpgrade() {
		return false
	}
	if r.Has(http.Expect) && !c.Proxy100Continue && bytes.EqualFold(r.Get(http.Expect), []byte("100-continue")) {
		r.Remove(http.Expect)
		x.client.interim(continueHead)
		x.conn.countStatus(100)
	}
	x.removeHopByHop()
	return true
}

// acceptUpgrade answers upgrades that are not configured with 403, as Envoy does, and takes an upgrade to h2c, which a proxy may
// ignore, for an ordinary request.
func (x *exchange) acceptUpgrade() bool {
	r := &x.request
	kind := []byte(nil)
	if r.IsConnect() {
		kind = []byte("connect")
	} else if x.client.upgradeAsked() {
		kind = r.Get(http.Upgrade)
	}
	if kind == nil {
		return true
	}
	ended := x.entry.RequestEnd
	x.entry.RequestEnd = -1 // what follows the head is the tunnel's
	x.match()
	if r.IsConnect() && x.found.Route == nil {
		return true // only a route made for CONNECT can match it: the router answers 404
	}
	if bytes.EqualFold(kind, []byte("h2c")) {
		r.Remove(http.HTTP2Settings)
		x.entry.RequestEnd = ended
		x.state &^= rerouted // it was matched with fields that are taken out
		return true
	}
	u := allowedUpgrade(x.server.config, x.matchedForward(), kind)
	if u == nil {
		x.conn.stats.Inc(RqWSOnNonWSRoute)
		x.client.last()
		x.reply(403, "upgrade_failed", nil, "")
		return false
	}
	x.state |= upgradeAsked
	if u.Terminate && r.IsConnect() {
		x.state |= terminated
	}
	return true
}

// allowedUpgrade is what the route says of an upgrade, or else the connection manager; nil: it is not allowed.
func allowedUpgrade(c *config.HTTP, f *config.Forward, kind []byte) *config.Upgrade {
	u := findUpgrade(c.Upgrades, kind)
	if f != nil {
		if own := findUpgrade(f.Upgrades, kind); own != nil {
			u = own
		}
	}
	if u == nil || !u.Enabled {
		return nil
	}
	return u
}

func findUpgrade(list []config.Upgrade, kind []byte) *config.Upgrade {
	for i := range list {
		if len(list[i].Name) == len(kind) && bytes.EqualFold([]byte(list[i].Name), kind) {
			return &list[i]
		}
	}
	return nil
}

// refusesFragments is the key by which Envoy decides whether a path with a fragment is refused or loses it.
var refusesFragments = config.RuntimeKey("envoy.reloadable_features.http_reject_path_with_fragment")

func cutsFragment() bool { return !refusesFragments.Bool(true) }

// normalizeTarget brings the path into the form that is matched and forwarded.
func (x *exchange) normalizeTarget() bool {
	c, r := x.server.config, &x.request
	if r.IsConnect() {
		return true
	}
	path := r.Path()
	if len(path) == 0 || path[0] != '/' {
		x.conn.stats.Inc(RqNonRelativePath)
		x.reply(404, "absolute_path_rejected", nil, "")
		return false
	}
	if i := bytes.IndexByte(path, '#'); i > 0 && cutsFragment() { // HTTP/1's codec has looked already
		r.SetPath(path[:i])
		path = r.Path()
	} else if r.Version == http.HTTP2 && i >= 0 {
		x.conn.stats.Inc(RqFailedPathNormalization)
		x.reply(400, "path_normalization_failed", nil, "")
		return false
	}
	if !c.NormalizePath && !c.MergeSlashes && c.EscapedSlashes == config.EscapedKeep {
		return true
	}
	normal, verdict := normalizePath(x.scratch[:0], path, c)
	x.scratch = normal
	switch verdict {
	case pathBad:
		r.SetPath(normal)
		x.conn.stats.Inc(RqFailedPathNormalization)
		x.reply(400, "path_normalization_failed", nil, "")
		return false
	case pathRedirect:
		r.SetPath(normal)
		x.conn.stats.Inc(RqRedirectedNormalized)
		x.reply(307, "path_normalization_failed", nil, string(normal))
		return false
	}
	if !bytes.Equal(normal, path) {
		r.SetPath(normal)
	}
	return true
}

// stripAuthority takes port and final dot off the host, as configured.
func (x *exchange) stripAuthority() {
	c := x.server.config
	if !c.StripTrailingHostDot && c.StripPort == config.StripNone {
		return
	}
	host, changed := strippedAuthority(x.scratch[:0], c, &x.request, x.conn.address().Port())
	if x.scratch = host; changed {
		x.request.SetAuthority(host)
	}
}

// strippedAuthority appends the authority without what is to be taken off it, on a connection to that port, and tells whether anything is.
func strippedAuthority(dst []byte, c *config.HTTP, r *http.Request, local uint16) (out []byte, changed bool) {
	host, port := splitPort(r.Authority())
	if c.StripTrailingHostDot && len(host) > 1 && host[len(host)-1] == '.' {
		host = host[:len(host)-1]
		changed = true
	}
	strip := len(port) > 0 && !r.IsConnect() && (c.StripPort == config.StripAny ||
		c.StripPort == config.StripMatching && string(port) == strconv.Itoa(int(local)))
	if !changed && !strip {
		return dst, false
	}
	dst = append(dst, host...)
	if !strip && len(port) > 0 {
		dst = append(append(dst, ':'), port...)
	}
	return dst, true
}

// splitPort cuts host:port; port is empty if there is none.
func splitPort(authority []byte) (host, port []byte) {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || bytes.IndexByte(authority[i:], ']') >= 0 || authority[0] != '[' && bytes.IndexByte(authority[:i], ':') >= 0 {
		return authority, nil
	}
	return authority[:i], authority[i+1:]
}

// removeHopByHop takes out what concerns the downstream connection only (RFC 9110 §7.6.1). Other fields that Connection names stay, as
// with Envoy: were they taken out, a client could have us drop authorization or x-forwarded-for (CVE-2021-33197).
func (x *exchange) removeHopByHop() {
	r := &x.request
	if !x.has(upgradeAsked) {
		r.Remove(http.Connection)
		r.Remove(http.Upgrade)
		if r.Has(http.TE) {
			keep := x.scratch[:0]
			for i := r.Index(http.TE, 0); i >= 0; i = r.Index(http.TE, i+1) {
				if hasToken(r.Value(i), "trailers") {
					keep = append(keep[:0], "trailers"...)
				}
			}
			if r.Remove(http.TE); len(keep) > 0 {
				r.Add(http.TE, keep)
			}
		}
	}
	r.Remove(http.KeepAlive)
	r.Remove(http.ProxyConnection)
	x.forwardClientCert()
}

// hasToken tells whether a comma-separated list has a token, in any case.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		if bytes.EqualFold(bytes.TrimSpace(e), []byte(token)) {
			return true
		}
	}
	return false
}

// resolveClient finds whom the request comes from, completes x-forwarded-for and its siblings, and tells whether the request comes
// from inside: from a single address that counts as ours. ok is false if it has answered.
func (x *exchange) resolveClient() (inside, ok bool) {
	c, r := x.server.config, &x.request
	direct := x.conn.conn.Remote()
	trusted := false
	if c.UseRemoteAddress {
		x.entry.Remote, trusted = clientOf(c, r, x.entry.Remote)
		if !c.SkipXFFAppend {
			x.appendForwardedFor()
		}
		if c.TrustedHops == 0 || !r.Has(http.XForwardedProto) {
			r.SetString(http.XForwardedProto, x.cameBy())
		}
	} else {
		if len(c.Detections) > 0 {
			if trusted, ok = x.detect(); !ok {
				return false, false
			}
		} else {
			x.entry.Remote, trusted = clientOf(c, r, x.entry.Remote)
		}
		if !r.Has(http.XForwardedProto) {
			r.AddString(http.XForwardedProto, x.cameBy())
		}
	}
	if c.AppendForwardedPort && (c.UseRemoteAddress && c.TrustedHops == 0 || !r.Has(http.XForwardedPort)) {
		x.scratch = strconv.AppendUint(x.scratch[:0], uint64(x.conn.address().Port()), 10)
		r.Set(http.XForwardedPort, x.scratch)
	}
	setScheme(c, r)
	return comesFromInside(c, direct, x.entry.Remote, trusted), true
}

// clientOf is whom a request comes from, by what x-forwarded-for says where that is believed, and whether it is a single address, which may
// count as ours.
func clientOf(c *config.HTTP, r *http.Request, peer netip.AddrPort) (client netip.AddrPort, trusted bool) {
	if !c.UseRemoteAddress {
		a, ok := forwardedFor(r, c.TrustedHops)
		if !ok {
			return peer, false
		}
		return a, bytes.IndexByte(r.Get(http.XForwardedFor), ',') < 0 && r.Count(http.XForwardedFor) == 1
	}
	if c.TrustedHops > 0 {
		if a, ok := forwardedFor(r, c.TrustedHops-1); ok {
			peer = a
		}
	}
	return peer, !r.Has(http.XForwardedFor)
}

// comesFromInside tells whether a request is from an address of ours.
func comesFromInside(c *config.HTTP, direct, client netip.AddrPort, trusted bool) bool {
	switch {
	case !trusted:
		return false
	case !direct.IsValid():
		return c.UnixSocketsInternal
	}
	return within(c.Internal, client.Addr())
}

// cameBy is the scheme of the connection, or of the port that it was going to before it came here.
func (x *exchange) cameBy() string {
	c := x.server.config
	if len(c.HTTPSPorts)+len(c.HTTPPorts) > 0 {
		if s := schemeOfPort(c, x.conn.conn.Destination()); s != "" {
			return s
		}
	}
	return x.conn.scheme()
}

func schemeOfPort(c *config.HTTP, to netip.AddrPort) string {
	if !to.IsValid() {
		return ""
	}
	switch port := uint32(to.Port()); {
	case slices.Contains(c.HTTPSPorts, port):
		return "https"
	case slices.Contains(c.HTTPPorts, port):
		return "http"
	}
	return ""
}

// setScheme decides the scheme: what the listener overwrites it with, and x-forwarded-proto too; else what the target says; else what
// x-forwarded-proto says if that is a scheme.
func setScheme(c *config.HTTP, r *http.Request) {
	switch {
	case c.SchemeOverwrite != "":
		r.SetScheme([]byte(c.SchemeOverwrite))
		r.SetString(http.XForwardedProto, c.SchemeOverwrite)
	case string(r.Scheme()) == "http" || string(r.Scheme()) == "https": // of a target in absolute form, or of HTTP/2; others are not known
	case bytes.EqualFold(r.Get(http.XForwardedProto), []byte("https")):
		r.SetScheme([]byte("https"))
	default:
		r.SetScheme([]byte("http"))
	}
}

func (x *exchange) appendForwardedFor() {
	ip := x.conn.conn.Remote().Addr()
	if !ip.IsValid() {
		return
	}
	var b [64]byte
	address := b[:0]
	if host := x.server.origin.Host; ip.IsLoopback() && host.IsValid() {
		ip = host // who is on this host is told by this host's address, as with Envoy, and that as it is
	} else if x.server.config.MapIPv4InIPv6 && ip.Is4() {
		address = append(address, "::ffff:"...)
	}
	address = ip.AppendTo(address)
	appendValue(x, &x.request.Header, http.XForwardedFor, address)
}

// appendValue adds to a list field, in its last line if there is one.
func appendValue(x *exchange, h *http.Header, id http.ID, value []byte) {
	appendList(x, h, id, value, ",")
}

func appendList(x *exchange, h *http.Header, id http.ID, value []byte, comma string) {
	i := -1
	if h.Has(id) {
		for j := h.Index(id, 0); j >= 0; j = h.Index(id, j+1) {
			i = j
		}
	}
	if i < 0 {
		h.Add(id, value)
		return
	}
	x.scratch = append(x.scratch[:0], h.Value(i)...)
	if len(x.scratch) > 0 {
		x.scratch = append(x.scratch, comma...)
	}
	h.SetValue(i, append(x.scratch, value...))
}

// forwardedFor reads the address in x-forwarded-for that skips that many from the right.
func forwardedFor(r *http.Request, skip uint32) (netip.AddrPort, bool) {
	for i := r.Len() - 1; i >= 0; i-- {
		if r.ID(i) != http.XForwardedFor {
			continue
		}
		for list := r.Value(i); ; {
			cut := bytes.LastIndexByte(list, ',')
			if skip == 0 {
				ip, err := netip.ParseAddr(string(bytes.TrimSpace(list[cut+1:])))
				if err != nil || ip.Zone() != "" {
					return netip.AddrPort{}, false
				}
				return netip.AddrPortFrom(ip.Unmap(), 0), true
			}
			skip--
			if cut < 0 {
				break
			}
			list = list[:cut]
		}
	}
	return netip.AddrPort{}, false
}

// internalOnly are the fields by which a request from inside steers us; from outside they are taken out.
var internalOnly = [...]http.ID{
	http.XEnvoyRetriableStatusCodes, http.XEnvoyRetriableHeaderNames, http.XEnvoyRetryOn, http.XEnvoyRetryGRPCOn,
	http.XEnvoyMaxRetries, http.XEnvoyUpstreamAltStatName, http.XEnvoyUpstreamRqTimeoutMs, http.XEnvoyUpstreamRqPerTryTimeoutMs,
	http.XEnvoyUpstreamRqTimeoutAltResponse, http.XEnvoyExpectedRqTimeoutMs, http.XEnvoyForceTrace, http.XEnvoyIPTags,
	http.XEnvoyOriginalPath, http.XEnvoyOriginalURL, http.XEnvoyHedgeOnPerTryTimeout, http.XEnvoyUpstreamStreamDurationMs,
}

// sanitize sets the marks of a request from inside, or takes out of one from outside what it may not say.
func (x *exchange) sanitize(inside bool) {
	if !inside {
		x.state |= external
	}
	sanitize(x.server.config, &x.request, x.server.table(x.generation), inside, x.entry.Remote)
}

func sanitize(c *config.HTTP, r *http.Request, t *Table, inside bool, client netip.AddrPort) {
	if inside {
		r.SetString(http.XEnvoyInternal, "true")
		return
	}
	r.Remove(http.XEnvoyInternal)
	if c.UseRemoteAddress {
		r.Remove(http.XEnvoyDecoratorOperation)
		r.Remove(http.XEnvoyDownstreamServiceCluster)
		r.Remove(http.XEnvoyDownstreamServiceNode)
		if client.IsValid() {
			var b [64]byte
			r.Set(http.XEnvoyExternalAddress, client.Addr().AppendTo(b[:0]))
		}
	}
	for _, id := range internalOnly {
		r.Remove(id)
	}
	if t != nil {
		for _, name := range t.Config.InternalOnly {
			r.RemoveNamed(name)
		}
	}
}

func (x *exchange) addUserAgent() {
	r, s := &x.request, x.server
	r.Set(http.XEnvoyDownstreamServiceCluster, s.agent)
	if !r.Has(http.UserAgent) {
		r.Add(http.UserAgent, s.agent)
	}
	if len(s.node) > 0 {
		r.Set(http.XEnvoyDownstreamServiceNode, s.node)
	}
}

// requestID gives the request an identity, unless it brings one that may be kept.
func (x *exchange) requestID(inside bool) {
	c, r := x.server.config, &x.request
	if !c.GenerateRequestID {
		return
	}
	edge := !inside && c.UseRemoteAddress
	if r.Has(http.XRequestID) && (!edge || c.PreserveExternalID) {
		return
	}
	var b [36]byte
	appendUUID(&b, x.local.Loop.Random(), x.local.Loop.Random())
	r.Set(http.XRequestID, b[:])
}

// appendUUID writes a random UUID (RFC 9562 §5.4).
func appendUUID(b *[36]byte, hi, lo uint64) {
	const digits = "0123456789abcdef"
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 1<<63
	at := 0
	for i := range 32 {
		switch i {
		case 8, 12, 16, 20:
			b[at] = '-'
			at++
		}
		word := hi
		if i >= 16 {
			word = lo
		}
		b[at] = digits[word>>(60-4*(i&15))&15]
		at++
	}
}
