package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// API is an API server of Kubernetes', as control/source/kube reaches it.
type API interface {
	// Call asks it. What it says no to is an error with the status of HTTP that it says so with; no status: it was not reached.
	Call(ctx context.Context, method, path string, query url.Values, body []byte) (answer io.ReadCloser, status int, err error)
}

// Kubernetes is a store in Secrets of a namespace, one for each key, which several processes may have at a time.
//
// An API server changes one object at a time, and a commit is several. So it is one object that is changed, by comparing and swapping: the head, which has the last
// commit whole. When that is done the commit is made; then it is carried over to the Secrets of its keys, by whoever made it or by whoever comes next, before the
// next commit. Readers see the head before what is behind it, and who watches watches the head alone: each commit is one event.
type Kubernetes struct {
	api       API
	namespace string
	path      string // of Secrets there
	kind      string // their type
	ctx       context.Context
	close     context.CancelFunc
	all       sync.WaitGroup

	mu      sync.Mutex // over commits of this process, of which others would only be in the way
	carried int64      // the last commit that is known to have been carried over
}

// How things are called there.
const (
	kubeHead    = "weft-store-head"
	kubePrefix  = "weft-store-" // of Secrets of keys, then a hash of the key, which may be too long and have letters that names have not
	kubeLabel   = "weftmesh.io/store"
	kubeGone    = "weftmesh.io/gone" // a label: there was such a key
	kubeKey     = "weftmesh.io/key"
	kubeNumber  = "weftmesh.io/revision"
	kubeWrites  = "weftmesh.io/writes"
	kubeSince   = "weftmesh.io/gone-since"
	kubeContent = "value"
)

// What is waited for, and what is stored.
const (
	kubeTime   = 10 * time.Second // of a question
	kubeCommit = 30 * time.Second // with others who write
	kubePage   = 50               // Secrets of a list at a time
	maxKube    = 1 << 20          // bytes of a Secret's values, as Kubernetes bounds them, and so of a commit's
	maxEvent   = 4 << 20          // of an event's text
	maxPage    = kubePage * 2 << 20
	// kubeKept is how long the Secret of a key that is gone stays: longer than anybody who carries an older commit over may still be on his way, for whom the key would
	// not be there yet.
	kubeKept  = 15 * time.Minute
	kubeSweep = 10 * time.Minute
)

// NewKubernetes makes a store in a namespace, of Secrets of a type of their own. Nobody is asked anything yet.
func NewKubernetes(api API, namespace, kind string) *Kubernetes {
	k := &Kubernetes{api: api, kind: kind, namespace: namespace, path: "/api/v1/namespaces/" + namespace + "/secrets"}
	k.ctx, k.close = context.WithCancel(context.Background())
	k.all.Go(k.sweep)
	return k
}

// kubeSecret is what is written and read of a Secret.
type kubeSecret struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   kubeMetadata      `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

type kubeMetadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

// number is the commit that a Secret is of.
func (s *kubeSecret) number() int64 {
	n, _ := strconv.ParseInt(s.Metadata.Annotations[kubeNumber], 10, 64)
	return n
}

// entry is what the Secret of a key says; without a revision it is gone.
func (s *kubeSecret) entry() Entry {
	e := Entry{Key: s.Metadata.Annotations[kubeKey], Value: s.Data[kubeContent], Revision: revisionOf(s.number())}
	if s.Metadata.Labels[kubeGone] != "" {
		e.Value, e.Revision = nil, Absent
	}
	return e
}

// nameOf is the name of a key's Secret.
func nameOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return kubePrefix + hex.EncodeToString(sum[:20])
}

// head is the last commit.
type head struct {
	number  int64 // 0: there was none
	version string
	entries []Entry // without a revision: gone
}

// kubeWrite is a write of the head, whose value stands beside it under its place.
type kubeWrite struct {
	Key  string `json:"key"`
	Gone bool   `json:"gone,omitempty"`
}

func readHead(s *kubeSecret) (h head, err error) {
	var writes []kubeWrite
	if err := json.Unmarshal([]byte(s.Metadata.Annotations[kubeWrites]), &writes); err != nil || s.number() == 0 {
		return h, fmt.Errorf("the Secret %s is not what weftd has written: %w", kubeHead, cmp.Or(err, errors.New("it has no revision")))
	}
	h.number, h.version = s.number(), s.Metadata.ResourceVersion
	for i, w := range writes {
		e := Entry{Key: w.Key}
		if !w.Gone {
			e.Revision, e.Value = revisionOf(h.number), s.Data[strconv.Itoa(i)]
		}
		h.entries = append(h.entries, e)
	}
	return h, nil
}

// find is what the head says of a key.
func (h *head) find(key string) (Entry, bool) {
	for _, e := range h.entries {
		if e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// asking bounds a question, and ends it when the store is closed.
func (k *Kubernetes) asking(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(k.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// call asks for one object, or writes one. A status that is no success is an error with it.
func (k *Kubernetes) call(ctx context.Context, method, path string, in, out *kubeSecret) (status int, err error) {
	ctx, cancel := k.asking(ctx, kubeTime)
	defer cancel()
	var text []byte
	if in != nil {
		if text, err = json.Marshal(in); err != nil {
			return 0, err
		}
	}
	body, status, err := k.api.Call(ctx, method, path, nil, text)
	if err != nil {
		return status, err
	}
	defer body.Close()
	return status, json.NewDecoder(io.LimitReader(body, maxEvent)).Decode(out)
}

// why is what has gone wrong with a key, in the words of this room.
func (k *Kubernetes) why(ctx context.Context, key string, status int, err error) error {
	switch {
	case k.ctx.Err() != nil:
		return failed(key, ErrClosed)
	case ctx.Err() != nil: // of who asks
		return failed(key, ctx.Err())
	case status == http.StatusUnprocessableEntity, status == http.StatusRequestEntityTooLarge:
		return failed(key, fmt.Errorf("%w: in Secrets of %s: %w", ErrInvalid, k.namespace, err))
	case status == http.StatusForbidden:
		return failed(key, fmt.Errorf(`in Secrets of %s: %w: a Role of ours there needs {apiGroups: [""], resources: [secrets], verbs: [get, list, watch, create, update, delete]}`, k.namespace, err))
	}
	return failed(key, fmt.Errorf("in Secrets of %s: %w", k.namespace, err))
}

// head reads the last commit.
func (k *Kubernetes) head(ctx context.Context) (h head, status int, err error) {
	var s kubeSecret
	if status, err = k.call(ctx, http.MethodGet, k.path+"/"+kubeHead, nil, &s); err != nil {
		if status == http.StatusNotFound {
			return h, status, nil
		}
		return h, status, err
	}
	h, err = readHead(&s)
	return h, status, err
}

// secret reads the Secret of a key; nil: there is none.
func (k *Kubernetes) secret(ctx context.Context, key string) (*kubeSecret, int, error) {
	s := &kubeSecret{}
	status, err := k.call(ctx, http.MethodGet, k.path+"/"+nameOf(key), nil, s)
	switch {
	case status == http.StatusNotFound:
		return nil, status, nil
	case err != nil:
		return nil, status, err
	case s.Metadata.Annotations[kubeKey] != key:
		return nil, status, fmt.Errorf("the Secret %s is not what weftd has written", s.Metadata.Name)
	}
	return s, status, nil
}

// look is what there is under a key, of which the head says nothing.
func (k *Kubernetes) look(ctx context.Context, key string) (Entry, int, error) {
	s, status, err := k.secret(ctx, key)
	if s == nil {
		return Entry{Key: key}, status, err
	}
	return s.entry(), status, nil
}

// Get implements Store.
func (k *Kubernetes) Get(ctx context.Context, key string) (Entry, error) {
	h, status, err := k.head(ctx)
	if err != nil {
		return Entry{}, k.why(ctx, key, status, err)
	}
	e, is := h.find(key)
	if !is {
		if e, status, err = k.look(ctx, key); err != nil {
			return Entry{}, k.why(ctx, key, status, err)
		}
	}
	if e.Revision == Absent {
		return Entry{}, failed(key, ErrNotFound)
	}
	return e, nil
}

// Put implements Store.
func (k *Kubernetes) Put(ctx context.Context, key string, value []byte, was Revision) (Revision, error) {
	return one(k.Commit(ctx, []Write{{Key: key, Value: value, Was: was}}))
}

// Delete implements Store.
func (k *Kubernetes) Delete(ctx context.Context, key string, was Revision) error {
	_, err := k.Commit(ctx, []Write{{Key: key, Was: was, Gone: true}})
	return err
}

// Commit implements Store. The values of a commit are at most 1 MB together, as the head is one Secret.
func (k *Kubernetes) Commit(ctx context.Context, writes []Write) ([]Revision, error) {
	if err := Check(writes); err != nil {
		return nil, err
	}
	if len(writes) == 0 {
		return []Revision{}, nil
	}
	total := 0
	for _, w := range writes {
		if !w.Gone {
			total += len(w.Value)
		}
	}
	if total > maxKube {
		return nil, fmt.Errorf("store: %d bytes of values: %w together: a Secret has at most %d", total, ErrInvalid, maxKube)
	}
	asked, cancel := k.asking(ctx, kubeCommit)
	defer cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		h, status, err := k.head(asked)
		if err == nil && h.version == "" {
			if _, h.number, _, err = k.list(asked, ""); err != nil {
				return nil, err
			}
		} else if err == nil && h.number > k.carried {
			status, err = k.carry(asked, &h)
		}
		if err != nil {
			return nil, k.why(ctx, writes[0].Key, status, err)
		}
		k.carried = h.number
		for i := range writes {
			e, is := h.find(writes[i].Key)
			if !is {
				if e, status, err = k.look(asked, writes[i].Key); err != nil {
					return nil, k.why(ctx, writes[i].Key, status, err)
				}
			}
			if err := writes[i].stands(e.Revision); err != nil {
				return nil, failed(writes[i].Key, err)
			}
		}
		next, status, err := k.swap(asked, &h, writes)
		if status == http.StatusConflict || status == http.StatusNotFound && h.version != "" { // another one was faster
			continue
		}
		if err != nil {
			return nil, k.why(ctx, writes[0].Key, status, err)
		}
		if _, err := k.carry(asked, next); err == nil { // else whoever comes next does it: it is made
			k.carried = next.number
		}
		all := make([]Revision, len(writes))
		for i, e := range next.entries {
			all[i] = e.Revision
		}
		return all, nil
	}
}

// swap has a commit take the place of the last one, if that is still the last.
func (k *Kubernetes) swap(ctx context.Context, h *head, writes []Write) (*head, int, error) {
	next := &head{number: h.number + 1}
	s := k.blank(kubeHead, next.number)
	var list []kubeWrite
	for i, w := range writes {
		e := Entry{Key: w.Key}
		if list = append(list, kubeWrite{w.Key, w.Gone}); !w.Gone {
			e.Value, e.Revision = slices.Clone(w.Value), revisionOf(next.number)
			s.Data[strconv.Itoa(i)] = w.Value
		}
		next.entries = append(next.entries, e)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, 0, err
	}
	s.Metadata.Annotations[kubeWrites], s.Metadata.ResourceVersion = string(text), h.version
	method, path := http.MethodPut, k.path+"/"+kubeHead
	if h.version == "" {
		method, path = http.MethodPost, k.path
	}
	status, err := k.call(ctx, method, path, s, s)
	return next, status, err
}

func (k *Kubernetes) blank(name string, number int64) *kubeSecret {
	return &kubeSecret{APIVersion: "v1", Kind: "Secret", Type: k.kind, Data: map[string][]byte{},
		Metadata: kubeMetadata{Name: name, Namespace: k.namespace, Labels: map[string]string{kubeLabel: "weft"}, Annotations: map[string]string{kubeNumber: strconv.FormatInt(number, 10)}}}
}

// carry carries a commit over to the Secrets of its keys. Each is written if it is of an older commit, whoever else does the same.
func (k *Kubernetes) carry(ctx context.Context, h *head) (int, error) {
	for _, e := range h.entries {
		if status, err := k.carryOne(ctx, h.number, e); err != nil {
			return status, err
		}
	}
	return 0, nil
}

func (k *Kubernetes) carryOne(ctx context.Context, number int64, e Entry) (int, error) {
	for {
		is, status, err := k.secret(ctx, e.Key)
		if err != nil {
			return status, err
		}
		if is != nil && is.number() >= number {
			return 0, nil
		}
		s := k.blank(nameOf(e.Key), number)
		s.Metadata.Annotations[kubeKey] = e.Key
		if s.Data[kubeContent] = e.Value; e.Revision == Absent {
			delete(s.Data, kubeContent)
			s.Metadata.Labels[kubeGone], s.Metadata.Annotations[kubeSince] = "true", time.Now().UTC().Format(time.RFC3339)
		}
		method, path := http.MethodPost, k.path
		if is != nil {
			method, path, s.Metadata.ResourceVersion = http.MethodPut, k.path+"/"+s.Metadata.Name, is.Metadata.ResourceVersion
		}
		status, err = k.call(ctx, method, path, s, s)
		if err == nil || status != http.StatusConflict && (status != http.StatusNotFound || is == nil) {
			return status, err
		}
	}
}

// Close implements Store.
func (k *Kubernetes) Close() error {
	k.close()
	k.all.Wait()
	return nil
}
