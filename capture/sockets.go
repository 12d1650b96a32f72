package capture

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// socket is a TCP socket of this namespace, as /proc/net/tcp has it.
type socket struct {
	local, remote netip.AddrPort
	state         string
	user          uint32
}

// States of /proc/net/tcp.
const (
	established = "01"
	listening   = "0A"
)

// maxSockets bounds how many are read: 65,536 take about 6 MB.
const maxSockets = 1 << 16

// sockets are the TCP sockets of this namespace. It is what the thread sees: a namespace may be the thread's own.
func sockets() ([]socket, error) {
	var list []socket
	for _, name := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() && len(list) < maxSockets {
			if s, ok := readSocket(lines.Text()); ok {
				list = append(list, s)
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return list, nil
}

// readSocket reads a line: number, local, remote, state, queues, timer, retransmits, user.
func readSocket(line string) (socket, bool) {
	words := strings.Fields(line)
	if len(words) < 8 || !strings.HasSuffix(words[0], ":") {
		return socket{}, false
	}
	local, ok := readAddress(words[1])
	remote, ok2 := readAddress(words[2])
	user, err := strconv.ParseUint(words[7], 10, 32)
	return socket{local, remote, words[3], uint32(user)}, ok && ok2 && err == nil
}

// readAddress reads an address, whose words of 32 bits are in the machine's order, which is little-endian wherever this runs, and a port.
func readAddress(word string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(word, ":")
	b, err := hex.DecodeString(address)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i+4 <= len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}

// standing are the connections of programs other than the proxy that do not go through it: those that were there before the capture. One that was
// redirected looks the same from the program's side, but for that its other end is at a port of the proxy here.
func standing(s Settings, all []socket) []socket {
	taken := map[netip.AddrPort]bool{}
	for _, c := range all {
		if c.state == established && (c.local.Port() == s.ProxyPort || c.local.Port() == s.InboundPort) {
			taken[c.remote] = true
		}
	}
	var list []socket
	for _, c := range all {
		ours := slices.Contains(s.ProxyUIDs, c.user) || c.remote.Addr().IsLoopback() || c.remote.Addr() == inboundSource6.Addr()
		if c.state == established && !ours && !taken[c.local] && !local(c.remote, all) {
			list = append(list, c)
		}
	}
	return list
}

// local says that the other end of a connection is a program of this namespace, too.
func local(remote netip.AddrPort, all []socket) bool {
	return slices.ContainsFunc(all, func(c socket) bool { return c.local == remote && c.state == established })
}

// held says that somebody who is not the proxy listens where traffic is taken to.
func held(s Settings) error {
	all, err := sockets()
	if err != nil {
		return err
	}
	ports := []uint16{s.ProxyPort, s.InboundPort}
	if s.DNS {
		ports = append(ports, DNSPort)
	}
	for _, c := range all {
		if c.state == listening && slices.Contains(ports, c.local.Port()) && !slices.Contains(s.ProxyUIDs, c.user) {
			return fmt.Errorf("port %d is held by a program of user %d, who is not the proxy (%s): all traffic would go to it; end that program, or name its user by --proxy-uid", c.local.Port(), c.user, join(s.ProxyUIDs, ","))
		}
	}
	return nil
}
