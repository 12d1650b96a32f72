package handover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// keeper is an owner with as many sockets and counters as it is told.
type keeper struct {
	t                     *testing.T
	sockets, counters     int
	admin, drained, ended atomic.Int32
	abandoned, reopened   atomic.Int32
	offers                chan *Offers
	refuses               atomic.Bool
	bequest               int // of seven bytes each
}

func (k *keeper) Sockets() (list []Socket) {
	for i := range k.sockets {
		fd, err := unix.Eventfd(uint(i+1), unix.EFD_CLOEXEC)
		if err != nil {
			k.t.Error(err)
		}
		list = append(list, Socket{fmt.Sprint("socket ", i), fd})
	}
	return list
}

func (k *keeper) Counters() map[string]uint64 {
	all := map[string]uint64{}
	for i := range k.counters {
		all[fmt.Sprintf("a.counter.with.a.name.that.is.as.long.as.those.of.clusters.%d", i)] = uint64(i)
	}
	return all
}

func (k *keeper) Self() Self { return Self{BaseID: 5, Args: []string{"-c", "file"}, Dir: "/"} }

func (k *keeper) Refuses(int) string {
	if k.refuses.Load() {
		return noTime
	}
	return ""
}

const noTime = "it has no time"

func (k *keeper) Bequest() []byte { return bytes.Repeat([]byte("secret "), k.bequest) }

func (k *keeper) CloseAdmin() { k.admin.Add(1) }
func (k *keeper) OpenAdmin()  { k.reopened.Add(1) }
func (k *keeper) Drain()      { k.drained.Add(1) }
func (k *keeper) End()        { k.ended.Add(1) }
func (k *keeper) Abandoned()  { k.abandoned.Add(1) }

func (k *keeper) Give(o *Offers) { k.offers <- o }

func name() string { return Name(fmt.Sprintf("@weft-test-%d", rand.Uint64()), 0) }

func take(t *testing.T, at string, k *keeper) *Place {
	t.Helper()
	p, err := Take(at)
	if err != nil {
		t.Fatal(err)
	}
	p.Serve(k)
	return p
}

// Everything goes over, however much it is, and with it the place, which then has its next owner.
func TestSuccession(t *testing.T) {
	at, first := name(), &keeper{t: t, sockets: 300, counters: 2100, bequest: 30_000}
	place := take(t, at, first)
	defer place.Close()
	s, err := Succeed(at, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.Sockets()
	if err != nil || len(list) != first.sockets {
		t.Fatalf("%d sockets, %v", len(list), err)
	}
	for i, got := range list {
		var b [8]byte
		if n, err := unix.Read(got.FD, b[:]); got.Key != fmt.Sprint("socket ", i) || n != 8 || binary.NativeEndian.Uint64(b[:]) != uint64(i+1) {
			t.Errorf("%s: %d bytes, %v", got.Key, n, err)
		}
		unix.Close(got.FD)
	}
	if c, err := s.Counters(); err != nil || len(c) != first.counters {
		t.Errorf("%d counters, %v", len(c), err)
	}
	if b, err := s.Bequest(); err != nil || !bytes.Equal(b, first.Bequest()) {
		t.Errorf("a bequest of %d bytes, %v", len(b), err)
	}
	if err := errors.Join(s.FreeAdmin(), s.Drain()); err != nil || first.admin.Load() != 1 || first.drained.Load() != 1 {
		t.Error(err, first.admin.Load(), first.drained.Load())
	}
	second := &keeper{t: t}
	s.Place().Serve(second)
	defer s.Place().Close()
	if self, err := Ask(at); err != nil || self.Epoch != 1 || self.BaseID != 5 || len(self.Args) != 2 {
		t.Errorf("%+v %v", self, err)
	}
	third, err := Succeed(at, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if list, err := third.Sockets(); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	third.Place().Close()
	if _, err := s.End(); err != nil {
		t.Error(err)
	}
	if first.ended.Load() != 1 || second.ended.Load() != 0 {
		t.Error(first.ended.Load(), second.ended.Load())
	}
}

// A place is one process's, and a successor that goes before it has taken over has changed nothing.
func TestOnePlace(t *testing.T) {
	at, k := name(), &keeper{t: t, sockets: 3}
	place := take(t, at, k)
	if _, err := Take(at); !errors.Is(err, ErrTaken) {
		t.Errorf("taken twice: %v", err)
	}
	for range 3 {
		s, err := Succeed(at, 1)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Sockets()
		if err != nil || len(list) != 3 {
			t.Fatal(len(list), err)
		}
		for _, got := range list {
			unix.Close(got.FD)
		}
		s.Place().Close()
		s.Close()
	}
	s, err := Succeed(at, 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sockets(); err == nil || !strings.Contains(err.Error(), "want 1") {
		t.Error(err)
	}
	s.Close()
	k.refuses.Store(true)
	if self, err := Ask(at); err != nil || self.Refuses != noTime {
		t.Errorf("%+v %v", self, err)
	}
	if s, err = Succeed(at, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bequest(); err == nil || !strings.Contains(err.Error(), noTime) {
		t.Errorf("what is refused is given: %v", err)
	}
	s.Close()
	place.Close()
	if k.drained.Load() != 0 || k.ended.Load() != 0 {
		t.Error("it has been told to go")
	}
	if _, err := Succeed(at, 1); !errors.Is(err, ErrNobody) {
		t.Errorf("somebody is there: %v", err)
	}
	take(t, at, k).Close()
}

// Whoever speaks nonsense is turned away, and the place stays.
func TestNonsense(t *testing.T) {
	at, k := name(), &keeper{t: t}
	defer take(t, at, k).Close()
	for _, text := range []string{"", "{", "nonsense", `{"ask":"everything","epoch":1}`, `{"ask":"end"}`, `{"ask":"end","epoch":-1}`, strings.Repeat("x", 100<<10)} {
		fd, err := connect(at)
		if err != nil {
			t.Fatal(err)
		}
		unix.Write(fd, []byte(text))
		unix.Shutdown(fd, unix.SHUT_WR)
		b := make([]byte, 1000)
		n, _ := unix.Read(fd, b)
		if n > 0 && !strings.Contains(string(b[:n]), "error") {
			t.Errorf("%.20q is answered %s", text, b[:n])
		}
		unix.Close(fd)
	}
	if k.ended.Load() != 0 || k.drained.Load() != 0 {
		t.Error("nonsense ends a process")
	}
	s, err := Succeed(at, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Counters(); err != nil {
		t.Error(err)
	}
}
