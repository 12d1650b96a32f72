package ground

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// TestLoopback has one plot ask another, at a port that is given, and knows it by its address.
func TestLoopback(t *testing.T) {
	g := Loopback()
	defer g.Close()
	one, err := g.Plot("one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := g.Plot("two")
	if err != nil {
		t.Fatal(err)
	}
	if g.Apart() || one.IP == two.IP || one.IP == g.Wire.IP || !one.IP.IsLoopback() {
		t.Fatalf("%v, %v and %v", g.Wire.IP, one.IP, two.IP)
	}
	port, err := two.Port(8080)
	if err != nil {
		t.Fatal(err)
	}
	l, err := two.Listen(fmt.Sprintf("%s:%d", two.IP, port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := one.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if from := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from != one.IP {
		t.Errorf("it comes from %v: want %v", from, one.IP)
	}
}

// TestPortsOnLoopback takes all that there are: none twice, none that somebody has, and then an error.
func TestPortsOnLoopback(t *testing.T) {
	g := Loopback()
	taken := g.given.at + firstPort
	l, err := net.Listen("tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.77.0.9"), uint16(taken)).String())
	if err == nil {
		defer l.Close()
	}
	seen := map[int]bool{}
	for {
		port, err := g.Wire.Port(80)
		if err != nil {
			break
		}
		if seen[port] || port == taken || port < firstPort || port >= firstPort+portCount {
			t.Fatalf("%d is given after %d others", port, len(seen))
		}
		seen[port] = true
	}
	if len(seen) < portCount/2 {
		t.Errorf("%d ports", len(seen))
	}
}
