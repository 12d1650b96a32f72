package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/capture"
)

// inside is set in the process that runs in the namespace.
const inside = "WEFT_TEST_NETNS"

// folder has the program that the tests run, where its user may read it.
var folder string

// TestMain runs the tests in a process of its own, whose namespaces end with it. It wants root: pods' namespaces, and the proxy's user in them.
func TestMain(m *testing.M) {
	if to := os.Getenv(dialling); to != "" {
		dialOnce(to)
		return
	}
	if to := os.Getenv(loading); to != "" {
		if err := talk(to); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("well")
		}
		return
	}
	if os.Getenv(inside) != "" {
		err := prepare()
		if err != nil {
			panic(err)
		}
		code := m.Run()
		os.RemoveAll(folder)
		os.Exit(code)
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "test/netns wants root: it makes network namespaces, has the kernel capture in them, and runs the proxy there as user 1337")
		os.Exit(1)
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1", "PATH="+os.Getenv("PATH")+":/usr/sbin")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		panic("a network namespace wants root: " + err.Error())
	}
}

const outbound = 15001

// prepare brings loopback up and has the kernel redirect, to port outbound, what goes to 127.0.0.8 and 127.0.0.9.
func prepare() (err error) {
	if folder, err = os.MkdirTemp("", "weft-netns"); err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	// Where programs are kept is ours alone, and goes with us.
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, "")); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	s := capture.Defaults()
	s.OutboundRanges.List = []netip.Prefix{netip.MustParsePrefix("127.0.0.8/31")}
	_, err = capture.Apply(capture.Options{Settings: s, Backend: capture.BackendNFTables})
	return err
}

// program builds weft, once.
func program(t testing.TB) string {
	t.Helper()
	return built(t, "weft")
}

// built builds a program of ours, once.
func built(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if out, err := exec.Command("go", "build", "-o", path, "github.com/weftmesh/weft/cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
