package netns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/capture"
)

// instead is a folder with programs in place of others: each does what it is told in a shell.
func (p *pod) instead(programs map[string]string) string {
	p.t.Helper()
	dir, err := os.MkdirTemp(p.dir, "bin")
	if err != nil {
		p.t.Fatal(err)
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	return dir
}

// An apply that is killed, or fails, between two transactions leaves what check names and apply mends, or clean takes away.
func TestKilledHalfWay(t *testing.T) {
	for _, name := range []string{"iptables-nft", "iptables-legacy"} {
		args := append(flags(backends[name]), variety["names"]...)
		six := strings.Replace(name, "ip", "ip6", 1) + "-restore"
		for how, script := range map[string]string{"killed": "kill -9 $PPID", "failed": "echo 'no such thing' >&2; exit 2", "killed afterwards": "PATH=$(echo $PATH | cut -d: -f2-) " + six + " \"$@\"; kill -9 $PPID"} {
			for _, mend := range []string{"apply", "clean"} {
				p := newPod(t)
				fails := p.instead(map[string]string{six: script})
				before := p.everything()
				code, said := p.command(fails, append([]string{"apply"}, args...)...)
				if code == 0 {
					t.Fatalf("%s, %s: it ended well:\n%s", name, how, said)
				}
				if how == "failed" && (!strings.Contains(said, "no such thing") || !strings.Contains(said, "apply again, or weft capture clean")) {
					t.Errorf("%s, %s: it says %q", name, how, said)
				}
				code, said = p.command("", append([]string{"check"}, args...)...)
				if whole := how == "killed afterwards"; (code == 0) != whole || !whole && !strings.Contains(said, "missing  IPv6 nat OUTPUT: -j ISTIO_OUTPUT") {
					t.Errorf("%s, %s: check ends with %d and says\n%s", name, how, code, said)
				}
				if code, said := p.command("", append([]string{mend}, args...)...); code != 0 {
					t.Fatalf("%s, %s: %s ends with %d and says\n%s", name, how, mend, code, said)
				}
				code, said = p.command("", append([]string{"check"}, args...)...)
				if (code == 0) != (mend == "apply") {
					t.Errorf("%s, %s, then %s: check ends with %d and says\n%s", name, how, mend, code, said)
				}
				if mend == "clean" {
					if left := ours(p.everything()); len(left) > 0 {
						t.Errorf("%s, %s: left behind:\n%s\nbefore\n%s", name, how, strings.Join(left, ""), before)
					}
				}
			}
		}
	}
}

// By nftables there is no half way: killed at any moment, all is there or nothing.
func TestKilledByNFTables(t *testing.T) {
	p := newPod(t)
	args := append(flags(backends["nftables"]), variety["names"]...)
	whole, nothing := 0, 0
	for i := range 40 {
		c := exec.Command(program(t), append([]string{"capture", "apply"}, args...)...)
		p.do(c.Start)
		time.Sleep(time.Duration(i) * time.Millisecond) // the moment is what is varied
		c.Process.Kill()
		c.Wait()
		switch code, said := p.command("", append([]string{"check"}, args...)...); {
		case code == 0:
			whole++
		case strings.Contains(p.run("nft", "list", "ruleset"), "istio"):
			t.Errorf("killed after %d ms, it is half there:\n%s", i, said)
		default:
			nothing++
		}
		p.clean(t)
	}
	t.Logf("whole %d times, nothing %d times", whole, nothing)
}

// Several at once end with what is planned, once.
func TestAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		args := append(flags(o), variety["names"]...)
		for range 3 {
			p.clean(t)
			codes := make(chan int, 6)
			for range cap(codes) {
				go func() {
					code, _ := p.command("", append([]string{"apply"}, args...)...)
					codes <- code
				}()
			}
			well := 0
			for range cap(codes) {
				if <-codes == 0 {
					well++
				}
			}
			if code, said := p.command("", append([]string{"check"}, args...)...); well == 0 || code != 0 {
				t.Errorf("%d ended well, and check says\n%s", well, said)
			}
		}
	})
}

// Without iptables it is nftables, without rights or where the proxy's port is somebody else's it is a sentence.
func TestWhatIsMissing(t *testing.T) {
	p := newPod(t)
	if code, said := p.command("=/nonexistent", append([]string{"apply"}, sidecarArgs...)...); code != 0 || !strings.Contains(said, "nftables over netlink: there is no iptables here") {
		t.Errorf("no iptables: %d, %q", code, said)
	}
	if code, said := p.command("=/nonexistent", append([]string{"check"}, sidecarArgs...)...); code != 0 {
		t.Errorf("no iptables: check %d\n%s", code, said)
	}
	if code, said := p.command("=/nonexistent", "clean"); code != 0 || !strings.Contains(said, "taken away: rules by nftables") {
		t.Errorf("no iptables: clean %d, %q", code, said)
	}
	if code, said := p.command("=/nonexistent", append([]string{"apply", "--backend", "iptables"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, "install iptables, or take --backend nftables") {
		t.Errorf("no iptables, and it is asked for: %d, %q", code, said)
	}
	if code, said := p.command("=/nonexistent", append([]string{"apply", "--force-iptables-binary", "legacy"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, "there is no iptables-legacy-save here") {
		t.Errorf("no iptables-legacy, and it is asked for: %d, %q", code, said)
	}
	module := p.instead(map[string]string{"iptables-nft-restore": `echo 'Warning: Extension REDIRECT revision 0 not supported, missing kernel module?' >&2; exit 1`})
	if code, said := p.command(module, append([]string{"apply"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, "the kernel lacks a module: load it on the node") {
		t.Errorf("no module: %d, %q", code, said)
	}
	p.clean(t)
	p.run("iptables-nft", "-t", "nat", "-N", "THEIRS")
	p.run("nft", "add rule ip nat THEIRS numgen inc mod 2 0 accept")
	for _, verb := range []string{"apply", "check", "clean"} {
		if code, said := p.command("", append([]string{verb, "--force-iptables-binary", "nft", "--backend", "iptables"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, "move those to a table of their own") {
			t.Errorf("a table that iptables cannot show: %s: %d, %q", verb, code, said)
		}
	}
	p.run("nft", "delete table ip nat")
	four := p.instead(nil) // iptables-nft is there, and ip6tables-nft is not
	for _, name := range []string{"iptables-nft-save", "iptables-nft-restore"} {
		if err := os.Symlink("/usr/sbin/"+name, filepath.Join(four, name)); err != nil {
			t.Fatal(err)
		}
	}
	if code, said := p.command("="+four, append([]string{"apply"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, `"ip6tables-nft-save": executable file not found in $PATH: install it`) || len(ours(p.run("iptables-nft-save"))) > 0 {
		t.Errorf("no ip6tables: %d, %q", code, said)
	}
	p.clean(t)
	none := map[string]string{}
	for _, name := range []string{"iptables-nft-save", "ip6tables-nft-save", "iptables-save", "ip6tables-save"} {
		none[name] = `echo 'iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument' >&2; exit 4`
	}
	old := p.instead(none)
	for _, c := range []struct{ verb, want string }{{"apply", "captured by iptables-legacy: the kernel has no nftables"}, {"check", "as planned"}, {"clean", "taken away: rules by iptables-legacy"}} {
		if code, said := p.command(old, append([]string{c.verb}, sidecarArgs...)...); code != 0 || !strings.Contains(said, c.want) {
			t.Errorf("no nftables in the kernel: %s: %d, %q", c.verb, code, said)
		}
	}
	for name, o := range backends {
		c := exec.Command(program(t), append(append([]string{"capture", "apply"}, flags(o)...), sidecarArgs...)...)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		var out []byte
		err := p.try(func() (err error) {
			out, err = c.CombinedOutput()
			return err
		})
		if err == nil || !strings.Contains(string(out), "capture wants the capability NET_ADMIN") {
			t.Errorf("%s, no rights: %v, %q", name, err, out)
		}
	}
	l := p.listen(t, ":15001")
	if code, said := p.command("", append([]string{"apply"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, "port 15001 is held by a program of user 0, who is not the proxy (1337)") {
		t.Errorf("somebody has the port: %d, %q", code, said)
	}
	l.Close()
	var packets net.PacketConn
	p.do(func() (err error) {
		packets, err = net.ListenPacket("udp", "127.0.0.1:15053")
		return err
	})
	if code, said := p.command("", append([]string{"apply", "--redirect-dns", "--capture-all-dns"}, sidecarArgs...)...); code != 1 || !strings.Contains(said, "port 15053 is held by a program of user 0") {
		t.Errorf("somebody has the port for questions: %d, %q", code, said)
	}
	packets.Close()
	if left := ours(p.everything()); len(left) > 0 {
		t.Errorf("what could not be applied was:\n%s", strings.Join(left, ""))
	}
}

// Capture fails closed: where the rules are and no proxy is, nobody gets past.
func TestNoProxy(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		for _, mode := range []string{"REDIRECT", "TPROXY"} {
			p := newPod(t)
			p.capture(o, append([]string{"-m", mode}, sidecarArgs...)...)
			go whence(p.listen(t, fmt.Sprintf(":%d", application)))
			outside := (*pod)(nil).listen(t, ":7001")
			go whence(outside)
			for _, to := range []string{p.world + ":7001", "[" + p.world6 + "]:7001"} {
				if c, err := p.dial("tcp", to); err == nil {
					t.Errorf("%s: the pod has come to %s", mode, c.RemoteAddr())
				}
			}
			for _, to := range []string{fmt.Sprintf("%s:%d", p.ip, application), fmt.Sprintf("[%s]:%d", p.ip6, application)} {
				if c, err := net.DialTimeout("tcp", to, 300*time.Millisecond); err == nil {
					t.Errorf("%s: the world has come to the application at %s", mode, c.RemoteAddr())
				}
			}
			outside.Close()
		}
	})
}

// By TPROXY the proxy has the client's address and that of the application, and the pod still calls its own service.
func TestTransparent(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		log := p.weft(p.sidecar(true))
		p.capture(o, append([]string{"-m", "TPROXY"}, sidecarArgs...)...)
		go whence(p.listen(t, fmt.Sprintf(":%d", application)))
		for _, c := range []struct{ to, want, client string }{
			{fmt.Sprintf("%s:%d", p.ip, application), "127.0.0.6:", p.world + ":"},
			{fmt.Sprintf("[%s]:%d", p.ip6, application), "[::6]:", "[" + p.world6 + "]:"},
		} {
			from, err := came(net.DialTimeout("tcp", c.to, deadline))
			if err != nil || !strings.HasPrefix(from, c.want) {
				t.Errorf("inbound to %s: the application sees %q, %v, want %s", c.to, from, err, c.want)
			}
			eventually(t, "the log has the client of "+c.to, func() bool {
				b, _ := os.ReadFile(log)
				return strings.Contains(string(b), c.client) && strings.Contains(string(b), " "+c.to+" InboundPassthroughCluster")
			})
		}
		if from, err := came(p.dial("tcp", serviceIP+":80")); err != nil || !strings.HasPrefix(from, "127.0.0.6:") {
			t.Errorf("the pod's own service: from %q, %v, want 127.0.0.6", from, err)
		}
		if got := p.way(root, fmt.Sprintf("%s:%d", p.ip, application)); got != "straight" {
			t.Errorf("the pod's own address: %s", got)
		}
	})
}

// A connection that stands before it is captured is named, and one that comes after is not. Where the kernel has tracked it, it goes on past the
// proxy; where not, its next packet counts as its first: it comes to the proxy, which knows of no such connection.
func TestStanding(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		for _, tracked := range []bool{false, true} {
			p := newPod(t)
			p.weft(p.sidecar(false))
			if tracked {
				p.run("nft", "add table inet theirs")
				p.run("nft", "add chain inet theirs in { type filter hook input priority 0 ; }")
				p.run("nft", "add rule inet theirs in ct state established accept")
			}
			go whence((*pod)(nil).listen(t, p.world+":7001"))
			go whence(p.listen(t, fmt.Sprintf(":%d", application)))
			open := func(c net.Conn, err error) net.Conn {
				if err == nil {
					_, err = c.Read(make([]byte, 100)) // it stands on either side
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			out := func() net.Conn { return open(p.dial("tcp", p.world+":7001")) }
			in := func() net.Conn { return open(net.Dial("tcp", net.JoinHostPort(p.ip, fmt.Sprint(application)))) }
			first, second := out(), in()
			all := p.capture(o, sidecarArgs...)
			out()
			in()
			r := p.check(all)
			want := []string{fmt.Sprintf("%s to %s:7001, of user 0", first.LocalAddr(), p.world), fmt.Sprintf("%s to %s, of user 0", net.JoinHostPort(p.ip, fmt.Sprint(application)), second.LocalAddr())}
			slices.Sort(want)
			slices.Sort(r.Connections)
			if !r.OK() || !slices.Equal(r.Connections, want) {
				t.Errorf("tracked %t: connections past the proxy are %q, want %q\n%s", tracked, r.Connections, want, r)
			}
			fmt.Fprint(first, "still")
			b := make([]byte, 10)
			first.SetDeadline(time.Now().Add(deadline))
			n, err := first.Read(b)
			if tracked && string(b[:n]) != "still" || !tracked && !isReset(err) {
				t.Errorf("tracked %t: what stood before says %q, %v", tracked, b[:n], err)
			}
		}
	})
}

// The probe is of what stands: it ends well where connections are captured, and with Istio's code where not.
func TestProbe(t *testing.T) {
	p := newPod(t)
	probe := append([]string{"apply", "--skip-rule-apply", "--run-validation", "--probe-timeout", "300ms"}, sidecarArgs...)
	if code, said := p.command("", probe...); code != 126 || !strings.Contains(said, "nothing is captured here") {
		t.Errorf("not captured: %d, %q", code, said)
	}
	if code, said := p.command("", append([]string{"apply", "--run-validation"}, sidecarArgs...)...); code != 0 || !strings.Contains(said, "a connection was captured") {
		t.Errorf("captured: %d, %q", code, said)
	}
}

// From outside, by the path of a namespace.
func TestNamespace(t *testing.T) {
	p := newPod(t)
	path := filepath.Join(p.dir, "ns")
	if err := os.Symlink(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.ns.Fd()), path); err != nil {
		t.Fatal(err)
	}
	before := counters.ReplaceAllString(runHere(t, "nft", "list", "ruleset"), "")
	for name, o := range backends {
		out := runHere(t, program(t), append(append([]string{"capture", "apply", "--network-namespace", path, "--cni-mode"}, flags(o)...), sidecarArgs...)...)
		if r := p.check(p.options(o, sidecarArgs...)); !r.OK() {
			t.Errorf("%s: it says %q, and\n%s", name, out, r)
		}
	}
	if after := counters.ReplaceAllString(runHere(t, "nft", "list", "ruleset"), ""); after != before {
		t.Errorf("this namespace has\n%s\nand had\n%s", after, before)
	}
}

func runHere(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}
