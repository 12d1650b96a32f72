package bpf

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
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

	"golang.org/x/sys/unix"
)

// puppet is a proxy that does what it is told on connections, in a workload of its own.
const puppet = "puppet"

// order is one thing to do. Bytes are those of a stream of random numbers, from where the connection's last order has ended.
type order struct {
	Do   string // listen, dial, fast, accept, option, write, read, ask, answer, anew, shut, close
	ID   int    // of the connection
	At   string // address, or which option
	Port int    // own
	N    int    // bytes
	Tell string // of what is read: all, nothing, more
	Size int    // bytes in a piece; 0: all at once
}

// said is what came of it.
type said struct {
	Err string
	N   int
	Sum string // of all bytes that were ever read, or written
	CPU time.Duration
}

// cpu is what the process has used of it.
func cpu() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// puppetEnd is one of a puppet's connections.
type puppetEnd struct {
	c       *net.TCPConn
	all     uint64 // bytes that were read
	rest    *rand.ChaCha8
	in, out hash.Hash
}

// dance obeys orders until there are no more.
func dance() {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	ends := map[int]*puppetEnd{}
	accepted := make(chan *net.TCPConn, 100)
	enc, dec := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	keep := func(id int, c *net.TCPConn) {
		ends[id] = &puppetEnd{c: c, rest: rand.NewChaCha8([32]byte{byte(os.Getpid()), byte(os.Getpid() >> 8), byte(id)}), in: sha256.New(), out: sha256.New()}
	}
	for {
		var o order
		if dec.Decode(&o) != nil {
			return
		}
		var s said
		var err error
		e := ends[o.ID]
		switch o.Do {
		case "listen":
			var l net.Listener
			if l, err = plain.Listen(context.Background(), "tcp", o.At); err == nil {
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						accepted <- c.(*net.TCPConn)
					}
				}()
			}
		case "dial":
			d := net.Dialer{Timeout: deadline}
			d.SetMultipathTCP(false)
			if o.Port != 0 {
				d.LocalAddr = &net.TCPAddr{Port: o.Port}
			}
			var c net.Conn
			if c, err = d.Dial("tcp", o.At); err == nil {
				keep(o.ID, c.(*net.TCPConn))
			}
		case "fast":
			var c *net.TCPConn
			if c, err = dialFast(o.At, o.N); err == nil {
				keep(o.ID, c)
			}
		case "option":
			err = option(e.c, o.At)
		case "anew":
			e.all = 0
		case "accept":
			select {
			case c := <-accepted:
				keep(o.ID, c)
			case <-time.After(deadline):
				err = errors.New("nobody came")
			}
		case "write":
			e.c.SetWriteDeadline(time.Now().Add(time.Second))
			b := make([]byte, max(o.Size, 1))
			if o.Size == 0 {
				b = make([]byte, o.N)
			}
			for s.N < o.N && err == nil {
				e.rest.Read(b)
				var n int
				n, err = e.c.Write(b)
				s.N += n
				e.out.Write(b[:n])
			}
			s.Sum = fmt.Sprintf("%x", e.out.Sum(nil))
		case "read":
			e.c.SetReadDeadline(time.Now().Add(deadline))
			b := make([]byte, max(o.Size, 4096))
			for s.N < o.N && err == nil {
				var n int
				n, err = e.c.Read(b[:min(len(b), o.N-s.N)])
				s.N, e.all = s.N+n, e.all+uint64(n)
				e.in.Write(b[:n])
				switch o.Tell {
				case "all":
					tell(e.c, e.all)
				case "more":
					tell(e.c, e.all+1000)
				}
			}
			s.Sum = fmt.Sprintf("%x", e.in.Sum(nil))
		case "ask", "answer":
			b, used := make([]byte, o.Size), cpu()
			for i := 0; i < o.N && err == nil; i++ {
				if o.Do == "ask" {
					_, err = e.c.Write(b)
				}
				if err == nil {
					_, err = io.ReadFull(e.c, b)
				}
				if e.all += uint64(len(b)); i%32 == 0 {
					tell(e.c, e.all)
				}
				if o.Do == "answer" && err == nil {
					_, err = e.c.Write(b)
				}
			}
			s.CPU = cpu() - used
		case "shut":
			err = e.c.CloseWrite()
		case "close":
			err = e.c.Close()
		}
		if err != nil {
			s.Err = err.Error()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.Err = "timeout"
			}
		}
		enc.Encode(s)
	}
}

// dialFast connects by a send that waits for the connection (MSG_FASTOPEN, of which the kernel has no cookie yet): its bytes, which are 0, are sent when a
// program on what is sent is on the socket already, and past it.
func dialFast(at string, n int) (*net.TCPConn, error) {
	to := netip.MustParseAddrPort(at)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), at)
	defer f.Close()
	if err := unix.Sendto(fd, make([]byte, n), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// option sets one by which what is sent is not what it seems: whether the kernel has it or not, the program sees it first.
func option(c *net.TCPConn, which string) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		switch which {
		case "tls":
			unix.SetsockoptString(int(fd), unix.SOL_TCP, unix.TCP_ULP, "tls")
		case "zerocopy":
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1)
		}
	})
}

// tell says how much was read, as weft does.
func tell(c *net.TCPConn, all uint64) (told bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		_, _, no := unix.Syscall6(unix.SYS_SETSOCKOPT, fd, 0x57454654, 1, uintptr(unsafe.Pointer(&all)), unsafe.Sizeof(all), 0)
		told = no == 0
	})
	return told
}

// stage is a workload with a puppet in it.
type stage struct {
	t      *testing.T
	pins   string
	cgroup string
	c      *exec.Cmd
	enc    *json.Encoder
	dec    *json.Decoder
}

// stages makes pairs of workloads that are joined, each by a wire of its own, and all of which have the same addresses: here and there.
func stages(t *testing.T, pairs int) (here, there []*stage) {
	t.Helper()
	const a, b = "10.55.0.1", "10.55.0.2"
	for i := range pairs {
		left, right := newStage(t, fmt.Sprintf("a%d", i)), newStage(t, fmt.Sprintf("b%d", i))
		name := fmt.Sprintf("w%d", i)
		if err := errors.Join(ip("link", "add", name, "type", "veth", "peer", "name", name+"x"), ip("link", "set", name, "netns", fmt.Sprint(left.c.Process.Pid)), ip("link", "set", name+"x", "netns", fmt.Sprint(right.c.Process.Pid))); err != nil {
			t.Fatal(err)
		}
		for _, one := range []struct {
			s          *stage
			link, addr string
		}{{left, name, a}, {right, name + "x", b}} {
			for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", one.addr + "/24", "dev", one.link}, {"link", "set", one.link, "up"}} {
				if out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(one.s.c.Process.Pid), "-n", "ip"}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			one.s.attach(one.addr, true)
			one.s.must(order{Do: "listen", At: "0.0.0.0:15006"})
		}
		here, there = append(here, left), append(there, right)
	}
	return here, there
}

func (s *stage) attach(addr string, short bool) {
	s.t.Helper()
	if err := s.try(addr, short); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) try(addr string, short bool) error {
	return Attach(Workload{Cgroup: s.cgroup, NetNS: fmt.Sprintf("/proc/%d/ns/net", s.c.Process.Pid), Pins: s.pins}, Config{OutboundPort: 15001, InboundPort: 15006, Users: []uint32{user},
		Own: []netip.Addr{netip.MustParseAddr(addr)}, AllOutbound: true, AllInbound: true, ShortCuts: short})
}

func newStage(t *testing.T, name string) *stage {
	t.Helper()
	s := &stage{t: t, pins: filepath.Join(filepath.Dir(pins), name), cgroup: filepath.Join(unified(t), fmt.Sprintf("weft-test-%d-%s", os.Getpid(), name))}
	if err := os.Mkdir(s.cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(s.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.c = exec.Command(os.Args[0])
	s.c.Env = append(os.Environ(), roleKey+"="+puppet)
	s.c.Stderr = os.Stderr
	s.c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWNET, UseCgroupFD: true, CgroupFD: int(f.Fd())}
	in, err := s.c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.enc, s.dec = json.NewEncoder(in), json.NewDecoder(out)
	if err := s.c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Detach(s.pins); err != nil {
			t.Error(err)
		}
		s.kill()
		for end := time.Now().Add(deadline); os.Remove(s.cgroup) != nil && time.Now().Before(end); time.Sleep(time.Millisecond) { // it is empty when what was killed has gone
		}
	})
	return s
}

func (s *stage) kill() {
	s.c.Process.Kill()
	s.c.Wait()
}

// do has an order carried out.
func (s *stage) do(o order) (r said) {
	s.t.Helper()
	if err := errors.Join(s.enc.Encode(o), s.dec.Decode(&r)); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// must is do, of what may not fail.
func (s *stage) must(o order) said {
	s.t.Helper()
	r := s.do(o)
	if r.Err != "" {
		s.t.Fatalf("%+v: %s", o, r.Err)
	}
	return r
}

func (s *stage) state() State {
	s.t.Helper()
	is, err := Look(s.pins)
	if err != nil {
		s.t.Fatal(err)
	}
	return is
}

// join connects, from a port of its own so that four-tuples are alike.
func join(here, there *stage, id, port int) {
	here.t.Helper()
	here.must(order{Do: "dial", ID: id, At: "10.55.0.2:80", Port: port})
	there.must(order{Do: "accept", ID: id})
}

// sends has bytes go from one to the other, who tells of them, and wants them to be the same.
func sends(from, to *stage, id, n int) {
	from.t.Helper()
	w, r := from.must(order{Do: "write", ID: id, N: n}), to.must(order{Do: "read", ID: id, N: n, Tell: "all"})
	if w.Sum != r.Sum {
		from.t.Fatalf("%d bytes: others came", n)
	}
}

// What one proxy sends another one of the same node goes from socket to socket, from the second piece on in each direction: the first is what is told of.
func TestShortBetweenProxies(t *testing.T) {
	a, b := stages(t, 1)
	join(a[0], b[0], 1, 40001)
	const rounds = 200
	for range rounds {
		sends(a[0], b[0], 1, 1000)
		sends(b[0], a[0], 1, 3000)
	}
	for _, s := range []*stage{a[0], b[0]} {
		if is := s.state(); is.Short != rounds-1 || is.Long != 1 {
			t.Errorf("%+v", is)
		}
	}
	// Our end, after what was sent short, and the other way goes on.
	a[0].must(order{Do: "write", ID: 1, N: 5000})
	a[0].must(order{Do: "shut", ID: 1})
	if r := b[0].must(order{Do: "read", ID: 1, N: 5000}); r.N != 5000 {
		t.Errorf("%+v", r)
	}
	if r := b[0].do(order{Do: "read", ID: 1, N: 1}); r.Err != "EOF" {
		t.Errorf("%+v", r)
	}
	sends(b[0], a[0], 1, 9000)
	b[0].must(order{Do: "close", ID: 1})
	if r := a[0].do(order{Do: "read", ID: 1, N: 1}); r.Err != "EOF" {
		t.Errorf("%+v", r)
	}
}

// Networks of a node may have the same addresses: connections that are alike in all that their packets say of addresses and ports stay apart.
func TestShortWithEqualAddresses(t *testing.T) {
	const pairs = 4
	a, b := stages(t, pairs)
	for i := range pairs {
		join(a[i], b[i], 1, 40001)
	}
	for round := range 50 {
		var sums [pairs][2]string // sent by all before any is read, and not the same by any two
		for i := range pairs {
			sums[i][0] = a[i].must(order{Do: "write", ID: 1, N: 100 + i*1000 + round}).Sum
			sums[i][1] = b[i].must(order{Do: "write", ID: 1, N: 200 + i*1000 + round}).Sum
		}
		for i := range pairs {
			for way, one := range []struct {
				s *stage
				n int
			}{{b[i], 100 + i*1000 + round}, {a[i], 200 + i*1000 + round}} {
				if r := one.s.must(order{Do: "read", ID: 1, N: one.n, Tell: "all"}); r.Sum != sums[i][way] {
					t.Fatalf("pair %d, way %d: others came", i, way)
				}
			}
		}
	}
	for i := range pairs {
		sends(a[i], b[i], 1, 10)
		sends(b[i], a[i], 1, 10)
		if is := a[i].state(); is.Short < 40 {
			t.Errorf("%d: %+v", i, is)
		}
	}
	// The same port again: a connection that is new has nothing of the one before.
	for i := range pairs {
		a[i].must(order{Do: "close", ID: 1})
		b[i].must(order{Do: "close", ID: 1})
	}
	for i := range pairs {
		join(a[i], b[i], 2, 40002)
		sends(a[i], b[i], 2, 500)
		sends(b[i], a[i], 2, 700)
	}
}

// A reader that stops reading stops the sender: of what comes by short cuts a window's worth waits, and the rest where TCP has it.
func TestShortIsBounded(t *testing.T) {
	a, b := stages(t, 1)
	join(a[0], b[0], 1, 40001)
	sends(a[0], b[0], 1, 1000)
	before := a[0].state()
	w := a[0].do(order{Do: "write", ID: 1, N: 1 << 30, Size: 8 << 10})
	after := a[0].state()
	if w.Err != "timeout" || w.N > 16<<20 {
		t.Errorf("%d bytes were taken: %s", w.N, w.Err)
	}
	if got := (after.Short - before.Short) * 8; got == 0 || got > 64 {
		t.Errorf("%d kB wait that came short", got)
	}
	r := b[0].must(order{Do: "read", ID: 1, N: w.N, Tell: "all", Size: 64 << 10})
	if r.Sum != w.Sum {
		t.Error("others came")
	}
	// Having waited, the rest of a piece was counted that was not sent: it stays long.
	sends(a[0], b[0], 1, 1000)
}

// Pieces of all sizes, read and told of as it happens to be, while both write: whichever way they go, they come in the order in which they were sent.
func TestShortKeepsOrder(t *testing.T) {
	a, b := stages(t, 1)
	const conns = 6
	for id := range conns {
		join(a[0], b[0], id, 0)
	}
	random := rand.New(rand.NewPCG(1, 2))
	waits := map[[2]int]int{}   // bytes, by connection and way
	last := map[[2]int]string{} // sum
	for range 3000 {
		id, way := random.IntN(conns), random.IntN(2)
		from, to := a[0], b[0]
		if way == 1 {
			from, to = to, from
		}
		at := [2]int{id, way}
		if n := waits[at]; n > 0 && random.IntN(3) > 0 {
			part := n
			if random.IntN(2) == 0 {
				part = 1 + random.IntN(n)
			}
			r := to.must(order{Do: "read", ID: id, N: part, Tell: []string{"all", "all", "nothing"}[random.IntN(3)]})
			if waits[at] -= part; waits[at] == 0 && r.Sum != last[at] {
				t.Fatalf("connection %d, way %d: others came", id, way)
			}
			continue
		}
		if n := 1 + random.IntN(1<<(1+random.IntN(16))); waits[at]+n < 200<<10 {
			last[at] = from.must(order{Do: "write", ID: id, N: n}).Sum
			waits[at] += n
		}
	}
	if is := a[0].state(); is.Short < 100 || is.Long < 10 {
		t.Errorf("both ways were to be taken: %+v", is)
	}
}

// A proxy is killed: what it has sent comes, and then the end; who sends to it finds out.
func TestShortAfterKill(t *testing.T) {
	a, b := stages(t, 1)
	join(a[0], b[0], 1, 40001)
	join(a[0], b[0], 2, 40002)
	for id := 1; id <= 2; id++ {
		sends(a[0], b[0], id, 1000)
		sends(b[0], a[0], id, 1000)
	}
	w := a[0].must(order{Do: "write", ID: 1, N: 30000})
	a[0].kill()
	if r := b[0].must(order{Do: "read", ID: 1, N: 30000}); r.Sum != w.Sum {
		t.Error("others came")
	}
	if r := b[0].do(order{Do: "read", ID: 1, N: 1}); r.Err == "" || r.Err == "timeout" {
		t.Errorf("after all: %+v", r)
	}
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
		r := b[0].do(order{Do: "write", ID: 2, N: 1000})
		if strings.Contains(r.Err, "reset") || strings.Contains(r.Err, "pipe") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nobody says that it is gone: %+v", r)
		}
	}
}

// Who tells of more than was sent has no short cut any more; who has told of nothing has none; and what was taken off ends those that there are.
func TestShortEnds(t *testing.T) {
	a, b := stages(t, 1)
	join(a[0], b[0], 1, 40001)
	for range 10 {
		a[0].must(order{Do: "write", ID: 1, N: 100})
		b[0].must(order{Do: "read", ID: 1, N: 100, Tell: "nothing"})
	}
	if is := a[0].state(); is.Short != 0 {
		t.Errorf("a reader that has said nothing: %+v", is)
	}
	sends(a[0], b[0], 1, 100)
	sends(a[0], b[0], 1, 100)
	if is := a[0].state(); is.Short != 1 {
		t.Errorf("one that has: %+v", is)
	}
	a[0].must(order{Do: "write", ID: 1, N: 100})
	b[0].must(order{Do: "read", ID: 1, N: 100, Tell: "more"})
	for range 3 {
		sends(a[0], b[0], 1, 100)
	}
	if is := a[0].state(); is.Short != 2 {
		t.Errorf("one that says too much: %+v", is)
	}
	join(a[0], b[0], 2, 40002)
	sends(a[0], b[0], 2, 100)
	sends(a[0], b[0], 2, 100)
	if err := Detach(b[0].pins); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		sends(a[0], b[0], 2, 1000)
	}
	if is := a[0].state(); is.Short > 3+64<<10/1000 {
		t.Errorf("nobody hears how much is read: %+v", is)
	}
}

// Sockets of which the kernel sends something else than was written, and connections whose writer went on while they were made, have no short cuts.
func TestShortNever(t *testing.T) {
	a, b := stages(t, 1)
	for id, which := range []string{"tls", "zerocopy"} {
		join(a[0], b[0], id, 0)
		a[0].must(order{Do: "option", ID: id, At: which})
		for range 5 {
			sends(a[0], b[0], id, 100)
		}
	}
	a[0].must(order{Do: "fast", ID: 5, At: "10.55.0.2:80", N: 100})
	b[0].must(order{Do: "accept", ID: 5})
	b[0].must(order{Do: "read", ID: 5, N: 100, Tell: "all"})
	for range 5 {
		a[0].must(order{Do: "write", ID: 5, N: 100})
		b[0].must(order{Do: "read", ID: 5, N: 100, Tell: "all"})
	}
	if is := a[0].state(); is.Short != 0 {
		t.Errorf("%+v", is)
	}
	join(a[0], b[0], 6, 0)
	sends(a[0], b[0], 6, 100)
	sends(a[0], b[0], 6, 100)
	if is := a[0].state(); is.Short != 1 {
		t.Errorf("another one: %+v", is)
	}
}

// While programs are attached anew, with and without short cuts, on either side, and taken off, what is sent comes as it was sent; and so it does when a reader begins
// to count anew, as the next process after a hot restart does.
func TestShortWhileChanging(t *testing.T) {
	a, b := stages(t, 1)
	join(a[0], b[0], 1, 40001)
	changed := make(chan error, 1)
	go func() {
		var errs []error
		for i := range 12 {
			s, addr := a[0], "10.55.0.1"
			if i%2 == 1 {
				s, addr = b[0], "10.55.0.2"
			}
			if i%3 == 2 && s == a[0] { // the other one would have to begin to listen anew
				errs = append(errs, Detach(s.pins))
			} else {
				errs = append(errs, s.try(addr, i%3 == 0))
			}
		}
		errs = append(errs, a[0].try("10.55.0.1", true), b[0].try("10.55.0.2", true))
		changed <- errors.Join(errs...)
	}()
	for waiting := true; waiting; {
		select {
		case err := <-changed:
			if err != nil {
				t.Error(err)
			}
			waiting = false
		default:
			sends(a[0], b[0], 1, 900)
			sends(b[0], a[0], 1, 2500)
		}
	}
	join(a[0], b[0], 2, 40002)
	for range 100 { // more than a window's worth
		sends(a[0], b[0], 2, 900)
	}
	before := a[0].state()
	if before.Short == 0 {
		t.Errorf("%+v", before)
	}
	b[0].must(order{Do: "anew", ID: 2})
	for range 200 {
		sends(a[0], b[0], 2, 900)
	}
	if after := a[0].state(); after.Short > before.Short+1 { // one before it is told
		t.Errorf("a reader that counts anew: %+v, %+v", before, after)
	}
}

// What goes short costs less than what goes by TCP: a question of 1 KB and its answer, from one workload to another, by the processes' clocks.
func TestShortCosts(t *testing.T) {
	a, b := stages(t, 1)
	const rounds = 5000
	costs := func(id int) (each time.Duration) {
		answers := make(chan said, 1)
		go func() { answers <- b[0].do(order{Do: "answer", ID: id, N: rounds, Size: 1024}) }()
		asked := a[0].must(order{Do: "ask", ID: id, N: rounds, Size: 1024})
		answered := <-answers
		if answered.Err != "" {
			t.Fatal(answered.Err)
		}
		return (asked.CPU + answered.CPU) / rounds
	}
	join(a[0], b[0], 1, 40001)
	short := costs(1)
	if is := a[0].state(); is.Short < rounds-10 {
		t.Fatalf("%+v", is)
	}
	a[0].attach("10.55.0.1", false)
	b[0].attach("10.55.0.2", false)
	join(a[0], b[0], 2, 40002)
	long := costs(2)
	if t.Logf("%v by a short cut, %v by TCP", short, long); short > long {
		t.Errorf("a round costs %v by a short cut, and %v by TCP", short, long)
	}
}
