package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/stored"
	"github.com/weftmesh/weft/control/store"
)

// Object is an object as it is told of.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Source    string `json:"source"`
	Where     string `json:"where,omitempty"` // it is, such as a file
	Author    string `json:"author,omitempty"`
	Version   int    `json:"version,omitempty"` // of its history; 0: that is not known here
	// InForce says whether proxies are told of it; if not, Note says why.
	InForce  bool            `json:"inForce"`
	Note     string          `json:"note,omitempty"`
	Manifest json.RawMessage `json:"manifest"`
}

// Objects is a list of them.
type Objects struct {
	Objects []Object `json:"objects"`
}

// ready says no while not every source has told what it has: nobody could say what an object's name stands for.
func (c *Console) ready() error {
	if c.Push.Mesh() == nil {
		return refuse(http.StatusServiceUnavailable, "weftd is not ready: it waits for what these have to tell: %q", c.Push.Status().Awaits)
	}
	return nil
}

// keyOf is the object that a path names.
func keyOf(r *http.Request) (source.Key, error) {
	path := r.PathValue("kind") + "/" + r.PathValue("namespace") + "/" + r.PathValue("name")
	key, is := source.ParsePath(path)
	if is {
		return key, nil
	}
	kind, known := source.KindOf(r.PathValue("kind"))
	switch {
	case !known:
		return key, refuse(http.StatusNotFound, "%q is no kind that is known here", r.PathValue("kind"))
	case source.Forms[kind].Cluster:
		return key, refuse(http.StatusBadRequest, "%q: a %s has no namespace: write - for it", path, kind)
	}
	return key, refuse(http.StatusBadRequest, "%q: want KIND/NAMESPACE/NAME in small letters, digits, dashes and dots", path)
}

func (c *Console) get(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	if err := who.may(Viewer, key.Namespace, "look at "+key.String()); err != nil {
		return nil, err
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	record, revision, err := stored.Get(ctx, c.Store, key)
	if err != nil {
		return nil, err
	}
	o, owner := c.Push.Find(key)
	if record != nil && (owner == "" || owner == c.Stored) { // the store knows it before the mesh does
		return c.stored(who, key, record, revision, o)
	}
	if o == nil || owner == c.Stored { // it was there until just now
		return nil, notThere(key)
	}
	return c.shown(who, o, owner)
}

func notThere(key source.Key) error { return refuse(http.StatusNotFound, "there is no %s", key) }

func (c *Console) list(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	q := r.URL.Query()
	namespace := q.Get("namespace")
	kinds := []source.Kind{}
	if word := q.Get("kind"); word != "" {
		kind, known := source.KindOf(word)
		if !known {
			return nil, refuse(http.StatusNotFound, "%q is no kind that is known here", word)
		}
		kinds = append(kinds, kind)
	} else {
		for kind := range source.Forms {
			kinds = append(kinds, source.Kind(kind))
		}
	}
	if namespace != "" {
		if err := who.may(Viewer, namespace, "look at objects"); err != nil {
			return nil, err
		}
	} else if who.Grants.most() < Viewer {
		return nil, who.may(Viewer, "", "look at objects")
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	out := Objects{Objects: []Object{}}
	wanted := func(key source.Key) bool {
		return slices.Contains(kinds, key.Kind) && (namespace == "" || key.Namespace == namespace) && who.Grants.In(key.Namespace) >= Viewer
	}
	records, err := stored.List(ctx, c.Store)
	if err != nil {
		return nil, err
	}
	for _, one := range records {
		if !wanted(one.Key) {
			continue
		}
		now, owner := c.Push.Find(one.Key)
		if owner != c.Stored {
			now = nil
		}
		o, err := c.stored(who, one.Key, &one.Record, one.Revision, now)
		if err != nil {
			return nil, err
		}
		if owner != "" && owner != c.Stored {
			o.Note = "it is in " + owner + ", too, and that one counts"
		}
		out.Objects = append(out.Objects, *o)
	}
	m := c.Push.Mesh()
	for _, kind := range kinds {
		for _, o := range m.Objects(kind).All() {
			if !wanted(o.Key) {
				continue
			}
			if _, owner := c.Push.Find(o.Key); owner != c.Stored {
				one, err := c.shown(who, o, owner)
				if err != nil {
					return nil, err
				}
				out.Objects = append(out.Objects, *one)
			}
		}
	}
	slices.SortStableFunc(out.Objects, func(a, b Object) int { return source.Compare(a.key(), b.key()) })
	return out, nil
}

func (o *Object) key() source.Key {
	kind, _ := source.KindOf(o.Kind)
	return source.Key{Kind: kind, Namespace: o.Namespace, Name: o.Name}
}

// shown is an object that is in force as somebody may see it.
func (c *Console) shown(who *Caller, o *source.Object, owner string) (*Object, error) {
	out := &Object{Kind: o.Kind.String(), Namespace: o.Namespace, Name: o.Name, Source: owner, Author: o.Author, InForce: true}
	if o.From.File != "" {
		out.Where = fmt.Sprintf("%s:%d", o.From.File, o.From.Line)
	}
	text, err := source.Known(veiled(who, o))
	out.Manifest = text
	return out, err
}

// stored is an object that was applied, of which now is what is in force; nil: nothing of it is.
func (c *Console) stored(who *Caller, key source.Key, r *stored.Record, revision store.Revision, now *source.Object) (*Object, error) {
	out := &Object{Kind: key.Kind.String(), Namespace: key.Namespace, Name: key.Name, Source: c.Stored, Author: r.Author, Version: r.Version}
	o, problems := r.Object(key, revision)
	if o == nil {
		out.Manifest, out.Note = json.RawMessage("null"), "it cannot be read: "+problems[0].Text
		return out, nil
	}
	if out.InForce = now != nil && now.Revision == o.Revision; !out.InForce {
		out.Note = "proxies are not told of it yet"
		for _, p := range push.Check(o) {
			if !p.Warning {
				out.Note = p.Path + ": " + p.Text
			}
		}
		if why := c.Push.HeldBack(key); why != "" {
			out.Note = "it is held back: " + why
		}
	}
	var err error
	out.Manifest, err = source.Known(veiled(who, o))
	return out, err
}

// veiled is an object without what somebody may not see.
func veiled(who *Caller, o *source.Object) *source.Object {
	spec, is := o.Spec.(*source.SecretSpec)
	if !is || who.Grants.In(o.Namespace) >= Admin {
		return o
	}
	out := *o
	hidden := &source.SecretSpec{Type: spec.Type, Data: map[string][]byte{}}
	for k := range spec.Data {
		hidden.Data[k] = nil
	}
	out.Spec = hidden
	return &out
}
