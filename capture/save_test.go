package capture

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Versions of iptables write the same rule in different ways.
func TestNormal(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"-p tcp -m tcp --dport 80 -j RETURN", "-p tcp --dport 80 -j RETURN", true},
		{"! -d 127.0.0.1/32 -o lo -j RETURN", "-o lo ! -d 127.0.0.1/32 -j RETURN", true},
		{"! -d 127.0.0.1/32 -o lo -j RETURN", "-d 127.0.0.1/32 ! -o lo -j RETURN", false},
		{"-j MARK --set-mark 1337", "-j MARK --set-xmark 0x539/0xffffffff", true},
		{"-j MARK --set-mark 1337", "-j MARK --set-xmark 0x53a/0xffffffff", false},
		{"-j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539/0xffffffff", "-j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006", true},
		{"-j CONNMARK --save-mark", "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", true},
		{"-j REDIRECT --to-port 15053", "-j REDIRECT --to-ports 15053", true},
		{"-m comment --comment weft -j RETURN", `-m comment --comment "weft" -j RETURN`, true},
		{"-m owner --uid-owner 1 -j RETURN", "-m owner ! --uid-owner 1 -j RETURN", false},
		{"-m owner --uid-owner 1 -j RETURN", "-m owner --gid-owner 1 -j RETURN", false},
	} {
		if same := normal(c.a) == normal(c.b); same != c.same {
			t.Errorf("%q and %q: the same is %t", c.a, c.b, same)
		}
	}
}

var head = regexp.MustCompile(`-I (\S+) \d+`)

// Every rule of every plan is told apart from what others have, and is the same as itself when it is read back.
func TestReadBack(t *testing.T) {
	for _, c := range plans {
		p := Make(parse(t, c.args, c.environment...).Settings)
		for _, f := range p.families() {
			is := readSave(head.ReplaceAllString(p.IPTables(f), "-A $1")) // they come before the others of their chain
			for _, table := range tables {
				if d := p.compare(f, table, is); !d.none() {
					t.Errorf("%s: %+v", c.name, d)
				}
			}
			if got := (Plan{}).replace(f, is, false); strings.Count(got, "-X ") != strings.Count(p.IPTables(f), "\n:") {
				t.Errorf("%s: clean leaves chains:\n%s", c.name, got)
			}
		}
	}
}

// Rules of others that come before ours and decide are named; what only marks or logs is not, nor what comes behind.
func TestForeign(t *testing.T) {
	got := before("", []string{"-p tcp -j ACCEPT", "-j MARK --set-xmark 0x1/0xffffffff", "-j LOG", "-p tcp -g THEIRS", "-j ISTIO_OUTPUT", "-j DNAT"})
	if want := []string{"-p tcp -j ACCEPT", "-p tcp -g THEIRS"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Connections that go past the proxy are told from those that go through it.
func TestStanding(t *testing.T) {
	a := netip.MustParseAddrPort
	s := Defaults()
	through := []socket{
		{a("10.0.0.2:4000"), a("10.0.0.9:80"), established, 0},       // the application, redirected
		{a("10.0.0.2:15001"), a("10.0.0.2:4000"), established, 1337}, // where it came to
		{a("10.0.0.2:4001"), a("10.0.0.9:80"), established, 1337},    // where it goes from there
		{a("10.0.0.2:8080"), a("127.0.0.6:5000"), established, 0},    // the application, from the inbound side
		{a("10.0.0.2:8081"), a("10.0.0.9:6000"), established, 0},     // the same by TPROXY, from the client's address
		{a("10.0.0.9:6000"), a("10.0.0.2:8081"), established, 1337},
		{a("10.0.0.2:8082"), a("10.0.0.2:7000"), established, 0}, // within the pod
		{a("10.0.0.2:7000"), a("10.0.0.2:8082"), established, 5},
		{a("0.0.0.0:8080"), a("0.0.0.0:0"), listening, 0},
		{a("10.0.0.2:4002"), a("10.0.0.9:81"), "06", 0},
	}
	past := []socket{
		{a("10.0.0.2:4003"), a("10.0.0.9:82"), established, 0},
		{a("10.0.0.2:8080"), a("10.0.0.9:6001"), established, 7},
	}
	if got := standing(s, append(slices.Clone(through), past...)); !slices.Equal(got, past) {
		t.Errorf("%v, want %v", got, past)
	}
}

func TestReadSocket(t *testing.T) {
	for _, c := range []struct {
		line string
		want socket
	}{
		{"   0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1 1", socket{netip.MustParseAddrPort("127.0.0.1:15001"), netip.MustParseAddrPort("0.0.0.0:0"), listening, 1337}},
		{"  12: 000000FD000000000000000002000000:0050 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000 0 0 1 1", socket{netip.MustParseAddrPort("[fd00::2]:80"), netip.MustParseAddrPort("127.0.0.1:8080"), established, 0}},
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", socket{}},
	} {
		if got, ok := readSocket(c.line); got != c.want || ok != (c.want != socket{}) {
			t.Errorf("%q: %v, want %v", c.line, got, c.want)
		}
	}
}
