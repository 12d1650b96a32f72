package decode

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
)

// Bounds of what a configuration may hold where Envoy has none or leaves it to runtime keys.
const (
	maxPattern     = 16 << 10 // bytes of a regular expression
	maxProgram     = 20_000   // instructions that it compiles to
	maxDataSource  = 16 << 20 // bytes of a file that a configuration points at
	maxUnixPath    = 107      // bytes; what a Unix address has room for
	maxBufferLimit = 1 << 30  // bytes
)

func u32(w *wrapperspb.UInt32Value, otherwise uint32) uint32 {
	if w == nil {
		return otherwise
	}
	return w.GetValue()
}

func isTrue(w *wrapperspb.BoolValue, otherwise bool) bool {
	if w == nil {
		return otherwise
	}
	return w.GetValue()
}

// maybeTrue is what need not be said.
func maybeTrue(w *wrapperspb.BoolValue) *bool {
	if w == nil {
		return nil
	}
	v := w.GetValue()
	return &v
}

// duration reads a span of time that cannot be negative.
func (s *session) duration(d *durationpb.Duration, otherwise time.Duration, p *at) time.Duration {
	if d == nil {
		return otherwise
	}
	if err := d.CheckValid(); err != nil {
		s.problem(p, "%v", plain(err))
		return 0
	}
	v := d.AsDuration()
	if v < 0 {
		s.problem(p, "%v is negative: want 0s or more", v)
		return 0
	}
	return v
}

// maybe is duration for what need not be set.
func (s *session) maybe(d *durationpb.Duration, p *at) *time.Duration {
	if d == nil {
		return nil
	}
	v := s.duration(d, 0, p)
	return &v
}

// bufferLimit reads a watermark.
func (s *session) bufferLimit(w *wrapperspb.UInt32Value, p *at) uint32 {
	n := u32(w, 1<<20)
	switch {
	case n == 0:
		s.problem(p, "0 would be no limit, and every buffer has one: want 1 to %d", maxBufferLimit)
	case n > maxBufferLimit:
		s.problem(p, "%d is too much: want 1 to %d", n, maxBufferLimit)
	}
	return n
}

// purpose is what an address is for.
type purpose uint8

const (
	toBind purpose = iota
	toConnect
)

func (s *session) address(a *corev3.Address, use purpose, p *at) (to config.Address) {
	switch {
	case a.GetSocketAddress() != nil:
		sa, p := a.GetSocketAddress(), p.field("socket_address")
		ip, err := netip.ParseAddr(sa.GetAddress())
		if err != nil {
			s.problem(p.field("address"), "%q is not an IP address: names are not resolved here", sa.GetAddress())
			return to
		}
		if sa.GetPortSpecifier() == nil {
			s.problem(p.field("port_value"), "a port is missing")
		}
		if use == toConnect && sa.GetPortValue() == 0 {
			s.problem(p.field("port_value"), "nobody can be reached at port 0: want 1 to 65535")
		}
		if use == toConnect && ip.IsUnspecified() {
			s.problem(p.field("address"), "%s is no place to connect to", ip)
		}
		to.AddrPort = netip.AddrPortFrom(ip, uint16(sa.GetPortValue()))
	case a.GetPipe() != nil:
		pipe, p := a.GetPipe(), p.field("pipe")
		switch path := pipe.GetPath(); {
		case len(path) > maxUnixPath:
			s.problem(p.field("path"), "%d bytes: a Unix address has room for %d", len(path), maxUnixPath)
		case strings.IndexByte(path, 0) >= 0:
			s.problem(p.field("path"), "a path holds no NUL")
		case strings.HasPrefix(path, "@") && pipe.GetMode() != 0:
			s.problem(p.field("mode"), "a socket in the abstract namespace has no permission bits")
		}
		to.Path, to.Mode = pipe.GetPath(), pipe.GetMode()
	case a.GetEnvoyInternalAddress() == nil: // the table refuses that one
		s.problem(p, "an address is missing: want socket_address or pipe")
	}
	return to
}

func (s *session) keepAlive(k *corev3.TcpKeepalive) *config.TCPKeepAlive {
	if k == nil {
		return nil
	}
	return &config.TCPKeepAlive{
		Probes:   u32(k.GetKeepaliveProbes(), 0),
		Time:     u32(k.GetKeepaliveTime(), 0),
		Interval: u32(k.GetKeepaliveInterval(), 0),
	}
}

func (s *session) prefixes(ranges []*corev3.CidrRange, p *at) []netip.Prefix {
	return prefixes(s, ranges, p)
}

// prefixes reads networks of either message that there is of them.
func prefixes[M interface {
	GetAddressPrefix() string
	GetPrefixLen() *wrapperspb.UInt32Value
}](s *session, ranges []M, p *at) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(ranges))
	for i, r := range ranges {
		ip, err := netip.ParseAddr(r.GetAddressPrefix())
		if err != nil {
			s.problem(p.item(i).field("address_prefix"), "%q is not an IP address", r.GetAddressPrefix())
			continue
		}
		prefix, err := ip.WithZone("").Prefix(int(u32(r.GetPrefixLen(), 0)))
		if err != nil {
			s.problem(p.item(i).field("prefix_len"), "%d: an address of this family has %d bits", u32(r.GetPrefixLen(), 0), ip.BitLen())
			continue
		}
		out = append(out, prefix)
	}
	return out
}

// line refuses text that would not stay in its line of a message.
func (s *session) line(text string, p *at) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		s.problem(p, "%q holds a control character", text)
	}
	return text
}

// regex compiles a pattern that has to match the whole of what it is held against.
func (s *session) regex(m *matcherv3.RegexMatcher, p *at) *regexp.Regexp {
	return s.pattern(m.GetRegex(), `\A(?:`, `)\z`, p.field("regex"))
}

// pattern compiles a regular expression with something before and after it.
func (s *session) pattern(pattern, before, after string, p *at) *regexp.Regexp {
	if len(pattern) > maxPattern {
		s.problem(p, "%d bytes: a pattern has at most %d", len(pattern), maxPattern)
		return nil
	}
	if _, err := syntax.Parse(pattern, syntax.Perl); err != nil { // by itself, lest a stray parenthesis close the group below
		s.problem(p, "not a pattern of RE2: %v", err)
		return nil
	}
	pattern = before + pattern + after
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		s.problem(p, "not a pattern of RE2: %v", err)
		return nil
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		s.problem(p, "not a pattern of RE2: %v", err)
		return nil
	}
	if n := len(program.Inst); n > maxProgram {
		s.problem(p, "compiles to %d instructions: a pattern has at most %d", n, maxProgram)
		return nil
	}
	return regexp.MustCompile(pattern)
}

// stringMatch reads a condition on a string.
func (s *session) stringMatch(m *matcherv3.StringMatcher, p *at) (c config.StringMatch) {
	c.IgnoreCase = m.GetIgnoreCase()
	switch v := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		c.Kind, c.Value = config.StringExact, v.Exact
	case *matcherv3.StringMatcher_Prefix:
		c.Kind, c.Value = config.StringPrefix, v.Prefix
	case *matcherv3.StringMatcher_Suffix:
		c.Kind, c.Value = config.StringSuffix, v.Suffix
	case *matcherv3.StringMatcher_Contains:
		c.Kind, c.Value = config.StringContains, v.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		c.Kind, c.Regex, c.Value = config.StringRegex, s.regex(v.SafeRegex, p.field("safe_regex")), contained(v.SafeRegex.GetRegex())
		if c.IgnoreCase {
			s.problem(p.field("ignore_case"), "has no effect on safe_regex: begin the pattern with (?i)")
		}
	}
	if c.IgnoreCase {
		c.Value = strings.ToLower(c.Value)
	}
	return c
}

// data reads what a data source points at, once. limit is in bytes.
func (s *session) data(d *corev3.DataSource, limit int64, p *at) []byte {
	if s.unseen(d) {
		return nil
	}
	var b []byte
	switch v := d.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		b, p = []byte(v.InlineString), p.field("inline_string")
	case *corev3.DataSource_InlineBytes:
		b, p = v.InlineBytes, p.field("inline_bytes")
	case *corev3.DataSource_EnvironmentVariable:
		p = p.field("environment_variable")
		text, ok := os.LookupEnv(v.EnvironmentVariable)
		if !ok {
			s.problem(p, "there is no variable %q", v.EnvironmentVariable)
		}
		b = []byte(text)
	case *corev3.DataSource_Filename:
		p = p.field("filename")
		var err error
		if b, err = readFile(v.Filename, limit); err != nil {
			s.problem(p, "%v", err)
		}
		sum := hash(append(s.sum, b...))
		s.files, s.sum = append(s.files, v.Filename), sum[:]
	}
	if int64(len(b)) > limit {
		s.problem(p, "more than the %d bytes that are allowed", limit)
		return nil
	}
	return b
}

// redacted is what Envoy, and this program, write in the place of what nobody is to see.
const redacted = "[redacted]"

// unseen tells whether what a data source points at is another process's, and cannot be looked at from here.
func (s *session) unseen(d *corev3.DataSource) bool {
	if !s.options.Foreign {
		return false
	}
	switch v := d.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		return v.InlineString == redacted
	case *corev3.DataSource_InlineBytes:
		return string(v.InlineBytes) == redacted
	}
	return d.GetSpecifier() != nil
}

func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil {
		return nil, err
	} else if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}
