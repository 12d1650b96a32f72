package vacant

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Ports are given in blocks, each of which one process of this network namespace has for itself. All are below those that the kernel chooses from for who
// does not care (Linux: 32768 and up), or it would give one of them to somebody before whom it is for has bound it.
const (
	first  = 10_000
	size   = 100 // of a block
	blocks = 220
)

var given struct {
	sync.Mutex
	claims []net.Listener // of the blocks that are ours: the kernel gives them up when the process ends
	next   int            // of all that is to be given
	left   int            // of the block
}

// Find gives n ports of this host's that nobody else is given and that nobody has bound. A port is given once in the life of a process.
func Find(n int) (ports []int, err error) {
	given.Lock()
	defer given.Unlock()
	for len(ports) < n {
		if given.left == 0 {
			if err := claim(); err != nil {
				return nil, err
			}
		}
		port := given.next
		given.next++
		given.left--
		if idle(port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// Ports gives n of them to a test, which fails if there are none.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports, err := Find(n)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// claim has the process own a further block. Who owns one is who listens at its name, which is of no file: a network namespace has names of its own, as
// it has ports.
func claim() error {
	for block := range blocks {
		l, err := net.Listen("unix", fmt.Sprintf("@weft-test-ports-%d", block))
		if err != nil {
			continue
		}
		given.claims = append(given.claims, l)
		given.next, given.left = first+block*size, size
		return nil
	}
	return errors.New("vacant: all blocks of ports are other processes'")
}

// idle reports whether nobody has the port, of what every test might bind.
func idle(port int) bool {
	at := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	l.Close()
	p, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	p.Close()
	return true
}
