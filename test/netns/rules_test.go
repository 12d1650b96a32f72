package netns

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/capture"
)

// command runs weft capture, as a program, in the pod. path is in front of PATH, or is all of it if it begins with =.
func (p *pod) command(path string, args ...string) (code int, said string) {
	p.t.Helper()
	c := exec.Command(program(p.t), append([]string{"capture"}, args...)...)
	switch {
	case strings.HasPrefix(path, "="):
		c.Env = []string{"PATH=" + path[1:]}
	case path != "":
		c.Env = []string{"PATH=" + path + ":" + os.Getenv("PATH")}
	}
	var out []byte
	err := p.try(func() (err error) {
		out, err = c.CombinedOutput()
		return err
	})
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// flags are those of a backend.
func flags(o capture.Options) []string {
	return []string{"--backend", o.Backend, "--force-iptables-binary", o.Binary}
}

var counters = regexp.MustCompile(`\[\d+:\d+\]|packets \d+ bytes \d+|(?m)^#.*\n`)

// everything is all that is in the kernel of the pod's rules, routes and addresses, but for how much they have seen.
func (p *pod) everything() string {
	p.t.Helper()
	var b strings.Builder
	for _, c := range [][]string{{"iptables-nft-save"}, {"ip6tables-nft-save"}, {"iptables-legacy-save"}, {"ip6tables-legacy-save"}, {"nft", "list", "ruleset"},
		{"ip", "rule"}, {"ip", "-6", "rule"}, {"ip", "-o", "addr", "show", "lo"}} {
		fmt.Fprintf(&b, "== %s\n%s", strings.Join(c, " "), counters.ReplaceAllString(p.run(c[0], c[1:]...), ""))
	}
	for _, f := range []string{"-4", "-6"} {
		for line := range strings.Lines(p.run("ip", f, "route", "show", "table", "all")) {
			if strings.Contains(line, "table 133") { // others come by themselves
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// variety is command lines that use all of the rules that there are.
var variety = map[string][]string{
	"sidecar":    {"-i", "*", "-b", "*", "-d", "15090,15021,15020"},
	"dual stack": {"-i", "*", "-b", "*", "-d", "15090,15021,15020", "--dual-stack"},
	"lists":      {"-i", "10.0.0.0/9,fd01::/17", "-x", "10.1.2.0/23,fd01:1::/32", "-b", "80,8080", "-q", "443", "-o", "9090", "-u", "3,4", "-g", "1,2", "--dual-stack"},
	"names":      {"-i", "*", "-b", "*", "--redirect-dns", "--capture-all-dns", "--dual-stack"},
	"TPROXY":     {"-i", "*", "-b", "*", "-m", "TPROXY", "-c", "eth9,tap+", "--drop-invalid", "--dual-stack"},
	"TPROXY 4":   {"-b", "80", "-m", "TPROXY"},
	"machines":   {"-i", "*", "-k", "vir0,vir+", "-c", "eth9"},
}

// To apply again changes nothing, and from whatever was applied before the outcome is the same.
func TestApplyTwice(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		fresh := map[string]string{}
		for name, args := range variety {
			p := newPod(t)
			all := p.capture(o, args...)
			fresh[name] = p.everything()
			if r := p.check(all); !r.OK() {
				t.Errorf("%s: not as planned:\n%s", name, r)
			}
			p.capture(o, args...)
			if got := p.everything(); got != fresh[name] {
				t.Errorf("%s: applied again, it is\n%s\nand was\n%s", name, got, fresh[name])
			}
			p.capture(o, append([]string{"--force-apply"}, args...)...)
			if got := p.everything(); got != fresh[name] {
				t.Errorf("%s: applied by force, it is\n%s\nand was\n%s", name, got, fresh[name])
			}
		}
		p := newPod(t)
		names := slices.Sorted(maps.Keys(variety))
		for i, before := range names {
			for _, step := range []int{0, 1, 3} {
				after := names[(i+step)%len(names)]
				args := variety[after]
				p.capture(o, variety[before]...)
				if r := p.check(p.options(o, args...)); r.OK() != (before == after) {
					t.Errorf("%s is there, and %s is looked for: OK is %t", before, after, r.OK())
				}
				all := p.capture(o, args...)
				if r := p.check(all); !r.OK() {
					t.Errorf("%s after %s:\n%s", after, before, r)
				}
			}
		}
		if done := p.clean(t); len(done) != 1 {
			t.Errorf("cleaned: %q, want one backend", done)
		}
		if got := ours(p.everything()); len(got) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(got, "\n"))
		}
	})
}

func (p *pod) clean(t *testing.T) (done []string) {
	t.Helper()
	p.do(func() (err error) {
		done, err = capture.Clean(p.options(capture.Options{}))
		return err
	})
	return done
}

var mine = regexp.MustCompile(`ISTIO|istio|weft|(table|lookup) 133|\s::6/`)

// ours are lines of everything that have to do with us.
func ours(text string) (list []string) {
	for line := range strings.Lines(text) {
		if mine.MatchString(line) {
			list = append(list, line)
		}
	}
	return list
}

// What is told over netlink is what nft makes of the plan's text.
func TestNFTText(t *testing.T) {
	for name, args := range variety {
		told, read := newPod(t), newPod(t)
		all := told.capture(capture.Options{Backend: capture.BackendNFTables}, args...)
		file := filepath.Join(read.dir, "rules")
		if err := os.WriteFile(file, []byte(capture.Make(all.Settings).NFT()), 0o644); err != nil {
			t.Fatal(err)
		}
		read.run("nft", "-f", file)
		if got, want := told.run("nft", "-s", "list", "ruleset"), read.run("nft", "-s", "list", "ruleset"); got != want {
			t.Errorf("%s: told\n%s\nread\n%s", name, got, want)
		}
	}
}

// A plan of as many rules as there may be is one transaction.
func TestManyRules(t *testing.T) {
	var list []string
	for i := range 3900 {
		list = append(list, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
	}
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		all := p.capture(o, "-i", strings.Join(list, ","))
		if r := p.check(all); !r.OK() {
			t.Errorf("missing %d, surplus %d", len(r.Missing), len(r.Surplus))
		}
	})
}

// What others have is as it was, byte by byte, whatever is applied and cleaned; and what of it comes before ours is named. They have rules in all chains here: one
// that is empty stays when iptables has made it.
func TestForeignRules(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		variant := "nft"
		if o.Binary != "" {
			variant = o.Binary
		}
		for _, program := range []string{"iptables-" + variant, "ip6tables-" + variant} {
			for _, rule := range []string{
				"-t nat -N KUBE-SERVICES", "-t nat -A OUTPUT -m comment --comment weftish -j KUBE-SERVICES", "-t nat -A PREROUTING -i eth7 -j RETURN", "-t nat -A POSTROUTING -j RETURN",
				"-t nat -N ISTIO_PRERT", "-t nat -A ISTIO_PRERT -j RETURN", "-t mangle -A PREROUTING -p tcp -j MARK --set-mark 7", "-t mangle -A OUTPUT -p tcp -j RETURN",
				"-t raw -A OUTPUT -p udp -j RETURN", "-t raw -A PREROUTING -p udp -j RETURN", "-t filter -A INPUT -p tcp --dport 15006 -j ACCEPT",
			} {
				p.run(program, strings.Fields(rule)...)
			}
		}
		p.run("nft", "add table inet theirs")
		p.run("nft", "add chain inet theirs out { type nat hook output priority -110 ; }")
		p.run("nft", "add rule inet theirs out tcp dport 9 counter accept")
		p.run("nft", "add table inet istio-ambient")
		p.run("ip", "rule", "add", "fwmark", "0x7", "lookup", "133")
		before := p.everything()
		for _, args := range variety {
			all := p.capture(o, args...)
			r := p.check(all)
			foreign := strings.Join(r.Foreign, "\n")
			jump := "nat OUTPUT: -m comment --comment weftish -j KUBE-SERVICES"
			if o.Backend == capture.BackendNFTables {
				jump = "nftables nat OUTPUT: 1 rules"
			}
			for _, want := range []string{"nftables theirs out: 1 rules", jump} {
				if !strings.Contains(foreign, want) {
					t.Errorf("%q: foreign rules are %q, want %s among them", args, foreign, want)
				}
			}
			if r.OK() || !strings.Contains(r.String(), "(comes before ours)") {
				t.Errorf("%q: rules before ours are fine", args)
			}
			p.capture(o, "-i", "*")
		}
		p.clean(t)
		if after := p.everything(); after != before {
			t.Errorf("after\n%s\nbefore\n%s", after, before)
		}
		if done := p.clean(t); len(done) != 0 {
			t.Errorf("cleaned again: %q, want nothing", done)
		}
	})
}

// The backend may change: what the old one had goes, after what the new one has is there.
func TestBackendChanges(t *testing.T) {
	p := newPod(t)
	for _, from := range backends {
		for name, to := range backends {
			p.capture(from, variety["names"]...)
			all := p.capture(to, variety["names"]...)
			if r := p.check(all); !r.OK() || !strings.HasPrefix(r.Backend, name) && r.Backend != all.Backend {
				t.Errorf("%v to %s:\n%s", from, name, r)
			}
			if done := p.clean(t); !slices.Equal(done, []string{name}) {
				t.Errorf("%v to %s: rules of ours were with %q", from.Backend, name, done)
			}
		}
	}
	// auto stays with what is there.
	p.capture(capture.Options{Backend: capture.BackendNFTables}, variety["names"]...)
	if r := p.check(p.options(capture.Options{Backend: capture.BackendAuto}, variety["names"]...)); !r.OK() || r.Backend != capture.BackendNFTables {
		t.Errorf("auto, where nftables has the rules:\n%s", r)
	}
	p.clean(t)
	p.run("iptables-legacy", "-t", "filter", "-A", "INPUT", "-j", "RETURN")
	if r := p.check(p.options(capture.Options{Backend: capture.BackendAuto}, variety["names"]...)); r.OK() || r.Backend != "iptables-legacy" {
		t.Errorf("auto, where iptables-legacy has rules:\n%s", r)
	}
}

// tampering is what becomes of rules by others.
var tampering = map[string][]string{
	"a rule is gone":       {"-t", "nat", "-D", "ISTIO_INBOUND", "1"},
	"a chain is empty":     {"-t", "nat", "-F", "ISTIO_REDIRECT"},
	"nobody goes there":    {"-t", "nat", "-D", "OUTPUT", "1"},
	"a rule is new":        {"-t", "nat", "-I", "ISTIO_OUTPUT", "-j", "RETURN"},
	"a rule is last":       {"-t", "nat", "-A", "ISTIO_INBOUND", "-j", "RETURN"},
	"an order is another":  {"-t", "nat", "-R", "ISTIO_INBOUND", "2", "-p", "tcp", "-m", "tcp", "--dport", "15021", "-j", "RETURN"},
	"a chain is too many":  {"-t", "mangle", "-N", "ISTIO_DROP"},
	"they are jumped over": {"-t", "nat", "-I", "OUTPUT", "-j", "ACCEPT"},
}

// What somebody has changed is named, and mended.
func TestTampering(t *testing.T) {
	for _, name := range []string{"iptables-nft", "iptables-legacy"} {
		o := backends[name]
		for what, args := range tampering {
			p := newPod(t)
			all := p.capture(o, variety["dual stack"]...)
			want := p.everything()
			p.run(name, args...)
			if r := p.check(all); r.OK() {
				t.Errorf("%s, %s: all is well", name, what)
			}
			p.capture(o, variety["dual stack"]...)
			got := p.everything()
			switch r := p.check(all); {
			case what == "they are jumped over": // it is not ours to take away
				if len(r.Foreign) != 1 || !strings.Contains(r.Foreign[0], "OUTPUT: -j ACCEPT") {
					t.Errorf("%s, %s: foreign is %q", name, what, r.Foreign)
				}
			case what == "a chain is too many": // its table is there now
				if !r.OK() {
					t.Errorf("%s, %s, applied again:\n%s", name, what, r)
				}
			case got != want:
				t.Errorf("%s, %s: it is\n%s\nand was\n%s", name, what, got, want)
			}
		}
	}
	p := newPod(t)
	all := p.capture(backends["nftables"], variety["dual stack"]...)
	want := p.everything()
	for _, change := range []string{"flush chain inet istio-proxy-nat istio-redirect", "insert rule inet istio-proxy-nat istio-output return", "delete table inet istio-proxy-nat", "add table inet istio-proxy-raw"} {
		p.run("nft", change)
		if r := p.check(all); r.OK() {
			t.Errorf("%s: all is well", change)
		}
		p.capture(backends["nftables"], variety["dual stack"]...)
		if got := p.everything(); got != want {
			t.Errorf("%s: it is\n%s\nand was\n%s", change, got, want)
		}
	}
}
