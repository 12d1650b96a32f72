package listener

import (
	"fmt"
	"iter"
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

// Key is what sockets are known by to another process: where they are bound, or, if the kernel chose that, whose they are; and what must be
// the same of two that stand in for each other.
func (s *sockets) key(listener string) string {
	where := s.asked.String()
	if s.asked.Path == "" && s.asked.AddrPort.Port() == 0 {
		where += " of " + listener
	}
	return fmt.Sprintf("%s reuse=%t freebind=%t transparent=%t ipv4=%t", where, s.as.ReusePort, s.as.Freebind, s.as.Transparent, s.as.IPv4Compat)
}

// Sockets are the descriptors of the listener by their keys. They stay the listener's, and from then on others may have them, too.
func (l *Listener) Sockets() iter.Seq2[string, int] {
	l.lent.Store(true)
	return func(yield func(string, int) bool) {
		for i := range l.sockets {
			s := &l.sockets[i]
			for _, fd := range s.fds {
				if !yield(s.key(l.Config.Name), fd) {
					return
				}
			}
		}
	}
}

// listen binds the sockets of one more address, as that listener wants them, or takes over those of old if nothing about them has changed,
// or else those that were handed over by another process.
func (l *Listener) listen(a config.Address, as *config.Listener, old *Listener, o *Origin) error {
	loops := len(l.ports)
	if !l.Config.ReusePort || a.Path != "" {
		loops = 1
	}
	s := sockets{asked: a, as: as, at: a}
	if old != nil {
		if i := slices.IndexFunc(old.sockets, func(o sockets) bool { return o.asked == a && sameOptions(o.as, as) }); i >= 0 {
			old.lent.Store(true)
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
	if len(s.fds) == 0 && o.Handed != nil {
		if s.fds = o.Handed(s.key(l.Config.Name)); len(s.fds) > 0 {
			s.at = bound(s.fds[0], s.at)
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

// forLoop are the descriptors for one of the loops, which closes them: one, or more if another process had more loops. To close one of those
// that share a port would reset what waits in its queue.
func (s *sockets) forLoop(i, loops int) (fds []int, err error) {
	if len(s.fds) < loops {
		fd, err := duplicate(s.fds[0])
		return []int{fd}, err
	}
	for k := i; k < len(s.fds); k += loops {
		fds = append(fds, s.fds[k])
	}
	return fds, nil
}

// release closes what loops have not closed.
func (s *sockets) release(loops int) {
	if len(s.fds) < loops {
		s.close()
	}
}

func (s *sockets) close() {
	for _, fd := range s.fds {
		unix.Close(fd)
	}
}
