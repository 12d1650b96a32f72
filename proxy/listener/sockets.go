package listener

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
)

// sockets listen at one address: one for each loop, or one for all.
type sockets struct {
	asked config.Address
	as    *config.Listener // what was set on them
	at    config.Address   // where they are bound in fact
	fds   []int
}

// listen binds the sockets of one more address, as that listener wants them, or takes over those of old if nothing about them has changed.
func (l *Listener) listen(a config.Address, as *config.Listener, old *Listener) error {
	loops := len(l.ports)
	if !l.Config.ReusePort || a.Path != "" {
		loops = 1
	}
	s := sockets{asked: a, as: as, at: a}
	if old != nil {
		if i := slices.IndexFunc(old.sockets, func(o sockets) bool { return o.asked == a && sameOptions(o.as, as) }); i >= 0 {
			s.at = old.sockets[i].at
			for _, fd := range old.sockets[i].fds {
				fd, err := duplicate(fd)
				if err != nil {
					s.close()
					return err
				}
				s.fds = append(s.fds, fd)
			}
		}
	}
	for len(s.fds) < loops {
		fd, err := bind(as, s.at, loops > 1)
		if err != nil {
			s.close()
			return err
		}
		s.fds = append(s.fds, fd)
		s.at = bound(fd, s.at)
	}
	l.sockets = append(l.sockets, s)
	return nil
}

// sameOptions tells whether two listeners want sockets that differ in nothing but addresses.
func sameOptions(a, b *config.Listener) bool {
	keepAlive := a.KeepAlive == b.KeepAlive || a.KeepAlive != nil && b.KeepAlive != nil && *a.KeepAlive == *b.KeepAlive
	return keepAlive && a.Backlog == b.Backlog && a.ReusePort == b.ReusePort && a.Freebind == b.Freebind && a.Transparent == b.Transparent &&
		a.IPv4Compat == b.IPv4Compat && slices.Equal(a.SocketOptions, b.SocketOptions)
}

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

// forLoop is a descriptor for one of the loops, which closes it.
func (s *sockets) forLoop(i, loops int) (int, error) {
	if len(s.fds) == loops {
		return s.fds[i], nil
	}
	return duplicate(s.fds[0])
}

// release closes what loops have not closed.
func (s *sockets) release(loops int) {
	if len(s.fds) != loops {
		s.close()
	}
}

func (s *sockets) close() {
	for _, fd := range s.fds {
		unix.Close(fd)
	}
}
