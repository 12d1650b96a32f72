package capture

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

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
