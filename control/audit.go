package control

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/history"
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
	What     string    `json:"what"` // certificate, token, revocation, restoration, rotation, request or import of an authority, object, cluster or switch
	Identity string    `json:"identity,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	From     string    `json:"from,omitempty"`
	By       string    `json:"by,omitempty"`     // how who asked has shown who that is
	Reason   string    `json:"reason,omitempty"` // that was given
	Signer   string    `json:"signer,omitempty"` // outside of weftd
	Refused  string    `json:"refused,omitempty"`

	// Of an object, or a cluster.
	Object  string `json:"object,omitempty"` // its kind, namespace and name; of a cluster or a switch its name
	Change  string `json:"change,omitempty"` // created, changed or deleted; attached or detached; broken or mended
	Version int    `json:"version,omitempty"`
	Author  string `json:"author,omitempty"`
	Source  string `json:"source,omitempty"`
}

// change notes what has become of an object of a source that others write.
func (a *audit) change(c history.Change) {
	a.write(entry{Time: c.At, What: "object", Object: c.Key.String(), Change: c.What, Version: c.Version, Author: c.Author, Source: c.Source, From: c.Where})
}

// applied notes what somebody has done, or was not let do, to an object.
func (a *audit) applied(e console.Entry) {
	line := entry{Time: time.Now(), What: "object", Object: e.Key.String(), Change: e.What, Version: e.Version, Author: e.Author, Source: fromStore, From: e.Caller.From, By: e.Caller.By, Refused: e.Refused}
	if line.Author != e.Caller.Name {
		line.By += " " + e.Caller.Name
	}
	a.write(line)
}

// cluster notes that a cluster was attached or detached, or that somebody was not let do that.
func (a *audit) cluster(c console.ClusterChange) {
	line := entry{Time: time.Now(), What: "cluster", Object: c.Name, Change: c.What, Author: c.Author, Source: fromStore, From: c.Caller.From, By: c.Caller.By, Refused: c.Refused}
	if line.Author != c.Caller.Name {
		line.By += " " + c.Caller.Name
	}
	a.write(line)
}

// broken notes that a part of the mesh was switched off or on, or that somebody was not let do that.
func (a *audit) broken(c console.BrokenChange) {
	line := entry{Time: time.Now(), What: "switch", Object: c.What, Change: c.Change, Until: c.Until, Reason: c.Reason, Author: c.Author, Source: fromStore, From: c.Caller.From, By: c.Caller.By, Refused: c.Refused}
	if line.Author != c.Caller.Name {
		line.By += " " + c.Caller.Name
	}
	a.write(line)
}

func (a *audit) certificate(r ca.Record) {
	a.write(entry{Time: r.Time, What: "certificate", Identity: r.Identity, Serial: r.Serial, Until: r.Until, From: r.From, By: r.By, Signer: r.Signer, Refused: r.Refused})
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
