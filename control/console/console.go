package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/telemetry"
)

// Bounds of what is asked.
const (
	maxBody    = 8 << 20 // bytes
	maxObjects = 2000    // of a request
	askTime    = 30 * time.Second
	maxAtOnce  = 8 // requests that are worked on; others wait, within their time
)

// Options are what a Console is made from.
type Options struct {
	Push  *push.Push
	Store store.Store
	// Lasting says that the store outlives the process.
	Lasting bool
	// Stored is the name that Push knows the source of what is applied by, and Places are where people change objects of the others, by name.
	Stored string
	Places map[string]string
	// Status is how weftd stands, as it is told to who may look at everything.
	Status func() any
	// Clusters are the API servers that are followed, as it is told to who may look at everything. CheckCluster says why one is not attached that somebody asks for, and AuditCluster is told of each that was,
	// or was refused to somebody who is known.
	Clusters     func() any
	CheckCluster func(name string, c *Cluster) error
	AuditCluster func(ClusterChange)
	// AuditBroken is told of each part of the mesh that was switched off or on, or was refused to somebody who is known.
	AuditBroken func(BrokenChange)
	// Audit is told of each change, and of what was refused to somebody who is known. Nil: nobody is.
	Audit func(Entry)
	Log   *slog.Logger
	Stats *telemetry.Values // of Stats; nil: nothing is counted
}

// Entry is a change of an object, for those who come later.
type Entry struct {
	Key     source.Key
	What    string // created, changed, deleted
	Version int    // of its history; 0: its spec is what it was, or it has none
	Author  string
	Caller  *Caller
	Refused string // why it was not done; empty: it was
}

// Console answers people.
type Console struct {
	Options
	slots chan struct{}

	mu   sync.Mutex
	said string // why users are not known, as it was said last
}

// New makes one.
func New(o Options) *Console { return &Console{Options: o, slots: make(chan struct{}, maxAtOnce)} }

// Stats is what is counted of a Console.
var Stats = &telemetry.Table{Kind: "console", Metrics: []telemetry.Metric{
	requests: {Name: "requests_total"},
	unknown:  {Name: "requests_unknown_caller"},
	denied:   {Name: "requests_denied"},
	busy:     {Name: "requests_overload"},
	changed:  {Name: "objects_changed"},
	right:    {Name: "objects_right"},
	wronged:  {Name: "objects_wrong"},
}}

const (
	requests = iota
	unknown  // callers that have not shown who they are
	denied   // that have, and may not
	busy     // that there was no room for in their time
	changed  // objects
	right    // objects that were sent, and that nothing is wrong with
	wronged  // that something is wrong with, and documents that are no objects
)

func (c *Console) count(row int, n uint64) {
	if c.Stats != nil {
		c.Stats.Add(row, n)
	}
}

// endpoint is a path of the API.
type endpoint struct {
	pattern string
	serve   func(*Console, context.Context, *Caller, *http.Request) (any, error)
}

// endpoints are all of them.
func endpoints() []endpoint {
	const object = "{kind}/{namespace}/{name}"
	return []endpoint{
		{"GET /api/whoami", (*Console).whoami},
		{"GET /api/status", (*Console).status},
		{"GET /api/objects", (*Console).list},
		{"POST /api/objects", (*Console).apply},
		{"GET /api/objects/" + object, (*Console).get},
		{"DELETE /api/objects/" + object, (*Console).remove},
		{"GET /api/history/" + object, (*Console).history},
		{"GET /api/history/" + object + "/{version}", (*Console).version},
		{"POST /api/rollback/" + object + "/{version}", (*Console).rollback},
		{"GET /api/clusters", (*Console).clusters},
		{"PUT /api/clusters/{name}", (*Console).attach},
		{"DELETE /api/clusters/{name}", (*Console).detach},
		{"PUT /api/broken/{what...}", (*Console).breaks},
		{"DELETE /api/broken/{what...}", (*Console).mends},
	}
}

// Local answers who is on this host, who may do everything and says who he is.
func (c *Console) Local() http.Handler {
	return c.handler(func(r *http.Request) (*Caller, error) {
		return &Caller{Name: "local", Grants: Grants{Everywhere: Admin}, By: "this host", local: true}, nil
	})
}

// Public answers those who show that they are among the users.
func (c *Console) Public(u *Users) http.Handler {
	return c.handler(func(r *http.Request) (*Caller, error) { return c.known(u, r) })
}

// known is who asks, if he is among the users.
func (c *Console) known(u *Users, r *http.Request) (*Caller, error) {
	who, err := u.who(r.Context(), bearer(r))
	if err == nil {
		return who, nil
	}
	c.count(unknown, 1)
	c.Log.Debug("somebody is not known", "peer", r.RemoteAddr, "because", err)
	if _, broken := u.now(); broken != nil {
		c.sayOnce(broken.Error())
	}
	return nil, errUnknown
}

// Guard lets those go on who show that they are among the users and have a role everywhere. What is what they are not let do otherwise, as in "may not look at it".
func (c *Console) Guard(u *Users, want Role, what string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.count(requests, 1)
		who, err := c.known(u, r)
		if err == nil {
			err = who.may(want, "", what)
		}
		if err != nil {
			c.answer(w, nil, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sayOnce logs what keeps everybody out, if it is another than before.
func (c *Console) sayOnce(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said != text {
		c.Log.Error("nobody is let in over --http-addr", "because", text)
	}
	c.said = text
}

func bearer(r *http.Request) string {
	const scheme = "Bearer "
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) && http.CanonicalHeaderKey(h[:len(scheme)-1]) == "Bearer" {
		return h[len(scheme):]
	}
	return ""
}

func (c *Console) handler(who func(*http.Request) (*Caller, error)) http.Handler {
	mux := http.NewServeMux()
	for _, e := range endpoints() {
		mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) {
			c.count(requests, 1)
			caller, err := who(r)
			if err != nil {
				c.answer(w, nil, err)
				return
			}
			caller.From = r.RemoteAddr
			ctx, cancel := context.WithTimeout(r.Context(), askTime)
			defer cancel()
			select {
			case c.slots <- struct{}{}:
				defer func() { <-c.slots }()
			case <-ctx.Done():
				c.count(busy, 1)
				c.answer(w, nil, refuse(http.StatusServiceUnavailable, "there was too much to do for %v: ask again", askTime))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v, err := e.serve(c, ctx, caller, r)
			c.answer(w, v, err)
		})
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		c.answer(w, nil, refuse(http.StatusNotFound, "there is no %s %s: want /api/objects, /api/history/KIND/NAMESPACE/NAME or /api/rollback/…, as docs/weftd.md has them", r.Method, r.URL.Path))
	})
	return http.NewCrossOriginProtection().Handler(mux) // a page of somebody else's must not have a browser change anything
}

// Failure is what is answered to what is not done.
type Failure struct {
	Error    string    `json:"error"`
	Problems []Problem `json:"problems,omitempty"` // with what was sent
	Results  []Result  `json:"results,omitempty"`  // what was done all the same, before it failed
	// Manifest is what to put where the error says, if it is not for weftd to change.
	Manifest json.RawMessage `json:"manifest,omitempty"`
}

// Problem is something wrong with what was sent, or, as a warning, something to know.
type Problem struct {
	Line    int    `json:"line,omitempty"` // of what was sent; 0: it is about no line
	Object  string `json:"object,omitempty"`
	Field   string `json:"field,omitempty"`
	Text    string `json:"text"`
	Warning bool   `json:"warning,omitempty"`
}

// failure is an error that says more than a text.
type failure struct {
	code int
	Failure
}

func (f *failure) Error() string { return f.Failure.Error }

func (c *Console) answer(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	var f *failure
	var r *refusal
	var large *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &f):
		code, v = f.code, f.Failure
	case errors.As(err, &r):
		if code = r.code; code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		v = Failure{Error: r.text}
	case errors.As(err, &large):
		code, v = http.StatusRequestEntityTooLarge, Failure{Error: fmt.Sprintf("more than %d MB: send it in parts", maxBody>>20)}
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
		code, v = http.StatusConflict, Failure{Error: "somebody else changes the same at this time: ask again"}
	case errors.Is(err, store.ErrInvalid):
		code, v = http.StatusUnprocessableEntity, Failure{Error: err.Error()}
	default:
		c.Log.Error("what was asked is not done", "because", err)
		code, v = http.StatusServiceUnavailable, Failure{Error: err.Error()}
	}
	if code == http.StatusForbidden {
		c.count(denied, 1)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v)
}

// Who is what somebody is told of himself.
type Who struct {
	Name  string            `json:"name"`
	By    string            `json:"by"`
	Roles map[string]string `json:"roles"` // by namespace
}

func (c *Console) whoami(_ context.Context, who *Caller, _ *http.Request) (any, error) {
	w := Who{Name: who.Name, By: who.By, Roles: map[string]string{}}
	for namespace, r := range who.Grants {
		w.Roles[namespace] = r.String()
	}
	return w, nil
}

// status is what /status of the pages says, for who may look at everything.
func (c *Console) status(_ context.Context, who *Caller, _ *http.Request) (any, error) {
	if err := who.may(Viewer, "", "look at how weftd stands"); err != nil {
		return nil, err
	}
	return c.Status(), nil
}
