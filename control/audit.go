package control

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/ca"
)

// audit is a log of what must be known later: JSON, a line for each thing, that is only ever added to.
type audit struct {
	failed func(string, ...any)
	mu     sync.Mutex
	file   *os.File // nil: it is not kept
}

func openAudit(path string, failed func(string, ...any)) (*audit, error) {
	a := &audit{failed: failed}
	if path == "" {
		return a, nil
	}
	var err error
	if a.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	return a, nil
}

// entry is a line.
type entry struct {
	Time     time.Time `json:"time"`
	What     string    `json:"what"` // certificate, token, revocation, restoration or rotation
	Identity string    `json:"identity,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	From     string    `json:"from,omitempty"`
	By       string    `json:"by,omitempty"`     // how who asked has shown who that is
	Reason   string    `json:"reason,omitempty"` // that was given
	Refused  string    `json:"refused,omitempty"`
}

func (a *audit) certificate(r ca.Record) {
	a.write(entry{Time: r.Time, What: "certificate", Identity: r.Identity, Serial: r.Serial, Until: r.Until, From: r.From, By: r.By, Refused: r.Refused})
}

func (a *audit) write(e entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = a.file.Write(append(line, '\n')) // whole, or not at all: lines of several processes do not mix (O_APPEND)
	}
	if err != nil {
		a.failed("the audit log cannot be written", "because", err)
	}
}

func (a *audit) close() {
	if a.file != nil {
		a.file.Close()
	}
}
