package loop

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
)

// Origin is an address, most often of another host, from which connections are made in its name.
type Origin struct {
	Addr netip.Addr // valid
	Mark uint32     // that packets have, by which the host brings the answers back to us; 0: none
}

// Over is b, which may be nil, for connections in the name of o: from its address, and a port that the kernel chooses. An address of the other
// family than the endpoint's is of no use: then nothing is dialled.
func (o *Origin) Over(b *config.Binding) *config.Binding {
	made := config.Binding{}
	if b != nil {
		made.Options = b.Options
	}
	made.Source = netip.AddrPortFrom(o.Addr, 0)
	return o.mark(&made)
}

// mark adds what the kernel has to let us do.
func (o *Origin) mark(b *config.Binding) *config.Binding {
	level, name := unix.IPPROTO_IP, unix.IP_TRANSPARENT
	if o.Addr.Is6() {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
	}
	b.Options = append(slices.Clip(b.Options), config.SocketOption{Level: level, Name: name, Value: 1})
	if o.Mark != 0 {
		b.Options = append(b.Options, config.SocketOption{Level: unix.SOL_SOCKET, Name: unix.SO_MARK, Value: int(o.Mark)})
	}
	return b
}

// MayKeepSources says why connections cannot be made in the name of others, if they cannot.
func MayKeepSources() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loop: socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("original_src wants the capability NET_ADMIN, by which a process may connect from addresses that are not its host's: %w", err)
	}
	return nil
}
