package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// State is how a workload is captured.
type State struct {
	Whole   bool // all that Attach puts on is there
	Listens bool // the proxy listens for what comes in; without it nobody is let in

	// Since what is attached was attached: connections that went to the proxy, out and in, those that nobody was there for, questions about names,
	// and pieces that went from socket to socket, and that might have and did not.
	Out, In, Refused, Names, Short, Long uint64
}

// parts are the names that links have in the folder.
var parts = []string{"hears", "follows", "original", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6", "sendmsg4", "sendmsg6", "connect4", "connect6", "inbound"}

// Look says how a workload is captured, of which pins is the folder.
func Look(pins string) (s State, err error) {
	there := 0
	for _, name := range parts {
		_, err := os.Stat(filepath.Join(pins, "link-"+name))
		switch {
		case err == nil:
			there++
		case !errors.Is(err, os.ErrNotExist):
			return s, fmt.Errorf("bpf: %w", err)
		}
	}
	if there == 0 {
		return s, nil
	}
	s.Whole = there == len(parts)
	counted, err := ebpf.LoadPinnedMap(filepath.Join(pins, "counted"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return s, fmt.Errorf("bpf: what is counted: %w", err)
	}
	defer counted.Close()
	for i, n := range []*uint64{&s.Out, &s.In, &s.Refused, &s.Names, &s.Short, &s.Long} { // in the order of capture.bpf.c
		var each []uint64
		if err := counted.Lookup(uint32(i), &each); err != nil {
			return s, fmt.Errorf("bpf: what is counted: %w", err)
		}
		for _, one := range each {
			*n += one
		}
	}
	listeners, err := ebpf.LoadPinnedMap(filepath.Join(pins, "listeners"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return s, fmt.Errorf("bpf: who listens: %w", err)
	}
	defer listeners.Close()
	for family := range uint32(2) {
		var cookie uint64
		if err := listeners.Lookup(family, &cookie); err == nil {
			s.Listens = true
		}
	}
	return s, nil
}
