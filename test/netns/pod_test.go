package netns

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/capture"

	// What the program is built from, or go test would take the last result for one of what has changed since.
	_ "github.com/weftmesh/weft/filters/builtin"
	_ "github.com/weftmesh/weft/proxy"
	_ "github.com/weftmesh/weft/proxy/admin"
)

const deadline = 20 * time.Second

// proxyUser is the proxy's.
const proxyUser = 1337

// pod is a network namespace beside that of the tests, which is the world around it: a link goes between, on which the pod has the addresses ip and
// ip6, and the world world and world6.
type pod struct {
	t                      testing.TB
	ns                     *os.File
	number                 int
	ip, ip6, world, world6 string
	dir                    string
	cgroup                 *os.File // that programs start in; nil: that of the tests
}

var pods atomic.Int32

func newPod(t testing.TB) *pod {
	t.Helper()
	n := int(pods.Add(1))%250 + 1 // earlier pods are gone by then
	p := &pod{t: t, number: n, ip: fmt.Sprintf("10.77.%d.2", n), ip6: fmt.Sprintf("fd77:%d::2", n), world: fmt.Sprintf("10.77.%d.1", n), world6: fmt.Sprintf("fd77:%d::1", n)}
	var err error
	if p.dir, err = os.MkdirTemp(folder, "pod"); err == nil {
		err = os.Chmod(p.dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() { // the thread stays in the new namespace, and ends
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			p.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.ns.Close() })
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("pod%d", n)}, PeerName: "eth0", PeerNamespace: netlink.NsFd(p.ns.Fd())}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	up(t, link.Name, p.world+"/24", p.world6+"/64")
	p.do(func() error {
		up(t, "lo")
		up(t, "eth0", p.ip+"/24", p.ip6+"/64")
		for _, via := range []string{p.world, p.world6} {
			if err := netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(via)}); err != nil {
				return err
			}
		}
		return nil
	})
	return p
}

func up(t testing.TB, name string, addresses ...string) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	for _, a := range addresses {
		address, e := netlink.ParseAddr(a)
		if e != nil {
			t.Error(e)
			return
		}
		address.Flags = unix.IFA_F_NODAD // it is nobody else's, and is wanted now
		if err == nil {
			err = netlink.AddrAdd(link, address)
		}
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func down(t *testing.T, name string, addresses ...string) {
	link, err := netlink.LinkByName(name)
	for _, text := range addresses {
		a, e := netlink.ParseAddr(text)
		if err == nil && e == nil {
			err = netlink.AddrDel(link, a)
		}
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// try runs f in the pod.
func (p *pod) try(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
		err := unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (p *pod) do(f func() error) {
	p.t.Helper()
	if err := p.try(f); err != nil {
		p.t.Fatal(err)
	}
}

// who is whose process a connection is of.
type who struct{ user, group int }

var root = who{}

// be has the rest of a try be of that user and group: a socket is known by who may open files.
func (w who) be() {
	unix.RawSyscall(unix.SYS_SETFSGID, uintptr(w.group), 0, 0)
	unix.RawSyscall(unix.SYS_SETFSUID, uintptr(w.user), 0, 0)
}

// dialAs connects from the pod.
func (p *pod) dialAs(w who, network, address string) (c net.Conn, err error) {
	err = p.try(func() error {
		w.be()
		c, err = net.DialTimeout(network, address, 2*time.Second)
		return err
	})
	return c, err
}

func (p *pod) dial(network, address string) (net.Conn, error) {
	return p.dialAs(root, network, address)
}

// listen listens in the pod, or in the world if p is nil.
func (p *pod) listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	do := func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}
	err := error(nil)
	if p == nil {
		err = do()
	} else {
		err = p.try(do)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// whence answers each connection with its client's address, after a line of the client's if it waits for one, and then with what is sent.
func whence(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintf(c, "%s\n", c.RemoteAddr())
			b := make([]byte, 4096)
			for {
				n, err := c.Read(b)
				if n > 0 {
					c.Write(b[:n])
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// backends are those that carry plans out.
var backends = map[string]capture.Options{
	"iptables-nft":    {Backend: capture.BackendIPTables, Binary: "nft"},
	"iptables-legacy": {Backend: capture.BackendIPTables, Binary: "legacy"},
	"nftables":        {Backend: capture.BackendNFTables},
}

// eachBackend runs a test with each of them.
func eachBackend(t *testing.T, f func(t *testing.T, o capture.Options)) {
	for name, o := range backends {
		t.Run(name, func(t *testing.T) { f(t, o) })
	}
}

// capture applies what a command line of istio-iptables says, by a backend.
func (p *pod) capture(o capture.Options, args ...string) capture.Options {
	p.t.Helper()
	all := p.options(o, args...)
	p.do(func() error {
		_, err := capture.Apply(all)
		return err
	})
	return all
}

func (p *pod) options(o capture.Options, args ...string) (all capture.Options) {
	p.t.Helper()
	p.do(func() error {
		h, err := capture.ThisHost()
		if err != nil {
			return err
		}
		h.Env = func(string) (string, bool) { return "", false }
		h.Resolvers = nil
		all, err = capture.Parse(args, h, os.Stderr, "")
		return err
	})
	all.Backend, all.Binary = o.Backend, o.Binary
	return all
}

// check is what Check finds in the pod.
func (p *pod) check(o capture.Options) (r capture.Report) {
	p.t.Helper()
	p.do(func() (err error) {
		r, err = capture.Check(o)
		return err
	})
	return r
}

// run runs a program in the pod and gives what it says.
func (p *pod) run(name string, args ...string) string {
	p.t.Helper()
	var out []byte
	if err := p.try(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	}); err != nil {
		p.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// weft runs the program in the pod, as the proxy's user, and waits until it serves. What it logs of connections is in the file that is returned.
func (p *pod) weft(bootstrap string) (log string) {
	t := p.t
	t.Helper()
	path := program(t)
	log = filepath.Join(p.dir, "access")
	bootstrap = strings.ReplaceAll(bootstrap, "@LOG@", log)
	c := exec.Command(path, "--config-yaml", bootstrap, "--concurrency", "2", "--disable-hot-restart", "--file-flush-interval-msec", "10", "--local-address-ip-version", "v4")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser}, AmbientCaps: []uintptr{unix.CAP_NET_ADMIN}}
	if p.cgroup != nil {
		c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(p.cgroup.Fd())
	}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	p.do(c.Start)
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("weft said:\n%s", said.String())
		}
	})
	client := http.Client{Transport: p.transport("127.0.0.1:15000"), Timeout: time.Second}
	eventually(t, "weft serves", func() bool {
		select {
		case <-ended:
			t.Fatalf("weft ended:\n%s", said.String())
		default:
		}
		r, err := client.Get("http://admin/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return log
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
