package demo

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/ground"
)

// answerer answers each request of its only connection with the next text; an empty one closes the connection.
func answerer(t *testing.T, texts ...string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for _, text := range texts {
			for line := ""; line != "\r\n"; {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
			}
			if text == "" {
				return
			}
			c.Write([]byte(text))
		}
		in.ReadByte() // until the other side goes
	}()
	return l.Addr().String()
}

func TestEveryAnswerIsChecked(t *testing.T) {
	const v1, v2 = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nhello from v1\n", "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nhello from v2\n"
	for _, c := range []struct {
		name    string
		answers []string
		want    []int  // versions
		err     string // of the last
	}{
		{"both versions over one connection", []string{v1, v2, v1}, []int{0, 1, 0}, ""},
		{"a body of neither", []string{v1, strings.Replace(v1, "v1", "v3", 1)}, []int{0, -1}, `status 200 with body "hello from v3\n"`},
		{"a body that goes on", []string{"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nhello from v1\n!"}, []int{-1}, "status 200"},
		{"an error with a right body", []string{strings.Replace(v1, "200 OK", "503 Oh", 1)}, []int{-1}, "status 503"},
		{"a body cut off", []string{v1[:len(v1)-3], ""}, []int{-1}, ""},
		{"a connection closed instead of an answer", []string{v1, ""}, []int{0, -1}, "EOF"},
		{"not HTTP", []string{"hello from v1\n\r\n\r\n"}, []int{-1}, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := &client{address: answerer(t, c.answers...)}
			defer cl.close()
			for i, want := range c.want {
				limit := time.Minute
				if strings.Contains(c.name, "cut off") {
					limit = 50 * time.Millisecond
				}
				got, err := cl.exchange(time.Now().Add(limit))
				if got != want || (err != nil) != (want < 0) {
					t.Fatalf("answer %d: version %d, error %v: want version %d", i, got, err, want)
				}
				if want < 0 && (cl.conn != nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("answer %d: error %v, connection %v: want %q and a closed connection", i, err, cl.conn, c.err)
				}
			}
		})
	}
}

// TestTrafficReachesItsHellos goes from one namespace to another, as the demo's does.
func TestTrafficReachesItsHellos(t *testing.T) {
	g, err := ground.New()
	if err != nil {
		t.Fatal(err, ": the demo is tested as root")
	}
	defer g.Close()
	from, err := g.Plot("from")
	if err != nil {
		t.Fatal(err)
	}
	for version, answer := range answers {
		at, err := g.Plot([]string{"one", "two"}[version])
		if err != nil {
			t.Fatal(err)
		}
		h, err := newHello(at, "0.0.0.0:8080", answer)
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		ctx, cancel := context.WithCancel(t.Context())
		tr := send(ctx, from, at.IP.String()+":8080", "h", maxRate)
		<-tr.measure(time.Time{}, 200)
		cancel()
		tr.wait()
		counts, lost := tr.measured()
		if counts[version] != 200 || counts[1-version] != 0 || lost != 0 {
			t.Errorf("v%d: counts %v, lost %d: want exactly 200 of it and nothing lost", version+1, counts, lost)
		}
		all := 0
		for _, m := range tr.history() {
			all += m.versions[version]
		}
		if all < 200 {
			t.Errorf("the plot has %d", all)
		}
	}
}

func TestWhatIsLostIsCounted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there
	tr := &traffic{address: l.Addr().String(), recent: make([]sample, 4)}
	c := &client{address: tr.address}
	now := time.Now()
	version, err := c.exchange(now.Add(time.Minute))
	tr.record(now, sample{now, 0, version}, err)
	if sent, lost, first := tr.totals(); sent != 1 || lost != 1 || !strings.Contains(first, "refused") {
		t.Errorf("sent %d, lost %d, the first by %q: want one lost by a refused connection", sent, lost, first)
	}
}

func TestTallyAndSecond(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	tr := &traffic{recent: make([]sample, 4)}
	record := func(began, ended, version int) {
		var err error
		if version < 0 {
			err = net.ErrClosed
		}
		tr.record(at(began), sample{at(ended), at(ended).Sub(at(began)), version}, err)
	}
	record(0, 1, 0) // before there is a tally
	reached := tr.measure(at(100), 3)
	record(90, 110, 0) // sent before the step
	record(100, 101, 1)
	record(100, 102, -1)
	record(103, 104, 0)
	select {
	case <-reached:
		t.Error("the limit is said to be reached after two answers")
	default:
	}
	record(105, 125, 1)
	<-reached
	record(106, 107, 1) // beyond the limit
	if counts, lost := tr.measured(); counts != [2]uint64{1, 2} || lost != 1 {
		t.Errorf("counts %v, lost %d: want 1 and 2, and 1 lost", counts, lost)
	}
	// The ring keeps the last four.
	if got, want := tr.second(at(200)), (second{v1: 1, v2: 2, lost: 1, p50: time.Millisecond, p99: 20 * time.Millisecond}); got != want {
		t.Errorf("the last second is %+v: want %+v", got, want)
	}
	if got := tr.second(at(5000)); got != (second{}) {
		t.Errorf("later, the last second is %+v: want nothing", got)
	}
	tr.measure(at(0), 0)
	record(300, 301, 0)
	if counts, _ := tr.measured(); counts != [2]uint64{1, 0} {
		t.Errorf("a new tally counts %v: want 1 and 0", counts)
	}
}
