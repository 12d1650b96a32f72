package ground

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// Loopback makes a ground of addresses of this host's loopback, of which all of 127.0.0.0/8 are there on Linux (and nobody else's business). It takes no
// rights, and nothing is redirected: whoever stands on it is asked at its address.
func Loopback() *Ground {
	given := newPorts()
	return &Ground{Wire: &Plot{Name: "wire", IP: netip.MustParseAddr("127.77.0.1"), given: given}, given: given}
}

// Ports on loopback are below those that the kernel chooses from for who does not care (Linux: 32768 and up), or it would give one of them to somebody
// before whom it is for has bound it.
const (
	firstPort = 32_000
	portCount = 768
)

// ports gives each once.
type ports struct{ at, left int }

// newPorts begins at another place in each process, so that two that begin together seldom meet.
func newPorts() *ports { return &ports{os.Getpid() * 32 % portCount, portCount} }

// find is a port that nobody has at any address of this host.
func (p *ports) find() (int, error) {
	for ; p.left > 0; p.left-- {
		port := firstPort + p.at
		p.at = (p.at + 1) % portCount
		l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			continue
		}
		p.left--
		return port, l.Close()
	}
	return 0, errors.New("ground: no port is free from 32000 to 32767: end what listens there")
}
