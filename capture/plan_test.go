package capture

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens anew")

// host is a pod's: with both versions of IP, two resolvers, and the environment that is given.
func host(environment ...string) Host {
	a := netip.MustParseAddr
	return Host{
		Env: func(name string) (string, bool) {
			for _, e := range environment {
				if n, v, _ := strings.Cut(e, "="); n == name {
					return v, true
				}
			}
			return "", false
		},
		Addresses: []netip.Addr{a("127.0.0.1"), a("::1"), a("10.1.0.2"), a("fd00::2"), a("fe80::2")},
		Resolvers: []netip.Addr{a("10.96.0.10"), a("fd00::a")},
	}
}

func parse(t *testing.T, args []string, environment ...string) Options {
	t.Helper()
	o, err := Parse(args, host(environment...), &bytes.Buffer{}, "")
	if err != nil {
		t.Fatalf("%q %q: %v", environment, args, err)
	}
	return o
}

// sidecar is what injection asks for.
var sidecar = []string{"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--log_output_level=default:info"}

// plans are command lines, and variables before them, by the name of their golden.
var plans = []struct {
	name        string
	environment []string
	args        []string
}{
	{"nothing", nil, nil},
	{"sidecar", nil, sidecar},
	{"dual-stack", nil, append(slices.Clone(sidecar), "--dual-stack")},
	{"tproxy", nil, []string{"-m", "TPROXY", "-i", "*", "-b", "*", "-d", "15090,15021", "--dual-stack"}},
	{"tproxy-ports", nil, []string{"-m", "TPROXY", "-b", "80,8080", "-t", "99", "-r", "100"}},
	{"tproxy-no-inbound", nil, []string{"-m", "TPROXY", "-i", "*"}},
	{"inbound-ports", nil, []string{"-b", "80,8080", "-d", "15090"}},
	{"proxy-ports", nil, []string{"-i", "*", "-b", "*", "-p", "1", "-z", "2", "-e", "3"}},
	{"users", nil, []string{"-i", "*", "-u", "3,4", "-g", "1,2"}},
	{"groups", []string{"ISTIO_OUTBOUND_OWNER_GROUPS=201,202"}, []string{"-i", "*"}},
	{"no-groups", []string{"ISTIO_OUTBOUND_OWNER_GROUPS="}, []string{"-i", "*"}},
	{"excluded-groups", []string{"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=201,202"}, []string{"-i", "*"}},
	{"ranges", nil, []string{"-i", "10.0.0.0/8,fd01::/16", "-x", "10.1.0.0/16,fd01:1::/32", "--dual-stack"}},
	{"loopback-range", nil, []string{"-i", "127.1.2.3/32"}},
	{"loopback-cidr", []string{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.1/8"}, []string{"-i", "*", "-b", "*"}},
	{"outbound-ports", nil, []string{"-q", "443,8443", "-o", "9090"}},
	{"interfaces", nil, []string{"-i", "*", "-b", "*", "-c", "eth9,tap+"}},
	{"interfaces-tproxy", nil, []string{"-i", "*", "-b", "*", "-c", "eth9", "-m", "TPROXY"}},
	{"virtual-machines", nil, []string{"-i", "*", "-k", "eth1,eth2"}},
	{"virtual-machines-ranges", nil, []string{"-i", "10.0.0.0/8,fd01::/16", "-k", "eth1,eth2", "--dual-stack"}},
	{"dns", []string{"ISTIO_META_DNS_CAPTURE=true"}, append(slices.Clone(sidecar), "--dual-stack")},
	{"dns-ipv4", nil, append(slices.Clone(sidecar), "--redirect-dns")},
	{"dns-all", nil, append(slices.Clone(sidecar), "--redirect-dns", "--capture-all-dns")},
	{"drop-invalid", []string{"INVALID_DROP=true"}, []string{"-i", "*", "-b", "*"}},
}

// TestPlans holds the rules, by both backends, and what escapes, against what was read once and found right.
func TestPlans(t *testing.T) {
	for _, c := range plans {
		t.Run(c.name, func(t *testing.T) {
			o := parse(t, c.args, c.environment...)
			p := Make(o.Settings)
			var b strings.Builder
			fmt.Fprintf(&b, "# %s\n", strings.Join(append(slices.Clone(c.environment), c.args...), " "))
			fmt.Fprintf(&b, "\n# iptables-restore\n%s", p.IPTables(IPv4))
			if p.IPv6 {
				fmt.Fprintf(&b, "\n# ip6tables-restore\n%s", p.IPTables(IPv6))
			}
			fmt.Fprintf(&b, "\n# nft\n%s\n# beside\n", p.NFT())
			for _, route := range p.Routes() {
				fmt.Fprintln(&b, route)
			}
			fmt.Fprintln(&b, "\n# escapes")
			for _, e := range Escapes(o.Settings) {
				fmt.Fprintf(&b, "%s (%s)\n", e.What, e.Why)
			}
			golden(t, c.name, b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s is not as it was; got\n%s", path, got)
	}
}

// What one table has as planned is not written, what stands in another's chains stays, and what is not as planned is replaced in one transaction.
func TestReplace(t *testing.T) {
	p := Make(parse(t, sidecar).Settings)
	const foreign = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:KUBE-X - [0:0]\n-A OUTPUT -j KUBE-X\n"
	there := func(change ...string) state {
		text := strings.TrimSuffix(foreign, "") + strings.TrimPrefix(p.IPTables(IPv4), "*nat\n")
		return readSave(strings.NewReplacer(change...).Replace(text))
	}
	if got := p.replace(IPv4, there(), false); got != "" {
		t.Errorf("all is as planned, and this would be written:\n%s", got)
	}
	got := p.replace(IPv4, there("--to-ports 15001", "--to-ports 15099", ":ISTIO_REDIRECT", ":ISTIO_DROP - [0:0]\n:ISTIO_REDIRECT"), false)
	for _, want := range []string{"*nat\n", ":ISTIO_REDIRECT - [0:0]\n", "-D OUTPUT -j ISTIO_OUTPUT\n", "-D PREROUTING -p tcp -j ISTIO_INBOUND\n", "-X ISTIO_DROP\n", "-A OUTPUT -j ISTIO_OUTPUT\n", "COMMIT\n"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want %q once in\n%s", want, got)
		}
	}
	if strings.Contains(got, "KUBE-X") {
		t.Errorf("what others have is touched:\n%s", got)
	}
	if got := (Plan{}).replace(IPv4, readSave(foreign), false); got != "" {
		t.Errorf("nothing is ours, and this would be cleaned:\n%s", got)
	}
}

// A plan is bounded: what a kernel walks one by one, and takes in one message.
func TestTooMany(t *testing.T) {
	var ranges []string
	for i := range maxRules {
		ranges = append(ranges, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
	}
	_, err := Parse([]string{"-i", strings.Join(ranges, ",")}, host(), &bytes.Buffer{}, "")
	if err == nil || !strings.Contains(err.Error(), "want at most 4096") {
		t.Errorf("%d ranges: %v", len(ranges), err)
	}
}
