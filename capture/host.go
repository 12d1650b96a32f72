package capture

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is what a command line is completed by: where it runs.
type Host struct {
	Env       func(string) (string, bool)
	Addresses []netip.Addr // of interfaces, in their order
	Resolvers []netip.Addr
}

// ThisHost is where this program runs. Call it in the namespace that is captured.
func ThisHost() (Host, error) {
	h := Host{Env: os.LookupEnv}
	addresses, err := hostAddresses()
	if err != nil {
		return h, fmt.Errorf("addresses of this host: %w", err)
	}
	h.Addresses = addresses
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !os.IsNotExist(err) {
		return h, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			if a, err := netip.ParseAddr(words[1]); err == nil {
				h.Resolvers = append(h.Resolvers, a.Unmap().WithZone(""))
			}
		}
	}
	return h, nil
}

// Enter has the rest of the calling goroutine, and the programs that it starts, run in another network namespace. There is no way back: its thread
// ends with it.
func Enter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--network-namespace: %w", err)
	}
	defer f.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("--network-namespace %s: %w: it wants the path of a network namespace, such as /proc/PID/ns/net, and the capability SYS_ADMIN", path, err)
	}
	return nil
}

// hostAddresses are those of all interfaces, in their order.
func hostAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			addresses = append(addresses, p.Addr())
		}
	}
	return addresses, nil
}
