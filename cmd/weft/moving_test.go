package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
)

// carriedYAML is a TCP proxy in front of an address, with a log of what it has carried. What is put in is about the TCP proxy.
const carriedYAML = `
static_resources:
  listeners:
  - name: %[3]s
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - name: raw
      filters:
      - name: envoy.filters.network.connection_limit
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: guard, max_connections: 1000}
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: %[4]s
          %[5]s
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: %[2]s
              log_format:
                json_format:
                  id: "%%CONNECTION_ID%%"
                  rx: "%%BYTES_RECEIVED%%"
                  tx: "%%BYTES_SENT%%"
                  ms: "%%DURATION%%"
                  flags: "%%RESPONSE_FLAGS%%"
                  client: "%%DOWNSTREAM_REMOTE_ADDRESS%%"
                  upstream: "%%UPSTREAM_HOST%%"
                  ours: "%%UPSTREAM_LOCAL_ADDRESS%%"
                  cluster: "%%UPSTREAM_CLUSTER%%"
                  chain: "%%FILTER_CHAIN_NAME%%"
                  listener: "%%LISTENER_NAME%%"
                  tried: "%%UPSTREAM_HOSTS_ATTEMPTED%%"
  clusters:
  - name: %[4]s
    connect_timeout: 5s
    load_assignment: {cluster_name: %[4]s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[1]d}}}}]}]}
`

// carried is the proxy of carriedYAML with listener tcp and cluster up.
func carried(port int, log, more string) string {
	return fmt.Sprintf(carriedYAML, port, log, "tcp", "up", more)
}

// carriedPair is both ends of a connection that is carried: what a client writes comes out at the other.
type carriedPair struct{ client, server *net.TCPConn }

// origin is a listener whose connections the test has in its own hands.
type origin struct {
	t    *testing.T
	l    *net.TCPListener
	port int
}

func newOrigin(t *testing.T) *origin {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &origin{t, l, l.Addr().(*net.TCPAddr).Port}
}

// pair connects through the proxy, and waits until the upstream connection stands.
func (o *origin) pair(address string) *carriedPair {
	o.t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		o.t.Fatal(err)
	}
	o.l.SetDeadline(time.Now().Add(deadline))
	s, err := o.l.AcceptTCP()
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { c.Close(); s.Close() })
	c.SetDeadline(time.Now().Add(3 * deadline))
	s.SetDeadline(time.Now().Add(3 * deadline))
	return &carriedPair{c.(*net.TCPConn), s}
}

// says has one end say something, and the other hear it.
func (p *carriedPair) says(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatalf("%q cannot be said: %v", text, err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(to, b); err != nil || string(b) != text {
		t.Fatalf("heard %q, not %q: %v", b, text, err)
	}
}

// noise is an endless text that both ends know.
type noise struct{ r *rand.ChaCha8 }

func newNoise(seed int) *noise { return &noise{rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})} }

// stream writes noise to one end until stop, then its end, and checks at the other that nothing of it is missing, doubled or out of order, and
// that it ends when all has come. Between two pieces it makes a pause, so as to leave the machine to others.
func stream(from, to *net.TCPConn, seed int, pause time.Duration, stop <-chan struct{}, moved *atomic.Int64) error {
	var sent int64
	written := make(chan error, 1)
	go func() {
		n, b := newNoise(seed), make([]byte, 20<<10)
		for size := 1; ; size = size%len(b) + 977 {
			select {
			case <-stop:
				written <- from.CloseWrite()
				return
			case <-time.After(pause):
			}
			b := b[:min(size, len(b))]
			n.r.Read(b)
			k, err := from.Write(b)
			atomic.AddInt64(&sent, int64(k))
			if err != nil {
				written <- fmt.Errorf("after %d bytes: %w", sent, err)
				return
			}
		}
	}()
	n, b, want := newNoise(seed), make([]byte, 32<<10), make([]byte, 32<<10)
	var got int64
	for {
		k, err := to.Read(b)
		n.r.Read(want[:k])
		if !bytes.Equal(b[:k], want[:k]) {
			return fmt.Errorf("other bytes than were sent come after %d", got)
		}
		got += int64(k)
		moved.Add(int64(k))
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d bytes came: %w", got, err)
		}
	}
	if err := <-written; err != nil {
		return err
	}
	if all := atomic.LoadInt64(&sent); all != got {
		return fmt.Errorf("%d bytes were sent, and %d came", all, got)
	}
	return nil
}

// stat is a number of the admin page; -1: there is none.
func (w *weft) stat(name string) int {
	_, text := w.get("/stats?filter=^" + name + "$")
	_, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
	n, err := strconv.Atoi(value)
	if err != nil {
		return -1
	}
	return n
}

// stats are all numbers of the admin page.
func (w *weft) stats() map[string]int {
	_, text := w.get("/stats")
	all := map[string]int{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.Atoi(value); err == nil {
			all[name] = n
		}
	}
	return all
}

// descriptors is how many the process has open.
func (w *weft) descriptors() int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	return len(list)
}

// succeeds starts the next process of a row, and waits until it has taken over what it takes.
func succeeds(t *testing.T, yaml, id string, epoch int, args ...string) *weft {
	t.Helper()
	w := launch(t, yaml, append([]string{"--base-id", id, "--restart-epoch", strconv.Itoa(epoch), "--drain-time-s", "1", "--file-flush-interval-msec", "10"}, args...)...)
	w.eventually("connections are taken over", func() bool { return strings.Contains(w.log.String(), "connections were taken over") })
	return w
}

// ended waits for the end of a process.
func (w *weft) ended() {
	w.t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			w.t.Errorf("the process before ended with %v\n%s", err, w.log.String())
		}
	case <-time.After(deadline):
		w.t.Fatalf("the process before does not end\n%s", w.log.String())
	}
}

// logged is an entry of carriedYAML's log.
type logged struct {
	ID, RX, TX, MS                                                       int
	Flags, Client, Upstream, Ours, Cluster, Chain, Name, Listener, Tried string
}

// entries are those of a log, by client.
func entries(t *testing.T, w *weft, file string, want int) map[string]logged {
	t.Helper()
	all := map[string]logged{}
	w.eventually("the log is written", func() bool {
		b, _ := os.ReadFile(file)
		clear(all)
		lines := 0
		for line := range bytes.Lines(b) {
			var e logged
			if json.Unmarshal(line, &e) == nil {
				all[e.Client] = e
				lines++
			}
		}
		if lines > want {
			t.Fatalf("%d entries for %d connections:\n%s", lines, want, b)
		}
		return lines == want
	})
	return all
}

// Connections of the TCP proxy go on in the next process, and in the one after that, with traffic both ways, without traffic, with one end
// closed, and with much that nobody has read; not a byte is lost or comes twice. The process before ends at once, each connection is counted
// once at each moment, and logged once, with all that it has carried.
func TestConnectionsAreHandedOver(t *testing.T) {
	id, log, up := baseID(), filepath.Join(t.TempDir(), "log"), newOrigin(t)
	yaml := carried(up.port, log, "")
	w := launch(t, yaml, "--base-id", id, "--drain-time-s", "1", "--file-flush-interval-msec", "10")
	address := w.listener("tcp")

	const streams = 6
	var busy []*carriedPair
	for range streams {
		busy = append(busy, up.pair(address))
	}
	idle, half, stalled, ending := up.pair(address), up.pair(address), up.pair(address), up.pair(address)
	const all = streams + 4
	stop := make(chan struct{})
	var moved atomic.Int64
	var running sync.WaitGroup
	for i, p := range busy {
		running.Go(func() {
			if err := stream(p.client, p.server, 2*i, 0, stop, &moved); err != nil {
				t.Errorf("stream %d up: %v", i, err)
			}
		})
		running.Go(func() {
			if err := stream(p.server, p.client, 2*i+1, 0, stop, &moved); err != nil {
				t.Errorf("stream %d down: %v", i, err)
			}
		})
	}
	idle.says(t, idle.client, idle.server, "hello")
	half.says(t, half.client, half.server, "last words")
	half.client.CloseWrite()
	if n, err := half.server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	// More than sockets and buffers hold: the rest waits for a client that does not read, in both processes and in the next one.
	const much = 12 << 20
	filled := make(chan error, 1)
	go func() {
		_, err := io.CopyN(stalled.server, newNoise(99).r, much)
		stalled.server.CloseWrite()
		filled <- err
	}()
	w.eventually("the stalled one is full", func() bool { return w.stat("cluster.up.upstream_cx_active") == all })

	for epoch := 1; epoch <= 2; epoch++ {
		before := moved.Load()
		w.eventually("traffic", func() bool { return moved.Load() > before+8<<20 })
		next := succeeds(t, yaml, id, epoch, "--parent-shutdown-time-s", "3600")
		if n := w.stat("hot_restart.connections_handed_over"); n != -1 {
			t.Errorf("the admin page of the process before answers: %d", n)
		}
		counts := next.stats()
		for name, want := range map[string]int{
			"listener." + strings.ReplaceAll(address, ":", "_") + ".downstream_cx_active":  all,
			"listener." + strings.ReplaceAll(address, ":", "_") + ".downstream_cx_total":   all,
			"listener." + strings.ReplaceAll(address, ":", "_") + ".downstream_cx_destroy": 0,
			"tcp.tcp.downstream_cx_total":               all,
			"cluster.up.upstream_cx_active":             all,
			"cluster.up.upstream_rq_active":             all,
			"cluster.up.upstream_cx_total":              all,
			"connection_limit.guard.active_connections": all,
			"hot_restart.connections_taken":             all * epoch,
			"server.total_connections":                  all,
		} {
			if got := counts[name]; got != want {
				t.Errorf("epoch %d: %s is %d, not %d", epoch, name, got, want)
			}
		}
		if !strings.Contains(w.log.String(), fmt.Sprintf("connections=%d", all)) {
			t.Errorf("the process before does not say how many it has handed over:\n%s", w.log.String())
		}
		w.cmd.Process.Signal(syscall.SIGTERM) // whatever it does, connections are not its own any more
		w.ended()
		idle.says(t, idle.client, idle.server, "still there?")
		idle.says(t, idle.server, idle.client, "yes")
		half.says(t, half.server, half.client, "and this half, too")
		w = next
	}
	fresh := up.pair(w.listener("tcp"))
	ending.client.Close()
	if n, err := ending.server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the end of a connection comes as %d bytes, %v", n, err)
	}
	ending.server.Close()
	close(stop)
	running.Wait()
	h := newNoise(99)
	want, got := make([]byte, much), make([]byte, much+1)
	h.r.Read(want)
	if n, err := io.ReadFull(bufio.NewReader(stalled.client), got); n != much || err != io.ErrUnexpectedEOF || !bytes.Equal(got[:n], want) {
		t.Errorf("of %d bytes that waited %d came, %v", much, n, err)
	}
	if err := <-filled; err != nil {
		t.Error(err)
	}
	for _, p := range append(busy, idle, half, stalled, fresh) {
		p.client.Close()
		p.server.Close()
	}
	found := entries(t, w, log, all+1)
	numbers := map[int]bool{}
	for _, e := range found {
		numbers[e.ID] = true
	}
	if len(numbers) != all+1 {
		t.Errorf("connections of several processes have the same numbers: %d for %d", len(numbers), all+1)
	}
	for name, p := range map[string]struct {
		*carriedPair
		rx, tx int
	}{"idle": {idle, 5 + 2*12, 2 * 3}, "half": {half, 10, 2 * 18}, "stalled": {stalled, 0, much}, "ending": {ending, 0, 0}} {
		e := found[p.client.LocalAddr().String()]
		if e.RX != p.rx || e.TX != p.tx || e.Flags != "" && e.Flags != "-" {
			t.Errorf("%s: %+v, not %d and %d bytes", name, e, p.rx, p.tx)
		}
		if e.Upstream != p.server.LocalAddr().String() || e.Ours != p.server.RemoteAddr().String() || e.Cluster != "up" || e.Chain != "raw" || e.Listener != "tcp" || e.Tried != e.Upstream || e.ID == 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	w.eventually("nobody is left", func() bool {
		return w.stat("cluster.up.upstream_cx_active") == 0 && w.stat("connection_limit.guard.active_connections") == 0 && w.stat("server.total_connections") == 0
	})
	if n := w.stat("cluster.up.upstream_cx_destroy"); n != all+1 {
		t.Errorf("%d connections are counted as ended, of %d", n, all+1)
	}
}

// What a timer has left when a connection changes processes is what it has left: the time without traffic, and that from its beginning.
func TestTimersGoOn(t *testing.T) {
	for _, c := range [][2]string{{"idle_timeout", "SI"}, {"max_downstream_connection_duration", "DT"}} {
		// On a busy machine the next process may take longer to come than a short timer runs.
		timer := 3 * time.Second
		for !timerGoesOn(t, c[0], timer, c[1]) {
			if timer *= 2; timer > 12*time.Second {
				t.Fatal("the next process takes too long to come")
			}
		}
	}
}

// timerGoesOn says nothing, and gives false, if the next process takes so long to come that the timer is over by then.
func timerGoesOn(t *testing.T, option string, timer time.Duration, flags string) bool {
	t.Helper()
	id, log, up := baseID(), filepath.Join(t.TempDir(), "log"), newOrigin(t)
	yaml := carried(up.port, log, fmt.Sprintf("%s: %ds", option, timer/time.Second))
	w := launch(t, yaml, "--base-id", id, "--file-flush-interval-msec", "10")
	p := up.pair(w.listener("tcp"))
	p.says(t, p.client, p.server, "hello")
	began := time.Now()
	<-time.After(timer / 3) // of the timer: one that began again would be so much later, which cannot be overlooked
	next := succeeds(t, yaml, id, 1)
	between := time.Since(began)
	if between > timer*5/6 {
		return false
	}
	if n, err := p.client.Read(make([]byte, 1)); n != 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Fatal(n, err)
	}
	// A timer that began again would fire so much later as the next process took to come.
	const early = 100 * time.Millisecond
	if took := time.Since(began); took < timer-early || took > timer+between*2/3 {
		t.Errorf("%s: %v: it has ended after %v, with the next process after %v", option, timer, took, between)
	}
	e := entries(t, next, log, 1)[p.client.LocalAddr().String()]
	if lived := time.Duration(e.MS) * time.Millisecond; e.Flags != flags || e.RX != 5 || lived < timer-early || lived > timer+time.Second {
		t.Errorf("%s: %v: %+v", option, timer, e)
	}
	return true
}

// What the next process has no listener or no cluster for stays with the process before, which serves it to its own end.
func TestConnectionsThatStay(t *testing.T) {
	for _, names := range [][2]string{{"other", "up"}, {"tcp", "other"}} {
		id, dir, up := baseID(), t.TempDir(), newOrigin(t)
		log := filepath.Join(dir, "log")
		w := launch(t, carried(up.port, log, ""), "--base-id", id, "--file-flush-interval-msec", "10")
		p := up.pair(w.listener("tcp"))
		p.says(t, p.client, p.server, "hello")
		next := succeeds(t, fmt.Sprintf(carriedYAML, up.port, log, names[0], names[1], ""), id, 1, "--parent-shutdown-time-s", "1")
		p.says(t, p.client, p.server, "still there?")
		p.says(t, p.server, p.client, "yes")
		if n := next.stat("hot_restart.connections_refused"); n != 1 {
			t.Errorf("%d are refused", n)
		}
		if n := next.stat("cluster." + names[1] + ".upstream_cx_active"); n != 0 {
			t.Errorf("the next process counts %d connections", n)
		}
		if !strings.Contains(w.log.String(), "kept=1") {
			t.Errorf("%s", w.log.String())
		}
		w.ended()
		if n, err := p.client.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%d bytes after the end, %v", n, err)
		}
		e := entries(t, next, log, 1)[p.client.LocalAddr().String()]
		if e.RX != 17 || e.TX != 3 || e.Cluster != "up" {
			t.Errorf("%+v", e)
		}
		next.eventually("what was carried to the end counts", func() bool { return next.stat("hot_restart.connections_kept") == 1 })
	}
}

// check says something over each of those connections, and hears an answer. One that has gone is nil from then on; of what is said over it nothing
// comes. It returns how many are whole.
func check(t *testing.T, pairs []*carriedPair) (whole int) {
	t.Helper()
	for i, p := range pairs {
		if p == nil {
			continue
		}
		text := fmt.Sprintf("connection %d", i)
		io.WriteString(p.client, text)
		b := make([]byte, len(text))
		if n, err := io.ReadFull(p.server, b); err == nil && string(b) == text {
			p.says(t, p.server, p.client, text)
			whole++
		} else if n > 0 {
			t.Errorf("%d bytes of a connection come: %q %v", n, b[:n], err)
		} else {
			pairs[i] = nil
		}
	}
	return whole
}

// A successor that dies while connections go over takes with it those that it has, and no others: each of them is whole, or has gone with it. The
// process before serves on, and another successor takes its place, and those connections.
func TestSuccessorDies(t *testing.T) {
	id, log, up := baseID(), filepath.Join(t.TempDir(), "log"), newOrigin(t)
	yaml := carried(up.port, log, "")
	w := launch(t, yaml, "--base-id", id, "--parent-shutdown-time-s", "3600")
	address := w.listener("tcp")
	var pairs []*carriedPair
	for range 300 {
		pairs = append(pairs, up.pair(address))
	}
	held := w.descriptors()
	died := begin(t, yaml, "--base-id", id, "--restart-epoch", "1")
	w.eventually("connections go over", func() bool { return w.descriptors() < held-100 })
	died.cmd.Process.Kill()
	died.cmd.Wait()
	w.eventually("it is missed", func() bool { return strings.Contains(w.log.String(), "is gone: nobody listens any more") })
	w.eventually("its admin pages are there again", func() bool { status, _ := w.get("/listeners"); return status == 200 })
	left := check(t, pairs)
	t.Logf("%d of %d connections had gone over", len(pairs)-left, len(pairs))
	next := succeeds(t, yaml, id, 1, "--parent-shutdown-time-s", "0")
	w.ended()
	if got := check(t, pairs); got != left {
		t.Errorf("%d of %d connections are left", got, left)
	}
	if n := next.stat("cluster.up.upstream_cx_active"); n != left {
		t.Errorf("%d are counted as active, of %d", n, left)
	}
	p := up.pair(next.listener("tcp"))
	p.says(t, p.client, p.server, "a new one")
}

// A successor that hangs while connections go over holds up one of them, for some seconds. When it goes on, all are whole, each in one of both
// processes, whatever it had begun to do.
func TestSuccessorHangs(t *testing.T) {
	id, log, up := baseID(), filepath.Join(t.TempDir(), "log"), newOrigin(t)
	yaml := carried(up.port, log, "")
	w := launch(t, yaml, "--base-id", id)
	address := w.listener("tcp")
	var pairs []*carriedPair
	for range 300 {
		pairs = append(pairs, up.pair(address))
	}
	held := w.descriptors()
	next := begin(t, yaml, "--base-id", id, "--restart-epoch", "1", "--parent-shutdown-time-s", "3600")
	w.eventually("connections go over", func() bool { return w.descriptors() < held-20 })
	next.cmd.Process.Signal(syscall.SIGSTOP)
	w.eventually("it is given up, or was not fast enough", func() bool {
		return strings.Contains(w.log.String(), "the others stay here") || strings.Contains(w.log.String(), "kept=0")
	})
	next.cmd.Process.Signal(syscall.SIGCONT)
	if got := check(t, pairs); got != len(pairs) {
		t.Errorf("%d of %d connections are whole", got, len(pairs))
	}
	took := next.stat("cluster.up.upstream_cx_active")
	t.Logf("%d of %d connections have gone over", took, len(pairs))
	if !strings.Contains(w.log.String(), fmt.Sprintf("connections=%d kept=%d", took, len(pairs)-took)) {
		t.Errorf("the next process has %d:\n%s", took, w.log.String())
	}
}

// TLS that is only passed through goes on in the next process with what its client has asked for; TLS that ends here stays.
func TestSecureConnections(t *testing.T) {
	id, log, up, a := baseID(), filepath.Join(t.TempDir(), "log"), newOrigin(t), authority.New(t, t.TempDir())
	server := a.Issue("server", []string{"passed.test", "ours.test"}, nil)
	yaml := carried(up.port, log, "")
	// The one chain becomes two, by the name that a client asks for.
	head, rest, _ := strings.Cut(yaml, "    filter_chains:\n")
	chain, clusters, _ := strings.Cut(rest, "  clusters:\n")
	chain = strings.Replace(chain, "listener: ", "name: \"%REQUESTED_SERVER_NAME%\"\n                  listener: ", 1)
	passed := strings.Replace(chain, "- name: raw\n", "- name: passed\n      filter_chain_match: {server_names: [passed.test]}\n", 1)
	ours := strings.Replace(chain, "- name: raw\n", `- name: ours
      filter_chain_match: {server_names: [ours.test]}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {tls_certificates: [`+a.Source("server")+`]}
`, 1)
	yaml = head + `    listener_filters: [{name: envoy.filters.listener.tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
    filter_chains:
` + passed + ours + "  clusters:\n" + clusters
	w := launch(t, yaml, "--base-id", id, "--file-flush-interval-msec", "10")
	address := w.listener("tcp")

	dial := func(name string) *tls.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(deadline))
		return tls.Client(c, &tls.Config{ServerName: name, RootCAs: a.Pool()})
	}
	accept := func(shakes bool) net.Conn {
		up.l.SetDeadline(time.Now().Add(deadline))
		c, err := up.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(deadline))
		if shakes {
			return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{server}})
		}
		return c
	}
	through, ended := dial("passed.test"), dial("ours.test")
	first := make(chan error, 1)
	go func() { first <- through.Handshake() }()
	ends := map[*tls.Conn]net.Conn{through: accept(true)}
	if err := ends[through].(*tls.Conn).Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-first, ended.Handshake()); err != nil {
		t.Fatal(err)
	}
	ends[ended] = accept(false)
	var p carriedPair
	for c, s := range ends {
		p.says(t, c, s, "hello")
	}
	next := succeeds(t, yaml, id, 1, "--parent-shutdown-time-s", "3600")
	for c, s := range ends {
		p.says(t, c, s, "still there?")
		p.says(t, s, c, "yes")
	}
	if n := next.stat("hot_restart.connections_taken"); n != 1 {
		t.Errorf("%d connections have changed processes, of one that can", n)
	}
	if !strings.Contains(w.log.String(), "connections=1 kept=1") {
		t.Errorf("%s", w.log.String())
	}
	for c, s := range ends {
		c.Close()
		s.Close()
	}
	all := entries(t, next, log, 2)
	for c, name := range map[*tls.Conn]string{through: "passed", ended: "ours"} {
		if e := all[c.LocalAddr().String()]; e.Name != name+".test" || e.Chain != name {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
