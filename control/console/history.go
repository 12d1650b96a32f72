package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weftmesh/weft/control/history"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/stored"
)

// Version is a version of an object's spec.
type Version struct {
	history.Version
	Current bool `json:"current,omitempty"` // it is the one in force
}

// History is what is kept of an object.
type History struct {
	Versions []Version `json:"versions"` // the oldest first
}

// past is what is kept of an object, and what it is now; nil: nothing. Of one that has not changed since somebody looked, its only version is the one
// that it has.
func (c *Console) past(ctx context.Context, key source.Key) ([]Version, *source.Object, string, error) {
	if err := c.ready(); err != nil {
		return nil, nil, "", err
	}
	if !history.Kept(key.Kind) {
		return nil, nil, "", refuse(http.StatusBadRequest, "no history is kept of a %s", key.Kind)
	}
	all, err := history.List(ctx, c.Store, key)
	if err != nil {
		return nil, nil, "", err
	}
	record, revision, err := stored.Get(ctx, c.Store, key)
	if err != nil {
		return nil, nil, "", err
	}
	now, owner := c.Push.Find(key)
	if record != nil && (owner == "" || owner == c.Stored) {
		now, _ = record.Object(key, revision)
		owner = c.Stored
	} else if owner == c.Stored {
		now, owner = nil, "" // it was there until just now
	}
	var manifest []byte
	if now != nil {
		if manifest, err = source.Manifest(now); err != nil {
			return nil, nil, "", err
		}
	}
	out := make([]Version, len(all))
	for i := range all {
		out[i].Version = all[i]
	}
	switch n := len(out); {
	case n > 0:
		out[n-1].Current = out[n-1].Is(manifest)
	case now == nil:
		return nil, nil, "", notThere(key)
	default:
		out = []Version{{history.Version{Number: 1, Author: now.Author, At: now.Created, Source: owner, Where: now.From.File, Manifest: manifest, Revision: now.Revision}, true}}
	}
	return out, now, owner, nil
}

func (c *Console) history(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	if err := who.may(Viewer, key.Namespace, "look at "+key.String()); err != nil {
		return nil, err
	}
	all, _, _, err := c.past(ctx, key)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Manifest = nil // each is asked for by itself
	}
	return History{all}, nil
}

// numbered is the version that a path names.
func (c *Console) numbered(ctx context.Context, r *http.Request, key source.Key) (*Version, *source.Object, string, error) {
	number, err := strconv.Atoi(r.PathValue("version"))
	if err != nil || number < 1 {
		return nil, nil, "", refuse(http.StatusBadRequest, "version %q: want a number, as the history has them", r.PathValue("version"))
	}
	all, now, owner, err := c.past(ctx, key)
	if err != nil {
		return nil, nil, "", err
	}
	kept := ""
	for i := range all {
		if all[i].Number == number {
			return &all[i], now, owner, nil
		}
		kept += fmt.Sprintf(" %d", all[i].Number)
	}
	return nil, nil, "", refuse(http.StatusNotFound, "there is no version %d of %s, or it is kept no more: there are%s", number, key, kept)
}

func (c *Console) version(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	if err := who.may(Viewer, key.Namespace, "look at "+key.String()); err != nil {
		return nil, err
	}
	v, _, _, err := c.numbered(ctx, r, key)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// rollback has an object's spec be again what it was. What others have is for them to change: they are told what to.
func (c *Console) rollback(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	dry, err := flagOf(r, "dryRun")
	if err != nil {
		return nil, err
	}
	author, err := who.author(r.URL.Query().Get("author"))
	if err != nil {
		return nil, err
	}
	if err := who.may(toChange(key.Kind), key.Namespace, "change "+key.String()); err != nil {
		c.audit(Entry{Key: key, What: "changed", Caller: who, Refused: err.Error()})
		return nil, err
	}
	v, now, owner, err := c.numbered(ctx, r, key)
	if err != nil {
		return nil, err
	}
	if v.Deleted {
		return nil, refuse(http.StatusConflict, "version %d of %s is that it was taken away: take it away to have that again", v.Number, key)
	}
	if v.Current {
		return &Applied{DryRun: dry, Results: []Result{{Kind: key.Kind.String(), Namespace: key.Namespace, Name: key.Name, Result: "unchanged", Version: v.Number}}}, nil
	}
	if now == nil && v.Source != c.Stored {
		owner = v.Source
	}
	if owner != "" && owner != c.Stored {
		where := owner
		if v.Where != "" {
			where += " (" + v.Where + ")"
		}
		return nil, &failure{http.StatusConflict, Failure{Error: fmt.Sprintf("%s is of %s: %s, to the manifest of version %d", key, where, c.change(owner), v.Number), Manifest: v.Manifest}}
	}
	read := source.Read(v.Manifest, source.Origin{Source: "version " + strconv.Itoa(v.Number)})
	var wrong []Problem
	for _, p := range read.Problems {
		if !p.Warning {
			wrong = append(wrong, Problem{Object: key.String(), Field: p.Path, Text: p.Text})
		}
	}
	if len(wrong) == 0 && len(read.Objects) != 1 {
		return nil, errors.New("console: a version of " + key.String() + " is not one object")
	}
	if len(wrong) == 0 {
		for _, p := range push.Check(read.Objects[0]) {
			if !p.Warning {
				wrong = append(wrong, Problem{Object: key.String(), Field: p.Path, Text: p.Text})
			}
		}
	}
	if len(wrong) > 0 {
		return nil, &failure{http.StatusUnprocessableEntity, Failure{Error: fmt.Sprintf("version %d of %s is not right any more", v.Number, key), Problems: wrong}}
	}
	w := wish{key: key, object: read.Objects[0], expected: unquoted(r.Header.Get("If-Match")), specOnly: true}
	results, err := c.fulfil(ctx, who, author, []wish{w}, dry)
	if err != nil {
		return nil, err
	}
	return &Applied{DryRun: dry, Results: results}, nil
}
