package capture

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// examples are values other than the defaults.
var examples = map[string]string{
	"envoy-port": "1", "inbound-capture-port": "2", "inbound-tunnel-port": "3", "proxy-uid": "4", "proxy-gid": "5", "istio-inbound-interception-mode": "TPROXY",
	"istio-inbound-ports": "*", "istio-local-exclude-ports": "6", "istio-exclude-interfaces": "eth9", "istio-service-cidr": "10.0.0.0/8", "istio-service-exclude-cidr": "10.1.0.0/16",
	"istio-outbound-ports": "7", "istio-local-outbound-ports-exclude": "8", "kube-virt-interfaces": "vir0", "istio-inbound-tproxy-mark": "9", "istio-inbound-tproxy-route-table": "10",
	"iptables-probe-port": "11", "probe-timeout": "12s", "network-namespace": "/x", "force-iptables-binary": "legacy", "backend": "nftables", "cgroup": "/x", "output": "json", "capture-all-dns": "true",
	"log_output_level": "default:debug", "log_stacktrace_level": "x", "log_caller": "x", "log_target": "x",
}

// Every flag does something, by each of its names and variables, or says why not.
func TestEveryFlagDoesSomething(t *testing.T) {
	plain := parse(t, nil)
	for _, f := range Flags() {
		value := examples[f.Name]
		if f.Bool {
			value = "true"
		}
		ways := map[string]Options{"--" + f.Name: parse(t, []string{"--" + f.Name + "=" + value})}
		if f.Short != "" && !f.Bool {
			ways["-"+f.Short] = parse(t, []string{"-" + f.Short, value})
			ways["-"+f.Short+"VALUE"] = parse(t, []string{"-" + f.Short + value})
		}
		for _, name := range f.Env {
			ways[name] = parse(t, nil, name+"="+value)
			if f.Bool {
				continue
			}
			if o := parse(t, []string{"--" + f.Name + "=" + value}, name+"="+f.Default); !reflect.DeepEqual(o, ways["--"+f.Name]) {
				t.Errorf("%s counts more than --%s", name, f.Name)
			}
		}
		for way, o := range ways {
			same := reflect.DeepEqual(o, plain)
			switch {
			case same && f.Harmless == "":
				t.Errorf("%s does nothing", way)
			case !same && f.Harmless != "":
				t.Errorf("%s does something, and is said not to", way)
			case !reflect.DeepEqual(o, ways["--"+f.Name]):
				t.Errorf("%s and --%s are not the same", way, f.Name)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"-m NONE", "want REDIRECT or TPROXY"},
		{"-m redirect", "want REDIRECT or TPROXY"},
		{"-p 0", "want a port from 1 to 65535"},
		{"-p 15006", "--envoy-port and --inbound-capture-port are both 15006"},
		{"-z 70000", "want a port"},
		{"-b 80,http", `"http" is no port`},
		{"-b 80,*", `"*" is no port`},
		{"-d 0", `"0" is no port`},
		{"-i 10.0.0.0/8,*", `"*" is no range`},
		{"-x *", `"*" is no range`},
		{"-i 10.0.0.1", `"10.0.0.1" is no range such as 10.0.0.0/8`},
		{"-u proxy", "--proxy-uid: \"proxy\" is no number"},
		{"-u ,", "--proxy-uid names nobody"},
		{"-t 0", "--istio-inbound-tproxy-mark is 0"},
		{"-t 1338", "has a meaning here"},
		{"-r 254", "the system's own tables"},
		{"-r main", "want a number"},
		{"-c averylonginterfacename", "is no name of an interface"},
		{"-c a\"b", "is no name of an interface"},
		{"--redirect-dns=yes", "want true or false"},
		{"--probe-timeout 0", "want a duration such as 5s"},
		{"--backend xdp", "want one of auto, iptables, nftables, ebpf"},
		{"--force-iptables-binary x", "want one of legacy, nft"},
		{"-o xml", `"xml" is no port`},
		{"--no-such-flag", "flag provided but not defined"},
		{"eth0", `unexpected argument "eth0"`},
	} {
		_, err := Parse(strings.Fields(c.line), host(), &bytes.Buffer{}, "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.line, err, c.want)
		}
	}
	for _, c := range []struct{ variable, want string }{
		{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=10.0.0.0/8", "want a range within 127.0.0.0/8"},
		{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/4", "want a range within 127.0.0.0/8"},
		{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=x", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"},
		{"ISTIO_OUTBOUND_OWNER_GROUPS=no-such-group", "nor is anybody called so here"},
		{"ISTIO_OUTBOUND_OWNER_GROUPS=" + strings.Repeat("7,", 65), "names 65 groups: want at most 64"},
		{"DUAL_STACK=maybe", "want true or false"},
	} {
		_, err := Parse(nil, host(c.variable), &bytes.Buffer{}, "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.variable, err, c.want)
		}
	}
}

// Whether IPv6 is captured follows the addresses, as Istio's does; where it is not though it is there, that is said.
func TestIPv6(t *testing.T) {
	for _, c := range []struct {
		addresses string
		dual      bool
		want      bool
		warning   string
	}{
		{"127.0.0.1 10.0.0.1", false, false, ""},
		{"127.0.0.1 10.0.0.1", true, false, ""},
		{"127.0.0.1 10.0.0.1 fe80::1", true, false, ""},
		{"10.0.0.1 fd00::1", false, false, "IPv6 is not captured, though this namespace has fd00::1"},
		{"10.0.0.1 fd00::1", true, true, ""},
		{"fd00::1 10.0.0.1", false, true, ""},
		{"127.0.0.1 ::1", false, false, "no address yet"},
		{"127.0.0.1 ::1 ::6 10.0.0.1", false, false, ""}, // captured before
	} {
		h := host()
		h.Addresses = nil
		for a := range strings.FieldsSeq(c.addresses) {
			h.Addresses = append(h.Addresses, netip.MustParseAddr(a))
		}
		var args []string
		if c.dual {
			args = append(args, "--dual-stack")
		}
		o, err := Parse(args, h, &bytes.Buffer{}, "")
		if err != nil {
			t.Fatal(err)
		}
		if o.IPv6 != c.want || c.warning == "" && len(o.Warnings) > 0 || !strings.Contains(strings.Join(o.Warnings, " "), c.warning) {
			t.Errorf("%s, dual stack %t: IPv6 %t, warnings %q", c.addresses, c.dual, o.IPv6, o.Warnings)
		}
	}
	h := host()
	h.Resolvers = nil
	o, err := Parse([]string{"--redirect-dns", "--dual-stack"}, h, &bytes.Buffer{}, "")
	if err != nil || !strings.Contains(strings.Join(o.Warnings, " "), "questions are not captured") {
		t.Errorf("no resolvers: %v, warnings %q", err, o.Warnings)
	}
}

// -o is Istio's for ports, and ours for a form: both may be given.
func TestShortO(t *testing.T) {
	o := parse(t, []string{"-o", "json", "-o", "7002"})
	if o.Output != FormJSON || !slices.Equal(o.ExcludedOutboundPorts, []uint16{7002}) {
		t.Errorf("%s, ports %v", o.Output, o.ExcludedOutboundPorts)
	}
	if o := parse(t, []string{"-o", "nft"}, "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE=7003"); o.Output != FormNFT || !slices.Equal(o.ExcludedOutboundPorts, []uint16{7003}) {
		t.Errorf("%s, ports %v", o.Output, o.ExcludedOutboundPorts)
	}
}

func TestHelp(t *testing.T) {
	var b bytes.Buffer
	if _, err := Parse([]string{"--help"}, host(), &b, "HEAD\n"); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range []string{"HEAD", "-istio-service-cidr", "accepted: rules of other settings are always replaced", "(default 15001)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

// TestPageNamesAll: docs/capture.md has every flag and variable, and names none that there is not.
func TestPageNamesAll(t *testing.T) {
	b, err := os.ReadFile("../docs/capture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "## Flags")
	if !ok {
		t.Fatal("docs/capture.md has no part about flags")
	}
	var rows, want []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `-") {
			cells := strings.Split(line, "|")
			rows = append(rows, strings.TrimSpace(cells[1])+" "+strings.TrimSpace(cells[2]))
		}
	}
	for _, f := range Flags() {
		name, variables := "`--"+f.Name+"`", ""
		if f.Short != "" {
			name += ", `-" + f.Short + "`"
		}
		for i, e := range f.Env {
			if i > 0 {
				variables += ", "
			}
			variables += "`" + e + "`"
		}
		want = append(want, name+" "+variables)
	}
	slices.Sort(rows)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		t.Errorf("the page has\n%s\nand there is\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{envUser, envLoopback, envGroups, envExcludedGroups} {
		if !strings.Contains(table, "| `"+name+"` |") {
			t.Errorf("docs/capture.md says nothing of %s", name)
		}
	}
}
