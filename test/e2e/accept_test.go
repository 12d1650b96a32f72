package e2e

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The process has no descriptor left (hazard 33): newcomers wait in the kernel, who is there is served, and once there are descriptors
// again the newcomers are, too.
func TestDescriptorsRunOut(t *testing.T) {
	p := Routes(t, Echo(t), `- {match: {path: /}, direct_response: {status: 200}}`)
	live := p.Dial()
	live.Get("/").Want(t, 200)

	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	taken := []int{null}
	giveBack := func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		taken = nil
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(giveBack)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(null + 64), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	for {
		fd, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	unix.Close(taken[len(taken)-1]) // for our own side of the next connection
	taken = taken[:len(taken)-1]

	newcomer := p.Dial().Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	p.Eventually("accepting pauses", func() bool { return p.Stat("listener.127.0.0.1_"+portOf(p)+".downstream_accepts_paused") > 0 })
	live.Get("/").Want(t, 200)
	giveBack()
	newcomer.Read("GET").Want(t, 200)
	live.Get("/").Want(t, 200)
}
