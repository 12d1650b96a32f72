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

// socket is a socket of this namespace, as /proc/net/tcp or udp has it.
type socket struct {
	local, remote netip.AddrPort
	state         string
	user          uint32
}

// States of /proc/net/tcp, and of udp, whose sockets are closed to it while they are not connected.
const (
	established = "01"
	unconnected = "07"
	listening   = "0A"
)

// maxSockets bounds how many are read: 262,144 take about 25 MB.
const maxSockets = 1 << 18

// sockets are those of this namespace for tcp or udp. It is what the thread sees: a namespace may be the thread's own.
func sockets(protocol string) ([]socket, error) {
	var list []socket
	for _, version := range []string{"", "6"} {
		name := "/proc/thread-self/net/" + protocol + version
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
	ports := map[string][]uint16{"tcp": {s.ProxyPort, s.InboundPort}}
	if s.DNS {
		ports["tcp"], ports["udp"] = append(ports["tcp"], DNSPort), []uint16{DNSPort}
	}
	for protocol, list := range ports {
		all, err := sockets(protocol)
		if err != nil {
			return err
		}
		for _, c := range all {
			if (c.state == listening || c.state == unconnected && protocol == "udp") && slices.Contains(list, c.local.Port()) && !slices.Contains(s.ProxyUIDs, c.user) {
				return fmt.Errorf("port %d is held by a program of user %d, who is not the proxy (%s): all traffic would go to it; end that program, or name its user by --proxy-uid", c.local.Port(), c.user, join(s.ProxyUIDs, ","))
			}
		}
	}
	return nil
}
