package netns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside is set in the process that runs in the namespace.
const inside = "WEFT_TEST_NETNS"

// TestMain runs the tests in a process of its own, whose namespace ends with it: as root, or where everybody may have user namespaces.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := prepare(); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		panic("a network namespace wants root or unprivileged user namespaces: " + err.Error())
	}
}

// redirected are ports whose connections the kernel takes to port outbound.
var redirected = []uint16{80, 81, 82}

const outbound = 15001

// prepare brings loopback up and has the kernel redirect.
func prepare() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	return redirect()
}

// redirect writes the rules to the kernel's nftables: there is no tool that every machine has.
func redirect() error {
	b := message(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.NFNL_SUBSYS_NFTABLES)
	b = append(b, change(unix.NFT_MSG_NEWTABLE, text(unix.NFTA_TABLE_NAME, "weft"))...)
	b = append(b, change(unix.NFT_MSG_NEWCHAIN, text(unix.NFTA_CHAIN_TABLE, "weft"), text(unix.NFTA_CHAIN_NAME, "out"),
		nest(unix.NFTA_CHAIN_HOOK, number(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_LOCAL_OUT), number(unix.NFTA_HOOK_PRIORITY, 0xffffff9c)),
		text(unix.NFTA_CHAIN_TYPE, "nat"))...)
	for _, port := range redirected {
		b = append(b, change(unix.NFT_MSG_NEWRULE, text(unix.NFTA_RULE_TABLE, "weft"), text(unix.NFTA_RULE_CHAIN, "out"), nest(unix.NFTA_RULE_EXPRESSIONS,
			expression("meta", number(unix.NFTA_META_DREG, 1), number(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO)),
			expression("cmp", number(unix.NFTA_CMP_SREG, 1), number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ), nest(unix.NFTA_CMP_DATA, attribute(unix.NFTA_DATA_VALUE, []byte{unix.IPPROTO_TCP}))),
			expression("payload", number(unix.NFTA_PAYLOAD_DREG, 1), number(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER), number(unix.NFTA_PAYLOAD_OFFSET, 2), number(unix.NFTA_PAYLOAD_LEN, 2)),
			expression("cmp", number(unix.NFTA_CMP_SREG, 1), number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ), nest(unix.NFTA_CMP_DATA, attribute(unix.NFTA_DATA_VALUE, binary.BigEndian.AppendUint16(nil, port)))),
			expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, 1), nest(unix.NFTA_IMMEDIATE_DATA, attribute(unix.NFTA_DATA_VALUE, binary.BigEndian.AppendUint16(nil, outbound)))),
			expression("redir", number(unix.NFTA_REDIR_REG_PROTO_MIN, 1)),
		))...)
	}
	b = append(b, message(unix.NFNL_MSG_BATCH_END, 0, unix.NFNL_SUBSYS_NFTABLES)...)

	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	// Each change is answered, with 0 or what is wrong with it.
	for answers := 2 + len(redirected); answers > 0; {
		in := make([]byte, 64<<10)
		n, _, err := unix.Recvfrom(fd, in, 0)
		if err != nil {
			return err
		}
		list, err := syscall.ParseNetlinkMessage(in[:n])
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.Header.Type == unix.NLMSG_ERROR {
				if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
					return syscall.Errno(-code)
				}
				answers--
			}
		}
	}
	return nil
}

// message is a message of netfilter's netlink; id is its resource, or the family in the high byte.
func message(kind, flags int, id uint16, attributes ...[]byte) []byte {
	body := slices.Concat(append([][]byte{{byte(id >> 8), 0, 0, byte(id)}}, attributes...)...)
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.NLM_F_REQUEST|flags))
	b = append(b, make([]byte, 8)...) // sequence and port
	return append(b, body...)
}

func change(kind int, attributes ...[]byte) []byte {
	return message(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_CREATE|unix.NLM_F_ACK, unix.NFPROTO_IPV4<<8, attributes...)
}

func attribute(kind int, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func text(kind int, value string) []byte { return attribute(kind, append([]byte(value), 0)) }

func number(kind int, value uint32) []byte {
	return attribute(kind, binary.BigEndian.AppendUint32(nil, value))
}

func nest(kind int, attributes ...[]byte) []byte {
	return attribute(kind|unix.NLA_F_NESTED, bytes.Join(attributes, nil))
}

func expression(name string, attributes ...[]byte) []byte {
	return nest(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), nest(unix.NFTA_EXPR_DATA, attributes...))
}
