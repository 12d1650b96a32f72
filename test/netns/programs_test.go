package netns

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialling has this program, run again, be an application of a pod's that connects once. What captures by programs knows processes, and not threads that
// are in the pod for a moment.
const dialling = "WEFT_TEST_DIAL"

// dialOnce connects and says from where, and then the first line that it is told, or why there is none.
func dialOnce(to string) {
	c, err := net.DialTimeout("tcp", to, deadline)
	if err != nil {
		fmt.Println("none", err)
		return
	}
	c.SetDeadline(time.Now().Add(deadline))
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Println(c.LocalAddr(), c.RemoteAddr(), strings.TrimSpace(line), err)
}

// group makes a cgroup that the pod's programs start in.
func (p *pod) group(t *testing.T) string {
	t.Helper()
	path := filepath.Join(unified(t), fmt.Sprintf("weft-netns-%d-%d", os.Getpid(), p.number))
	p.place(t, path, path)
	return path
}

// place makes a cgroup for the pod's programs, and all those between it and a root, which go with the test.
func (p *pod) place(t *testing.T, root, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.cgroup, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cgroup.Close()
		for at := path; strings.HasPrefix(at, root); at = filepath.Dir(at) {
			eventually(t, at+" is empty", func() bool { // its processes have been waited for
				err := os.Remove(at)
				return err == nil || os.IsNotExist(err) || at != path && errors.Is(err, syscall.EBUSY) // another pod's are in there, who takes them away
			})
		}
	})
}

// unified is where the unified hierarchy of cgroups is.
func unified(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Fatal("there is no unified hierarchy of cgroups (v2): mount one (mount -t cgroup2 none /sys/fs/cgroup)")
	return ""
}

// program runs an application of the pod's that connects, and gives its own address, whom it thinks that it has reached, and what it was told.
func (p *pod) program(t *testing.T, w who, to string) (own, peer, told string) {
	t.Helper()
	// As the user that the kernel is told of: /proc/self/exe may not be read by others.
	c := exec.Command("/proc/self/exe")
	c.Env = []string{dialling + "=" + to}
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.cgroup.Fd())}
	if w != root {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(w.user), Gid: uint32(w.group)}
	}
	var out []byte
	if err := p.try(func() (err error) { out, err = c.CombinedOutput(); return err }); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := strings.Fields(string(out))
	if len(f) < 3 {
		t.Fatalf("it said %q", out)
	}
	return f[0], f[1], f[2]
}

// TestPrograms has a pod's traffic captured without a rule, and weft behind that: what goes out, what comes in, what is left alone, the proxy's own calls; the
// proxy killed and started anew; and all as before when it is taken off.
func TestPrograms(t *testing.T) {
	for _, short := range []bool{false, true} {
		t.Run(fmt.Sprintf("short cuts %v", short), func(t *testing.T) {
			p := newPod(t)
			before := p.everything()
			args := append([]string{"--backend", "ebpf", "--cgroup", p.group(t)}, sidecarArgs...)
			if short {
				args = append(args, "--short-cuts")
			}
			if code, said := p.command("", append([]string{"apply"}, args...)...); code != 0 || !strings.Contains(said, "captured by ebpf") {
				t.Fatal(code, said)
			}
			t.Cleanup(func() { p.command("", "clean") })
			if code, said := p.command("", append([]string{"check"}, args...)...); code != 1 || !strings.Contains(said, "nobody listens at port 15006") {
				t.Errorf("without a proxy: %d %s", code, said)
			}
			log := p.weft(p.sidecar(false))
			if code, said := p.command("", append([]string{"check"}, args...)...); code != 0 {
				t.Errorf("with a proxy: %d %s", code, said)
			}
			rules := func() string {
				var kept []string
				for line := range strings.Lines(p.everything()) {
					if !strings.Contains(line, " ::6/128 ") { // the address that the proxy talks to the application from
						kept = append(kept, line)
					}
				}
				return strings.Join(kept, "")
			}
			if after := rules(); after != before {
				t.Errorf("there are rules: %s", after)
			}
			for _, port := range []string{"7001", "7002"} {
				go whence((*pod)(nil).listen(t, net.JoinHostPort("", port)))
			}
			go whence(p.listen(t, fmt.Sprintf(":%d", application)))
			go whence(p.listen(t, ":15021"))
			for _, c := range []struct {
				name, to, want string
			}{
				{"outbound", p.world + ":7001", "proxy"},
				{"outbound IPv6", "[" + p.world6 + "]:7001", "proxy"},
				{"an excluded port", p.world + ":7002", "straight"},
				{"localhost", fmt.Sprintf("127.0.0.1:%d", application), "straight"},
				{"localhost, IPv6", fmt.Sprintf("[::1]:%d", application), "straight"},
				{"the pod's own address", fmt.Sprintf("%s:%d", p.ip, application), "straight"},
			} {
				own, peer, told := p.program(t, root, c.to)
				got := "straight"
				if told != own {
					got = "proxy"
				}
				if got != c.want || peer != c.to || strings.HasPrefix(told, "none") || own == "none" {
					t.Errorf("%s: %s as %s to %s is told %s", c.name, got, own, peer, told)
				}
			}
			if _, _, told := p.program(t, root, serviceIP+":80"); !strings.HasPrefix(told, "127.0.0.6:") {
				t.Errorf("the pod's own service: from %q, want 127.0.0.6", told)
			}
			in := func() (string, error) {
				return came(net.DialTimeout("tcp", fmt.Sprintf("%s:%d", p.ip, application), deadline))
			}
			for _, c := range []struct{ to, want, client string }{
				{fmt.Sprintf("%s:%d", p.ip, application), "127.0.0.6:", p.world + ":"}, {fmt.Sprintf("[%s]:%d", p.ip6, application), "[::6]:", "[" + p.world6 + "]:"}, {p.ip + ":15021", p.world + ":", ""},
			} {
				from, err := came(net.DialTimeout("tcp", c.to, deadline))
				if err != nil || !strings.HasPrefix(from, c.want) {
					t.Errorf("inbound to %s: the application sees %q, %v, want %s", c.to, from, err, c.want)
				}
				if c.client == "" {
					continue
				}
				eventually(t, "the log has the client of "+c.to, func() bool {
					b, _ := os.ReadFile(log)
					return strings.Contains(string(b), "\n"+c.client) || strings.HasPrefix(string(b), c.client)
				})
			}
			if code, said := p.command("", "clean"); code != 0 || !strings.Contains(said, "ebpf") {
				t.Errorf("clean: %d %s", code, said)
			}
			if after := p.everything(); after != before {
				t.Errorf("cleaned: it is not as it was:\n%s\nbefore:\n%s", after, before)
			}
			if own, _, told := p.program(t, root, p.world+":7001"); told != own {
				t.Errorf("cleaned: %s, and it is %s", told, own)
			}
			if from, err := in(); err != nil || !strings.HasPrefix(from, p.world+":") {
				t.Errorf("cleaned: the application sees %q, %v", from, err)
			}
		})
	}
}

// Where programs cannot be kept, one line says so, and rules carry on: nobody is left uncaptured because of what he has asked for.
func TestProgramsThatCannotBe(t *testing.T) {
	p := newPod(t)
	args := strings.Join(append([]string{"capture", "apply", "--backend", "ebpf", "--cgroup", p.group(t)}, sidecarArgs...), "' '")
	said := p.run("unshare", "-m", "sh", "-c", "umount /sys/fs/bpf && exec "+program(t)+" '"+args+"'")
	if !strings.Contains(said, "captured by") || !strings.Contains(said, "(not by ebpf: ") || !strings.Contains(said, "is in no BPF file system: mount one") {
		t.Errorf("it said %s", said)
	}
	if code, said := p.command("", append([]string{"check"}, sidecarArgs...)...); code != 0 {
		t.Errorf("check: %d %s", code, said)
	}
	go whence((*pod)(nil).listen(t, ":7001"))
	if got := p.way(root, p.world+":7001"); got == "straight" {
		t.Error("it goes out past the proxy")
	}
}
