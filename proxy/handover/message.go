package handover

import (
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// What a successor asks for.
const (
	askHello    = "hello"    // who it is
	askSockets  = "sockets"  // all that listen, the place's own last
	askAdmin    = "admin"    // the admin pages' address is to be free
	askDrain    = "drain"    // connections are to go, and nobody new is let in
	askCounters = "counters" // what has been counted
	askEnd      = "end"      // the process is to end; it answers with its last counters
	askBequest  = "bequest"  // what else the owner has for its successor
	// askConnections wants connections that can go on in another process, over the socket that comes with it.
	askConnections = "connections"
)

// request is what a successor says, response what it hears. Each is one packet.
type request struct {
	Ask   string `json:"ask"`
	Epoch uint   `json:"epoch"`
}

type response struct {
	Error    string            `json:"error,omitempty"`
	Keys     []string          `json:"keys,omitempty"` // of the descriptors that come with it, in their order
	Counters map[string]uint64 `json:"counters,omitempty"`
	Self     *Self             `json:"self,omitempty"`
	Bytes    []byte            `json:"bytes,omitempty"`
	More     bool              `json:"more,omitempty"` // another packet follows
}

// Self is what a process says of itself.
type Self struct {
	Epoch  uint     `json:"epoch"`
	BaseID uint     `json:"base_id"`
	Args   []string `json:"args"` // of its command line, without its name
	Dir    string   `json:"dir"`  // where it runs
	// Numbered is a number that none of its connections reaches, so that those of its successor have others, and it can have some of them.
	Numbered uint64    `json:"numbered"`
	Began    time.Time `json:"began"`             // when the first of the row did
	Refuses  string    `json:"refuses,omitempty"` // why whoever has asked does not get the place; empty: it may
}

// mostDescriptors go in a packet (the kernel takes 253), mostCounters likewise: a name takes a hundred bytes.
const (
	mostDescriptors = 64
	mostCounters    = 500
	mostPacket      = 128 << 10
	pieceBytes      = 64 << 10 // of a bequest go in a packet, and a third more in JSON
	mostBequest     = 4 << 20
)

// answerTime bounds how long an answer may take.
const answerTime = 10 * time.Second

func send(fd int, v any, fds ...int) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		if err := unix.Sendmsg(fd, b, rights, nil, unix.MSG_NOSIGNAL); err != unix.EINTR { // which a limit of time has a signal cause
			return err
		}
	}
}

// receive reads one packet, and the descriptors that came with it. At the peer's end it says so.
func receive(fd int, v any) ([]int, error) {
	b, rights := make([]byte, mostPacket), make([]byte, unix.CmsgSpace(4*mostDescriptors))
	n, m, flags, _, err := unix.Recvmsg(fd, b, rights, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, m, flags, _, err = unix.Recvmsg(fd, b, rights, unix.MSG_CMSG_CLOEXEC)
	}
	switch {
	case err == unix.EAGAIN:
		return nil, fmt.Errorf("no answer within %v", answerTime)
	case err != nil:
		return nil, err
	case n == 0:
		return nil, errGone
	}
	fds, err := descriptors(rights[:m])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("a packet of more than %d bytes or %d descriptors", mostPacket, mostDescriptors)
	}
	if err == nil {
		err = json.Unmarshal(b[:n], v)
	}
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	return fds, nil
}

func descriptors(rights []byte) (fds []int, err error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		some, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, some...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
