package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/history"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/stored"
	"github.com/weftmesh/weft/control/store"
)

// Result is what has come of an object that was sent.
type Result struct {
	Kind            string `json:"kind"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name"`
	Result          string `json:"result"`                    // created, configured, unchanged or deleted
	Version         int    `json:"version,omitempty"`         // of its history
	ResourceVersion string `json:"resourceVersion,omitempty"` // to be sent back by who wants to notice others; none, if nothing was done
}

// Applied is what has come of what was sent.
type Applied struct {
	DryRun   bool      `json:"dryRun,omitempty"`
	Results  []Result  `json:"results"`
	Warnings []Problem `json:"warnings,omitempty"`
}

// wish is an object as somebody wants to have it.
type wish struct {
	key      source.Key
	object   *source.Object // nil: gone
	expected string         // the resourceVersion that it is written upon; empty: whatever there is
	// specOnly leaves what stands beside the spec as it is, if there is something.
	specOnly bool
}

// step is what has to be written for a wish.
type step struct {
	key    source.Key
	writes []store.Write // none: it is so already. The first is the object's own
	drop   []store.Write // what may be written later, too
	result Result
}

// apply takes manifests: it reads and checks all, and changes nothing if something is wrong.
func (c *Console) apply(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	if who.Grants.most() < Editor { // before anything of it is read
		return nil, who.may(Editor, "", "change objects")
	}
	dry, err := flagOf(r, "dryRun")
	if err != nil {
		return nil, err
	}
	author, err := who.author(r.URL.Query().Get("author"))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	namespace := r.URL.Query().Get("namespace")
	if _, is := source.ParsePath("configmaps/" + namespace + "/a"); namespace != "" && !is {
		return nil, refuse(http.StatusBadRequest, "%.64q is no namespace: want small letters, digits and dashes", namespace)
	}
	wishes, warnings, err := c.read(who, body, namespace)
	if err != nil {
		return nil, err
	}
	if match := r.Header.Get("If-Match"); match != "" {
		if len(wishes) != 1 {
			return nil, refuse(http.StatusBadRequest, "If-Match is about one object, and there are %d: say resourceVersion in the metadata of each", len(wishes))
		}
		wishes[0].expected = unquoted(match)
	}
	if !c.Lasting && !dry {
		warnings = append(warnings, Problem{Warning: true, Text: "weftd keeps it in memory, and has it no more when it is started again: start weftd with --store"})
	}
	results, err := c.fulfil(ctx, who, author, wishes, dry)
	if err != nil {
		return nil, err
	}
	return &Applied{DryRun: dry, Results: results, Warnings: warnings}, nil
}

func flagOf(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil { // or something is done that was only to be tried
		return false, refuse(http.StatusBadRequest, "%s is %q: want true or false", name, text)
	}
	return b, nil
}

// unquoted is an entity tag without its quotes.
func unquoted(tag string) string { return strings.Trim(tag, `"`) }

// read reads and checks what is sent.
func (c *Console) read(who *Caller, body []byte, namespace string) ([]wish, []Problem, error) {
	all := source.ReadIn(body, source.Origin{Source: "what was sent"}, namespace)
	problems := all.Problems
	first := map[source.Key]int{}
	var wishes []wish
	for _, o := range all.Objects {
		if line, is := first[o.Key]; is {
			problems = append(problems, source.Problem{Key: o.Key, From: o.From, Text: fmt.Sprintf("is there twice, first in line %d: only one of them can be meant", line)})
			continue
		}
		first[o.Key] = o.From.Line
		problems = append(problems, push.Check(o)...)
		if v := o.Annotations[source.AuthorAnnotation]; v != "" {
			problems = append(problems, source.Problem{Key: o.Key, From: o.From, Path: "metadata.annotations", Text: source.AuthorAnnotation + " says nothing of what is applied: its author is who applies it", Warning: true})
		}
		wishes = append(wishes, wish{key: o.Key, object: o, expected: all.Expected[o.Key]})
	}
	wrong, warnings := []Problem{}, []Problem{}
	bad := map[source.Key]bool{} // all that have no name are one
	for _, p := range problems {
		one := Problem{Line: p.From.Line, Field: p.Path, Text: p.Text, Warning: p.Warning}
		if p.Name != "" {
			one.Object = p.Key.String()
		}
		if p.Warning {
			warnings = append(warnings, one)
		} else {
			wrong = append(wrong, one)
			bad[p.Key] = true
		}
	}
	c.count(wronged, uint64(len(bad)))
	for _, w := range wishes {
		if !bad[w.key] {
			c.count(right, 1)
		}
	}
	switch {
	case len(wrong) > 0:
		return nil, nil, &failure{http.StatusUnprocessableEntity, Failure{Error: "nothing is applied, since there is something wrong with what was sent", Problems: append(wrong, warnings...)}}
	case len(wishes) == 0:
		return nil, nil, &failure{http.StatusBadRequest, Failure{Error: "there is no object in what was sent: want manifests in YAML or JSON", Problems: warnings}}
	case len(wishes) > maxObjects:
		return nil, nil, refuse(http.StatusRequestEntityTooLarge, "nothing is applied: %d objects at once, want at most %d", len(wishes), maxObjects)
	}
	for _, w := range wishes {
		if err := who.may(toChange(w.key.Kind), w.key.Namespace, "change "+w.key.String()); err != nil {
			c.audit(Entry{Key: w.key, What: "changed", Caller: who, Refused: err.Error()})
			return nil, nil, err
		}
	}
	return wishes, warnings, nil
}

func (c *Console) audit(e Entry) {
	if c.Audit != nil {
		c.Audit(e)
	}
}

// How often somebody else may write the same between our reading and our writing.
const attempts = 5

// fulfil has wishes come true. Those that fit into a commit of the store do at once or not at all; of more, portions do.
func (c *Console) fulfil(ctx context.Context, who *Caller, author string, wishes []wish, dry bool) ([]Result, error) {
	if err := c.ready(); err != nil {
		return nil, err
	}
	var done []Result
	for try := 1; ; try++ {
		steps := make([]*step, 0, len(wishes))
		for i := range wishes[len(done):] {
			s, err := c.plan(ctx, author, &wishes[len(done)+i])
			if err != nil {
				return nil, c.partly(done, err)
			}
			steps = append(steps, s)
		}
		if dry {
			for _, s := range steps {
				done = append(done, s.result)
			}
			return done, nil
		}
		var err error
		for _, portion := range portions(steps) {
			if err = c.commit(ctx, who, author, portion); err != nil {
				break
			}
			for _, s := range portion {
				done = append(done, s.result)
			}
		}
		if err == nil {
			return done, nil
		}
		if again := errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound); !again || try == attempts {
			return nil, c.partly(done, err)
		}
	}
}

// partly says what has been done before something failed.
func (c *Console) partly(done []Result, err error) error {
	if len(done) == 0 {
		return err
	}
	code, text := http.StatusServiceUnavailable, err.Error()
	var r *refusal
	if errors.As(err, &r) {
		code = r.code
	}
	return &failure{code, Failure{Error: fmt.Sprintf("%d objects are done, and the others are not: %s", len(done), text), Results: done}}
}

// portions are steps that are written together.
func portions(steps []*step) (out [][]*step) {
	writes, size := 0, 0
	for i, s := range steps {
		n, bytes := len(s.writes), 0
		for _, w := range s.writes {
			bytes += len(w.Key) + len(w.Value)
		}
		if i == 0 || writes+n > store.MaxWrites || size+bytes > store.MaxCommit {
			out = append(out, nil)
			writes, size = 0, 0
		}
		out[len(out)-1] = append(out[len(out)-1], s)
		writes, size = writes+n, size+bytes
	}
	return out
}

// commit writes steps, and as much as there is room for of what may be written later.
func (c *Console) commit(ctx context.Context, who *Caller, author string, steps []*step) error {
	var writes, later []store.Write
	for _, s := range steps {
		writes, later = append(writes, s.writes...), append(later, s.drop...)
	}
	own := len(writes)
	for _, w := range later {
		if len(writes) < store.MaxWrites {
			writes = append(writes, w)
		}
	}
	if own == 0 {
		return nil
	}
	revisions, err := c.Store.Commit(ctx, writes)
	if errors.Is(err, store.ErrInvalid) && len(writes) > own { // their keys were too much
		revisions, err = c.Store.Commit(ctx, writes[:own])
	}
	if err != nil {
		return err
	}
	at := 0
	for _, s := range steps {
		if len(s.writes) == 0 {
			continue
		}
		s.result.ResourceVersion = string(revisions[at])
		at += len(s.writes)
		c.count(changed, 1)
		what := map[string]string{"configured": "changed"}[s.result.Result]
		if what == "" {
			what = s.result.Result
		}
		c.audit(Entry{Key: s.key, What: what, Version: s.result.Version, Author: author, Caller: who})
	}
	return nil
}

// plan says what has to be written for a wish, or why it cannot come true.
func (c *Console) plan(ctx context.Context, author string, w *wish) (*step, error) {
	s := &step{key: w.key, result: Result{Kind: w.key.Kind.String(), Namespace: w.key.Namespace, Name: w.key.Name}}
	was, revision, err := stored.Get(ctx, c.Store, w.key)
	if err != nil {
		return nil, err
	}
	if now, owner := c.Push.Find(w.key); now != nil && owner != c.Stored && (was == nil || w.object != nil) {
		return nil, refuse(http.StatusConflict, "%s is in %s, and that one counts: %s", w.key, place(owner, now), c.change(owner))
	}
	if w.expected != "" && w.expected != string(revision) {
		if was == nil {
			return nil, refuse(http.StatusConflict, "%s is not there any more, and resourceVersion %s was expected: look at what has become of it, and leave resourceVersion out to have it again", w.key, w.expected)
		}
		return nil, refuse(http.StatusConflict, "%s has been changed by %s at %s: it is resourceVersion %s, and %s was expected: get it again, and put the change into that", w.key, was.Author, was.Changed.UTC().Format(time.RFC3339), revision, w.expected)
	}
	if w.object == nil {
		return s, c.planDelete(ctx, s, author, was, revision)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	next := &stored.Record{Author: author, Created: now, Changed: now, Generation: 1}
	s.result.Result = "created"
	respec := true
	object := w.object
	if was != nil {
		s.result.Result = "configured"
		before, _ := was.Object(w.key, revision)
		if before != nil && w.specOnly {
			one := *object
			one.Labels, one.Annotations = before.Labels, before.Annotations
			object = &one
		}
		respec = before == nil || !source.Same(before, object)
		next.Created, next.Generation, next.Version = was.Created, was.Generation, was.Version
		if respec {
			next.Generation++
		} else {
			next.Author = was.Author
		}
	}
	if next.Manifest, err = source.Manifest(object); err != nil {
		return nil, err
	}
	if was != nil && bytes.Equal(next.Manifest, was.Manifest) {
		s.result.Result, s.result.Version, s.result.ResourceVersion = "unchanged", was.Version, string(revision)
		return s, nil
	}
	var more []store.Write
	if respec && history.Kept(w.key.Kind) {
		all, err := history.List(ctx, c.Store, w.key)
		if err != nil {
			return nil, err
		}
		v := &history.Version{Author: author, At: now, Source: c.Stored, Manifest: next.Manifest}
		add, drop, err := history.Add(w.key, all, v)
		if err != nil {
			return nil, err
		}
		next.Version, more, s.drop = v.Number, []store.Write{add}, drop
	}
	own, err := next.Put(w.key, revision)
	if err != nil {
		return nil, err
	}
	s.writes, s.result.Version = append([]store.Write{own}, more...), next.Version
	if err := store.Check(s.writes); err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "%s: %s", w.key, err)
	}
	return s, nil
}

// planDelete plans that an object goes.
func (c *Console) planDelete(ctx context.Context, s *step, author string, was *stored.Record, revision store.Revision) error {
	if was == nil {
		return notThere(s.key)
	}
	s.result.Result = "deleted"
	s.writes = []store.Write{stored.Delete(s.key, revision)}
	if !history.Kept(s.key.Kind) {
		return nil
	}
	all, err := history.List(ctx, c.Store, s.key)
	if err != nil {
		return err
	}
	v := &history.Version{Author: author, At: time.Now().UTC().Truncate(time.Millisecond), Source: c.Stored, Deleted: true}
	add, drop, err := history.Add(s.key, all, v)
	s.writes, s.drop, s.result.Version = append(s.writes, add), drop, v.Number
	return err
}

// change says where people change objects of a source.
func (c *Console) change(owner string) string {
	if text := c.Places[owner]; text != "" {
		return text
	}
	return "change it there"
}

func place(owner string, o *source.Object) string {
	if o.From.File != "" {
		return owner + " (" + o.From.File + ")"
	}
	return owner
}

// remove takes an object away.
func (c *Console) remove(ctx context.Context, who *Caller, r *http.Request) (any, error) {
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
	if err := who.may(toChange(key.Kind), key.Namespace, "take "+key.String()+" away"); err != nil {
		c.audit(Entry{Key: key, What: "deleted", Caller: who, Refused: err.Error()})
		return nil, err
	}
	results, err := c.fulfil(ctx, who, author, []wish{{key: key, expected: unquoted(r.Header.Get("If-Match"))}}, dry)
	if err != nil {
		return nil, err
	}
	return &Applied{DryRun: dry, Results: results}, nil
}
