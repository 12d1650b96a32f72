package bpf

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What the processes of a test are: the test itself in a namespace, and the workload's proxy and application, which are this program, too.
const (
	roleKey  = "WEFT_TEST_BPF"
	inside   = "inside"
	proxy    = "proxy"
	outside  = "outside"
	user     = 1337
	deadline = 20 * time.Second
	pod      = "10.9.8.7"
	pod6     = "fd00::7"
	other    = "10.9.8.1"
	other6   = "fd00::1"
)

// TestMain runs the tests in a network namespace that ends with them. They want root.
func TestMain(m *testing.M) {
	switch os.Getenv(roleKey) {
	case inside:
		if err := prepare(); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	case proxy:
		// Here, and not when it is started: that user may not read where go test puts this program.
		if err := errors.Join(syscall.Setgid(user), syscall.Setuid(user)); err != nil {
			panic(err)
		}
		serve()
		return
	case outside:
		dial()
		return
	case puppet:
		if err := errors.Join(syscall.Setgid(user), syscall.Setuid(user)); err != nil {
			panic(err)
		}
		dance()
		return
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "capture by BPF is tested as root: programs are loaded, and a cgroup and a network namespace are made")
		os.Exit(1)
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), roleKey+"="+inside)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		panic(err)
	}
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// prepare gives the namespace its addresses, and a BPF file system, and another namespace a way in.
func prepare() error {
	dir, err := os.MkdirTemp("", "bpf")
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		return err
	}
	pins = filepath.Join(dir, "w")
	if err := errors.Join(ip("link", "set", "lo", "up"), ip("-6", "addr", "add", "::6/128", "dev", "lo"), ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1")); err != nil {
		return err
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), roleKey+"="+outside)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	away = &asked{json.NewDecoder(out), in}
	if err := errors.Join(ip("link", "set", "eth1", "netns", fmt.Sprint(c.Process.Pid)), ip("link", "set", "eth0", "up"),
		ip("addr", "add", pod+"/24", "dev", "eth0"), ip("-6", "addr", "add", pod6+"/64", "dev", "eth0", "nodad"), ip("route", "add", "default", "via", other), ip("-6", "route", "add", "default", "via", other6)); err != nil {
		return err
	}
	if said := away.ask("up"); said != "up" {
		return errors.New(said)
	}
	return nil
}

// dial is somebody elsewhere: he says what he is told at each address that he is given.
func dial() {
	enc := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() != "up" {
			enc.Encode(first(lines.Text()))
			continue
		}
		said := "up"
		if err := errors.Join(ip("link", "set", "eth1", "up"), ip("addr", "add", other+"/24", "dev", "eth1"), ip("-6", "addr", "add", other6+"/64", "dev", "eth1", "nodad")); err != nil {
			said = err.Error()
		}
		enc.Encode(said)
	}
}

// asked is a process that answers lines.
type asked struct {
	out *json.Decoder
	in  io.Writer
}

func (a *asked) ask(line string) (said string) {
	fmt.Fprintln(a.in, line)
	if err := a.out.Decode(&said); err != nil {
		return err.Error()
	}
	return said
}

var away *asked

var pins string

// original asks the kernel where a connection was to go.
func original(c *net.TCPConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	out := ""
	raw.Control(func(fd uintptr) {
		var b [28]byte
		size := uint32(len(b))
		level := uintptr(unix.SOL_IP)
		if !netip.MustParseAddrPort(c.LocalAddr().String()).Addr().Unmap().Is4() {
			level = unix.SOL_IPV6
		}
		_, _, no := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, level, 80, uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case no != 0:
			out = no.Error()
		case size == 16:
			out = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3])).String()
		default:
			out = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), uint16(b[2])<<8|uint16(b[3])).String()
		}
	})
	return out
}

// serve is the proxy: it says of each connection what it knows, and dials for it what it is told.
func serve() {
	say := func(l net.Listener, what func(*net.TCPConn) string) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintln(c, what(c.(*net.TCPConn)))
				echo(c.(*net.TCPConn))
			}()
		}
	}
	listen := func(network, at string) net.Listener {
		var plain net.ListenConfig
		plain.SetMultipathTCP(false) // as weft listens: the kernel keeps no others in a map
		l, err := plain.Listen(context.Background(), network, at)
		if err != nil {
			panic(err)
		}
		return l
	}
	out := func(c *net.TCPConn) string { return "out to " + original(c) }
	in := func(c *net.TCPConn) string {
		from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		return "in to " + c.LocalAddr().String() + " from " + from
	}
	go say(listen("tcp4", "127.0.0.1:15001"), out)
	go say(listen("tcp6", "[::1]:15001"), out)
	go say(listen("tcp4", "0.0.0.0:15006"), in)
	go say(listen("tcp6", "[::]:15006"), in)
	names, err := net.ListenPacket("udp4", "127.0.0.1:15053")
	if err != nil {
		panic(err)
	}
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := names.ReadFrom(b)
			if err != nil {
				return
			}
			names.WriteTo([]byte("name of "+string(b[:n])), from)
		}
	}()
	enc := json.NewEncoder(os.Stdout)
	enc.Encode("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		from, at, _ := strings.Cut(lines.Text(), ">")
		enc.Encode(firstFrom(from, at))
	}
}

// echo sends back what comes, and tells of it as weft does.
func echo(c *net.TCPConn) {
	b, all := make([]byte, 32<<10), uint64(0)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		all += uint64(n)
		tell(c, all)
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// first is the first line that is said at an address, or why there is none.
func first(at string) string { return firstFrom("", at) }

func firstFrom(from, at string) string {
	d := net.Dialer{Timeout: deadline}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.Dial("tcp", at)
	if err != nil {
		var no syscall.Errno
		if errors.As(err, &no) {
			return no.Error()
		}
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(deadline))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// world is a workload: a cgroup, and in it this process, which is the application, and the proxy.
type world struct {
	t      *testing.T
	cgroup string
	proxy  *asked
}

// unified is where the unified hierarchy is.
func unified(t *testing.T) string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Fatal("there is no unified hierarchy of cgroups (v2): mount one (mount -t cgroup2 none /sys/fs/cgroup)")
	return ""
}

func newWorld(t *testing.T, c Config) *world {
	t.Helper()
	root := unified(t)
	w := &world{t: t, cgroup: filepath.Join(root, fmt.Sprintf("weft-test-%d", os.Getpid()))}
	if err := os.Mkdir(w.cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	old := root
	for line := range strings.Lines(string(was)) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			old = filepath.Join(root, at)
		}
	}
	move := func(to string) {
		if err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(fmt.Sprint(os.Getpid())), 0); err != nil {
			t.Fatal(err)
		}
	}
	move(w.cgroup)
	t.Cleanup(func() {
		move(old)
		if err := os.Remove(w.cgroup); err != nil {
			t.Error(err)
		}
	})
	w.attach(c)
	t.Cleanup(func() {
		if err := Detach(pins); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) attach(c Config) {
	w.t.Helper()
	if err := Attach(Workload{Cgroup: w.cgroup, NetNS: "/proc/self/ns/net", Pins: pins}, c); err != nil {
		w.t.Fatal(err)
	}
}

// start starts the proxy, and gives what ends it.
func (w *world) start() (end func()) {
	t := w.t
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), roleKey+"="+proxy)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			c.Process.Kill()
			c.Wait()
		}
	}
	t.Cleanup(end)
	w.proxy = &asked{json.NewDecoder(out), in}
	var ready string
	if err := w.proxy.out.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return end
}

// app listens as the application does, and says so.
func (w *world) app(network, at string) {
	w.t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "application at", c.LocalAddr())
			c.Close()
		}
	}()
}

func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func usual() Config {
	return Config{OutboundPort: 15001, InboundPort: 15006, NamesPort: 15053, Users: []uint32{user}, Own: []netip.Addr{netip.MustParseAddr(pod), netip.MustParseAddr(pod6)},
		Resolvers: []netip.Addr{netip.MustParseAddr("10.9.8.53")}, AllOutbound: true, LeftRanges: []netip.Prefix{netip.MustParsePrefix("10.9.8.96/28")}, Ranges: []netip.Prefix{netip.MustParsePrefix("10.9.8.97/32")},
		LeftOutboundPorts: []uint16{81}, AllInbound: true, LeftInboundPorts: []uint16{15090}}
}

func TestCapture(t *testing.T) {
	for _, short := range []bool{false, true} {
		t.Run(fmt.Sprintf("short cuts %v", short), func(t *testing.T) {
			c := usual()
			c.ShortCuts = short
			w := newWorld(t, c)
			w.start()
			w.app("tcp4", "0.0.0.0:8080")
			w.app("tcp6", "[::]:8081")
			w.app("tcp4", "10.9.8.7:81")
			w.want("out", first("10.1.2.3:80"), "out to 10.1.2.3:80")
			w.want("out by IPv6", first("[fd00::99]:80"), "out to [fd00::99]:80")
			w.want("to itself by loopback", first("127.0.0.1:8080"), "application at 127.0.0.1:8080")
			w.want("to itself by its address", first(pod+":8080"), "application at 10.9.8.7:8080")
			w.want("the proxy to the application", w.proxy.ask(">"+"127.0.0.1:8080"), "application at 127.0.0.1:8080")
			w.want("the proxy to its own address", w.proxy.ask(">"+pod+":8080"), "in to 10.9.8.7:8080 from 10.9.8.7")
			w.want("the proxy to its own address by IPv6", w.proxy.ask(">"+"["+pod6+"]:8081"), "in to [fd00::7]:8081 from fd00::7")
			w.want("the proxy to the application where it was called", w.proxy.ask("127.0.0.6>"+pod+":8080"), "application at 10.9.8.7:8080")
			w.want("and by IPv6", w.proxy.ask("::6>["+pod6+"]:8081"), "application at [fd00::7]:8081")
			w.want("a range in a range that is left alone", first("10.9.8.97:80"), "out to 10.9.8.97:80")
			w.want("in", away.ask(pod+":8080"), "in to 10.9.8.7:8080 from 10.9.8.1")
			w.want("in by IPv6", away.ask("["+pod6+"]:8081"), "in to [fd00::7]:8081 from fd00::1")
			w.want("in where nobody listens", away.ask(pod+":9999"), "in to 10.9.8.7:9999 from 10.9.8.1")
			w.want("in at a port that is left alone", away.ask(pod+":15090"), "connection refused")
			peer, err := net.Dial("tcp", "10.1.2.4:443")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			w.want("whom it is connected with", peer.RemoteAddr().String(), "10.1.2.4:443")
			// What is said afterwards gets there, too.
			r := bufio.NewReader(peer)
			r.ReadString('\n')
			text := strings.Repeat("x", 1<<20)
			go io.WriteString(peer, text)
			peer.SetDeadline(time.Now().Add(deadline))
			if b := make([]byte, len(text)); true {
				if _, err := io.ReadFull(r, b); err != nil || string(b) != text {
					t.Errorf("a megabyte: %v", err)
				}
			}
			names, err := net.Dial("udp", "10.9.8.53:53")
			if err != nil {
				t.Fatal(err)
			}
			defer names.Close()
			w.want("whom it asks for names", names.RemoteAddr().String(), "10.9.8.53:53")
			names.SetDeadline(time.Now().Add(deadline))
			io.WriteString(names, "a")
			b := make([]byte, 100)
			n, err := names.Read(b)
			w.want(fmt.Sprint("a name ", err), string(b[:n]), "name of a")
			loose, err := net.ListenPacket("udp4", "0.0.0.0:0")
			if err != nil {
				t.Fatal(err)
			}
			defer loose.Close()
			loose.SetDeadline(time.Now().Add(deadline))
			loose.WriteTo([]byte("b"), &net.UDPAddr{IP: net.IPv4(10, 9, 8, 53), Port: 53})
			n, from, err := loose.ReadFrom(b)
			w.want(fmt.Sprint("a name by a socket that is not connected ", err), fmt.Sprint(string(b[:n]), from), "name of b10.9.8.53:53")
		})
	}
}

// Sockets of IPv6 that talk IPv4, as Java's do, and those of several paths, are captured like others.
func TestOtherSockets(t *testing.T) {
	w := newWorld(t, usual())
	w.start()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "both")
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet6{Port: 80, Addr: netip.MustParseAddr("::ffff:10.1.2.3").As16()}); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(f).ReadString('\n')
	w.want(fmt.Sprint("by a socket of IPv6 ", err), line, "out to 10.1.2.3:80\n")
	var many net.Dialer
	many.SetMultipathTCP(true)
	c, err := many.Dial("tcp", "10.1.2.3:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err = bufio.NewReader(c).ReadString('\n')
	w.want(fmt.Sprint("by several paths ", err), line, "out to 10.1.2.3:80\n")
}

// Who comes in gets to nobody while the proxy is not there, and to the next one when there is one.
func TestProxyGoesAndComes(t *testing.T) {
	w := newWorld(t, usual())
	w.app("tcp4", "0.0.0.0:8080")
	w.want("in before there is a proxy", away.ask(pod+":8080"), "connection refused")
	w.want("out before there is a proxy", first("10.1.2.3:80"), "connection refused")
	end := w.start()
	w.want("in", away.ask(pod+":8080"), "in to 10.9.8.7:8080 from 10.9.8.1")
	end()
	w.want("in when it is gone", away.ask(pod+":8080"), "connection refused")
	w.start()
	w.want("in when it has come back", away.ask(pod+":8080"), "in to 10.9.8.7:8080 from 10.9.8.1")
	s, err := Look(pins)
	if err != nil || !s.Whole || !s.Listens || s.In != 2 || s.Refused < 2 || s.Out != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Other settings take the place of those that there are, at once and without a gap; wrong ones change nothing; what is taken off is off.
func TestChanges(t *testing.T) {
	w := newWorld(t, usual())
	w.start()
	w.app("tcp4", pod+":81")
	w.app("tcp4", pod+":8080")
	w.want("a port that is left alone", first(pod+":81"), "application at 10.9.8.7:81")
	stop, failures := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(failures)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := first("10.1.2.3:80"); got != "out to 10.1.2.3:80" {
				failures <- got
				return
			}
		}
	}()
	c := usual()
	for i := range 20 {
		c.LeftInboundPorts = []uint16{15090}
		if i%2 == 0 {
			c.LeftInboundPorts = []uint16{15090, 8080}
		}
		w.attach(c)
		want := "in to 10.9.8.7:8080 from 10.9.8.1"
		if i%2 == 0 {
			want = "application at 10.9.8.7:8080"
		}
		w.want(fmt.Sprint("in, after change ", i), away.ask(pod+":8080"), want)
	}
	close(stop)
	for got := range failures {
		t.Errorf("while it changed: %q", got)
	}
	if err := Attach(Workload{Cgroup: w.cgroup, NetNS: "/nowhere", Pins: pins}, c); err == nil || !strings.Contains(err.Error(), "the network namespace: open /nowhere: no such file") {
		t.Error(err)
	}
	w.want("after what was refused", away.ask(pod+":8080"), "in to 10.9.8.7:8080 from 10.9.8.1")
	if err := Detach(pins); err != nil {
		t.Fatal(err)
	}
	w.want("in, without", away.ask(pod+":8080"), "application at 10.9.8.7:8080")
	if got := attachedTo(t, w.cgroup); got != 0 {
		t.Errorf("%d programs are still there", got)
	}
	if err := Detach(pins); err != nil {
		t.Error(err)
	}
	if s, err := Look(pins); err != nil || s.Whole {
		t.Errorf("%+v, %v", s, err)
	}
}

// attachedTo counts programs of ours at a cgroup.
func attachedTo(t *testing.T, cgroup string) (n int) {
	t.Helper()
	f, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []ebpf.AttachType{ebpf.AttachCGroupInet4Connect, ebpf.AttachCGroupInet6Connect, ebpf.AttachCGroupSockOps, ebpf.AttachCGroupGetsockopt, ebpf.AttachCGroupUDP4Sendmsg} {
		r, err := link.QueryPrograms(link.QueryOptions{Target: int(f.Fd()), Attach: at})
		if err != nil {
			t.Fatal(err)
		}
		n += len(r.Programs)
	}
	return n
}

// What goes from socket to socket is counted, and only where that was asked for.
func TestShortCuts(t *testing.T) {
	for _, short := range []bool{false, true} {
		c := usual()
		c.ShortCuts = short
		t.Run(fmt.Sprint(short), func(t *testing.T) {
			w := newWorld(t, c)
			w.start()
			peer, err := net.Dial("tcp", "10.1.2.3:80")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			peer.SetDeadline(time.Now().Add(deadline))
			r := bufio.NewReader(peer)
			r.ReadString('\n')
			for range 2 { // the first one is what is told of
				io.WriteString(peer, "and back\n")
				line, err := r.ReadString('\n')
				w.want(fmt.Sprint("what came back ", err), line, "and back\n")
			}
			if s, err := Look(pins); err != nil || (s.Short > 0) != short {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// Options of sockets that are longer than what the kernel shows to programs are set and read as without them: iptables has such.
func TestLongOptions(t *testing.T) {
	c := usual()
	c.ShortCuts = true
	newWorld(t, c)
	text := "*filter\n"
	for port := range 100 {
		text += fmt.Sprintf("-A OUTPUT -p tcp -m tcp --dport %d -j ACCEPT\n", 1000+port)
	}
	set := exec.Command("iptables-legacy-restore")
	set.Stdin = strings.NewReader(text + "COMMIT\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("iptables-legacy", "-F").Run() })
	out, err := exec.Command("iptables-legacy-save", "-t", "filter").CombinedOutput()
	if err != nil || strings.Count(string(out), "-A OUTPUT") != 100 {
		t.Errorf("%v: %s", err, out)
	}
}
