package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// BrokenPrefix is before the names of what is switched off by hand, among the keys of the store.
const BrokenPrefix = "broken/"

// maxBroken bounds how much is switched off at a time.
const maxBroken = 100

// How long something is off: UsualBreak if nothing is said. Who forgets it has it on again by itself.
const (
	UsualBreak = time.Hour
	MaxBreak   = 7 * 24 * time.Hour
)

const maxReason = 1024 // bytes

// Broken is that something is switched off, as it is kept. After Until it counts no more, whether its record is there or not.
type Broken struct {
	What   string    `json:"what"` // the name of a Switch
	Author string    `json:"author"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
}

// ReadBroken reads one as it is kept.
func ReadBroken(e store.Entry) (b Broken, err error) {
	if json.Unmarshal(e.Value, &b) != nil || b.What != strings.TrimPrefix(e.Key, BrokenPrefix) || b.Until.IsZero() {
		return Broken{}, errors.New("its record cannot be read")
	}
	_, err = ReadSwitch(b.What)
	return b, err
}

// Switch is what is off.
func (b *Broken) Switch() Switch {
	s, _ := ReadSwitch(b.What) // which ReadBroken has tried
	return s
}

// BrokenChange is that something was switched off, or on again, for those who come later.
type BrokenChange struct {
	Broken
	Change  string // broken, mended
	Caller  *Caller
	Refused string
}

// BrokenAsked is what is said of what is to be off.
type BrokenAsked struct {
	For    string `json:"for,omitempty"` // a duration; empty: UsualBreak
	Reason string `json:"reason"`
}

// BrokenResult is what became of it.
type BrokenResult struct {
	Broken
	// Warning is something to know; empty: nothing.
	Warning string `json:"warning,omitempty"`
}

// breaks switches something off, or has it be off for longer, or shorter.
func (c *Console) breaks(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	b, e, err := c.breaking(ctx, who, r)
	refused := func(err error) (any, error) {
		c.AuditBroken(BrokenChange{b, "broken", who, err.Error()})
		return nil, err
	}
	if err != nil {
		return refused(err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var asked BrokenAsked
	read := json.NewDecoder(strings.NewReader(string(text)))
	read.DisallowUnknownFields()
	if err := read.Decode(&asked); err != nil {
		return refused(refuse(http.StatusBadRequest, `want {"for": DURATION, "reason": TEXT}`))
	}
	life := UsualBreak
	if asked.For != "" {
		if life, err = time.ParseDuration(asked.For); err != nil || life < time.Second || life > MaxBreak {
			return refused(refuse(http.StatusBadRequest, "for is %.64q: want a second at least and %v at most", asked.For, MaxBreak))
		}
	}
	if b.Reason = strings.TrimSpace(asked.Reason); b.Reason == "" || len(b.Reason) > maxReason {
		return refused(refuse(http.StatusBadRequest, "why? want a reason of at most %d bytes, for those who come later", maxReason))
	}
	if e.Revision == store.Absent {
		if n, err := c.stillBroken(ctx); err != nil {
			return nil, err
		} else if n >= maxBroken {
			return refused(refuse(http.StatusConflict, "%d parts of the mesh are switched off already: mend some of them first", n))
		}
	}
	b.At = time.Now().UTC().Truncate(time.Millisecond)
	b.Until = b.At.Add(life)
	value, err := json.Marshal(&b)
	if err != nil {
		return nil, err
	}
	if _, err := c.Store.Put(ctx, BrokenPrefix+b.What, value, e.Revision); err != nil {
		return nil, err
	}
	c.AuditBroken(BrokenChange{b, "broken", who, ""})
	result := BrokenResult{Broken: b}
	if !c.Lasting {
		result.Warning = "weftd keeps it in memory: other weftd do not hear of it, and this one does not know of it when it is started again: start weftd with --store"
	}
	return result, nil
}

// stillBroken is how much is switched off. What has ended by itself leaves the store.
func (c *Console) stillBroken(ctx context.Context) (n int, err error) {
	all, err := c.Store.List(ctx, BrokenPrefix)
	for _, e := range all {
		if one, err := ReadBroken(e); err == nil && !time.Now().Before(one.Until) {
			c.Store.Delete(ctx, e.Key, e.Revision) // or somebody has written it anew, or the next one does
			continue
		}
		n++
	}
	return n, err
}

// mends switches it on again.
func (c *Console) mends(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	b, e, err := c.breaking(ctx, who, r)
	if err != nil {
		c.AuditBroken(BrokenChange{b, "mended", who, err.Error()})
		return nil, err
	}
	// A record that has ended is left for the next one to take its place; one that cannot be read is taken away.
	if was, err := ReadBroken(e); e.Revision == store.Absent || err == nil && !time.Now().Before(was.Until) {
		return nil, refuse(http.StatusNotFound, "%s is not switched off here", b.What)
	}
	if err := c.Store.Delete(ctx, e.Key, e.Revision); err != nil {
		return nil, err
	}
	c.AuditBroken(BrokenChange{b, "mended", who, ""})
	return BrokenResult{Broken: b}, nil
}

// breaking is what somebody is about to switch, if he may, and how it is kept now.
func (c *Console) breaking(ctx context.Context, who *Caller, r *http.Request) (b Broken, e store.Entry, err error) {
	b.What, b.Author = r.PathValue("what"), who.Name
	author, err := who.author(r.URL.Query().Get("author"))
	if err != nil {
		return b, e, err
	}
	b.Author = author
	if err := who.may(Admin, "", "switch parts of the mesh off or on"); err != nil {
		return b, e, err
	}
	s, err := ReadSwitch(b.What)
	if err != nil {
		return b, e, refuse(http.StatusNotFound, "%v", err)
	}
	b.What = s.Name()
	e, err = c.Store.Get(ctx, BrokenPrefix+b.What)
	if errors.Is(err, store.ErrNotFound) {
		return b, store.Entry{Key: BrokenPrefix + b.What, Revision: store.Absent}, nil
	}
	return b, e, err
}
