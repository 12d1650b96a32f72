package source

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// Rules of single words. An error says what is wrong with one, and nil that it may be.

// maxPattern is how long a regular expression may be: a proxy compiles it, at a cost that grows with it.
const maxPattern = 1024 // bytes

func alphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// isLabel says whether s is one part of a domain's name.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// IsName says whether s can be the name of a revision: a part of a domain's name, in small letters.
func IsName(s string) bool { return isLabel(s) && s == strings.ToLower(s) }

// IsLabel says whether a label of Kubernetes' can have that key and value.
func IsLabel(key, value string) bool { return isKey(key) && isTag(value) }

// isKey says whether s can be a label's key.
func isKey(s string) bool {
	prefix, name, prefixed := strings.Cut(s, "/")
	if !prefixed {
		return s != "" && isTag(s)
	}
	return isDomain(prefix) && name != "" && isTag(name)
}

// isTag says whether s is a label's value, or its key without what stands before the slash.
func isTag(s string) bool {
	if s == "" {
		return true
	}
	if len(s) > 63 || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.' {
			return false
		}
	}
	return true
}

// isDomain says whether s is labels with dots between them.
func isDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func domainLength(s string) error {
	switch {
	case s == "":
		return errors.New("empty domain name not allowed")
	case len(s) > 255:
		return fmt.Errorf("domain name %q too long (max 255)", short(s))
	}
	return nil
}

// domainLabels checks a name's labels; a last one may be empty, as in "istio.io.".
func domainLabels(s string) error {
	last := s[strings.LastIndexByte(s, '.')+1:]
	if _, err := strconv.Atoi(last); err == nil {
		return fmt.Errorf("domain name %q invalid (top level domain %q cannot be all-numeric)", short(s), last)
	}
	for rest, more := s, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		if !more && label == "" {
			return nil
		}
		if !isLabel(label) {
			return fmt.Errorf("domain name %q invalid (label %q invalid)", short(s), short(label))
		}
	}
	return nil
}

// fqdn checks a name without wildcards.
func fqdn(s string) error {
	if err := domainLength(s); err != nil {
		return err
	}
	return domainLabels(s)
}

// wildcardDomain checks a name whose first label may be a wildcard or begin with one.
func wildcardDomain(s string) error {
	if err := domainLength(s); err != nil {
		return err
	}
	first, rest, more := strings.Cut(s, ".")
	if bare := strings.TrimPrefix(strings.TrimPrefix(first, "*"), "-"); first != "*" && !isLabel(bare) || len(first) > 63 ||
		first[0] == '-' {
		return fmt.Errorf("domain name %q invalid (label %q invalid)", short(s), short(first))
	}
	if more {
		return domainLabels(rest)
	}
	return nil
}

// partialWildcard checks that a wildcard stands for whole labels.
func partialWildcard(s string) error {
	if strings.Contains(s, "*") && s != "*" && !strings.HasPrefix(s, "*.") {
		return fmt.Errorf("partial wildcard %q not allowed", short(s))
	}
	return nil
}

// overlap says whether two hosts have a name in common.
func overlap(a, b string) bool {
	wildA, wildB := strings.HasPrefix(a, "*"), strings.HasPrefix(b, "*")
	switch {
	case wildA && wildB:
		return strings.HasSuffix(a[1:], b[1:]) || strings.HasSuffix(b[1:], a[1:])
	case wildA:
		return strings.HasSuffix(b, a[1:])
	case wildB:
		return strings.HasSuffix(a, b[1:])
	}
	return a == b
}

// within says whether all names of a are names of b.
func within(a, b string) bool {
	if !strings.HasPrefix(b, "*") {
		return a == b
	}
	return strings.HasSuffix(strings.TrimPrefix(a, "*"), b[1:])
}

// scopedHost checks a host with the namespace that it is looked for in: namespace/host.
func scopedHost(s string, gateway bool) error {
	namespace, host, scoped := strings.Cut(s, "/")
	switch {
	case !scoped && !gateway:
		return errors.New("host must be of form namespace/dnsName")
	case !scoped:
		host = s
	case namespace == "" || host == "":
		return errors.New("namespace and dnsName of a host cannot be empty")
	case namespace == "*" || namespace == ".":
	case gateway && !isLabel(namespace):
		return fmt.Errorf("invalid namespace value %q", short(namespace))
	case !gateway: // a leading ~ leaves out
		if n := strings.TrimPrefix(namespace, "~"); n != "" && n != "*" && n != "." && !isLabel(n) {
			return fmt.Errorf("invalid namespace value %q", short(namespace))
		}
	}
	if err := wildcardDomain(host); err != nil {
		if gateway && isAddress(host) {
			return nil
		}
		return err
	}
	if host != "*" && !strings.Contains(host, ".") {
		return errors.New("short names (non FQDN) are not allowed")
	}
	return partialWildcard(host)
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// address checks an IP address.
func address(s string) error {
	if !isAddress(s) {
		return fmt.Errorf("%s is not a valid IP", short(s))
	}
	return nil
}

// subnet checks an IP address or a block of them.
func subnet(s string) error {
	if strings.Contains(s, "/") {
		if _, err := netip.ParsePrefix(s); err != nil {
			return fmt.Errorf("%s is not a valid CIDR block", short(s))
		}
		return nil
	}
	return address(s)
}

// hostPort checks host:port.
func hostPort(s string) error {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return fmt.Errorf("%q has no port: write host:port", short(s))
	}
	host, number := s[:i], s[i+1:]
	if err := portText(number); err != nil {
		return err
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if isAddress(bare) {
		return nil
	}
	if fqdn(host) != nil {
		return fmt.Errorf("%q is not a valid hostname or an IP address", short(host))
	}
	return nil
}

const unix = "unix://"

// unixPath checks the path of a socket. One that begins with @ has no file.
func unixPath(s string) error {
	if s == "" {
		return errors.New("unix address must not be empty")
	}
	if s[0] != '@' && (!path.IsAbs(s) || strings.HasSuffix(s, "/")) {
		return fmt.Errorf("%s is not an absolute path to a file", short(s))
	}
	return nil
}

// port checks the number of a port.
func port[N int32 | uint32 | int](n N) error {
	if n < 1 || int64(n) > 65535 {
		return fmt.Errorf("port number %d must be in the range 1..65535", n)
	}
	return nil
}

func portText(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("port %q is not a number", short(s))
	}
	return port(n)
}

func portName(s string) error {
	if !isLabel(s) {
		return fmt.Errorf("invalid port name: %q", short(s))
	}
	return nil
}

// The protocols that a port may be said to have.
func isHTTP(protocol string) bool {
	switch strings.ToLower(protocol) {
	case "http", "http2", "http_proxy", "grpc", "grpc-web":
		return true
	}
	return false
}

func isTLS(protocol string) bool {
	p := strings.ToLower(protocol)
	return p == "https" || p == "tls"
}

func isTCP(protocol string) bool {
	switch strings.ToLower(protocol) {
	case "tcp", "mongo", "redis", "mysql":
		return true
	}
	return isTLS(protocol)
}

func isDubbo(protocol string) bool { return strings.EqualFold(protocol, "dubbo") }

func protocol(s string) error {
	if s != "" && !isHTTP(s) && !isTCP(s) && !isDubbo(s) && !strings.EqualFold(s, "udp") {
		return fmt.Errorf("unsupported protocol %q: HTTP, HTTP2, HTTP_PROXY, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL, DUBBO, UDP", short(s))
	}
	return nil
}

// duration checks a time to wait: at least a millisecond, and whole ones. What is not said is right.
func duration(d *durationpb.Duration) error {
	switch {
	case d == nil:
		return nil
	case !d.IsValid():
		return errors.New("duration is out of range")
	case d.AsDuration() < time.Millisecond:
		return errors.New("duration must be at least 1ms")
	case d.AsDuration()%time.Millisecond != 0:
		return errors.New("only durations to ms precision are supported")
	}
	return nil
}

// pattern checks a regular expression.
func pattern(s string) error {
	if s == "" {
		return errors.New("regex should not be empty")
	}
	return anyPattern(s, maxPattern)
}

func anyPattern(s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("regex is too large, max length allowed is %d", most)
	}
	if _, err := syntax.Parse(s, syntax.Perl); err != nil {
		return fmt.Errorf("%w; patterns are RE2's (https://github.com/google/re2/wiki/Syntax)", err)
	}
	return nil
}

// token says whether a byte may be in a header's name (RFC 9110, 5.6.2).
func token(b byte) bool { return alphanumeric(b) || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 }

func headerName(s string) error {
	if s == "" {
		return errors.New("header name cannot be empty")
	}
	for i := range len(s) {
		if !token(s[i]) {
			return fmt.Errorf("header name %q is not a valid header name", short(s))
		}
	}
	return nil
}

// plainHeader checks the name of a header that is made of letters, digits, dashes and underscores.
func plainHeader(s string) error {
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '_' {
			return fmt.Errorf("header name %q is not a valid header name: letters, digits, - and _", short(s))
		}
	}
	return headerName(s)
}

// matchedHeader checks what a match may name: a header, a pseudo-header, or a claim of the token that let the request in.
func matchedHeader(s string) error {
	switch s {
	case ":method", ":scheme", ":authority", ":path", ":status":
		return nil
	}
	if isClaim(s) {
		return nil
	}
	return headerName(s)
}

// isClaim says whether a header's name stands for a claim.
func isClaim(s string) bool {
	rest, is := strings.CutPrefix(strings.ToLower(s), "@request.auth.claims")
	return is && len(rest) > 1 && (rest[0] == '.' || rest[0] == '[')
}

func isAuthority(header string) bool {
	return strings.EqualFold(header, ":authority") || strings.EqualFold(header, "host")
}

// headerSet checks the name of a header that is set or added; authority: of a request, whose host may be.
func headerSet(s string, authority bool) error {
	switch {
	case s == "":
		return errors.New("header name cannot be empty")
	case authority && isAuthority(s):
		return nil
	case strings.EqualFold(s, "host"):
		return errors.New("cannot set Host header")
	case s[0] == ':':
		return errors.New(`header cannot have ":" prefix`)
	}
	return headerName(s)
}

// headerValue checks a value and the commands that stand in it between percent signs.
func headerValue(s string) error {
	for i := range len(s) {
		if b := s[i]; b < ' ' && b != '\t' || b == 0x7f {
			return fmt.Errorf("header value %q has a control character", short(s))
		}
	}
	for at := strings.IndexByte(s, '%'); at >= 0; at = strings.IndexByte(s, '%') {
		s = s[at+1:]
		if strings.HasPrefix(s, "%") {
			s = s[1:]
			continue
		}
		end := strings.IndexAny(s, "%(")
		if end >= 0 && s[end] == '(' {
			// An argument may hold percent signs; what ends it is the parenthesis before the next one.
			closing := strings.IndexByte(s[end:], ')')
			if closing < 0 {
				return errors.New("header value has a command without its closing parenthesis")
			}
			rest := strings.TrimLeft(s[end+closing+1:], " ")
			for rest != "" && rest[0] == ':' { // a length
				rest = strings.TrimLeft(rest[1:], "0123456789")
			}
			if !strings.HasPrefix(rest, "%") {
				return errors.New("header value has a command without its closing %: write %% for a percent sign")
			}
			s = rest[1:]
			continue
		}
		if end < 0 {
			return errors.New("header value has a command without its closing %: write %% for a percent sign")
		}
		s = s[end+1:]
	}
	return nil
}

func httpStatus(n int64) error {
	if n < 200 || n > 599 {
		return fmt.Errorf("HTTP status %d is not in range 200-599", n)
	}
	return nil
}

// grpcStatuses are the names of gRPC's codes.
var grpcStatuses = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// percent checks a share in whole hundredths.
func percent(n int32) error {
	if n < 0 || n > 100 {
		return fmt.Errorf("percentage %d is not in range 0..100", n)
	}
	return nil
}
