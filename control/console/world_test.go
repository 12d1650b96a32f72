package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/stored"
	"github.com/weftmesh/weft/control/store"
)

// deadline bounds every wait of these tests.
const deadline = 20 * time.Second

// world is a console over a mesh of files and of what is applied.
type world struct {
	*Console
	t     testing.TB
	ctx   context.Context
	url   string // of this host's door
	door  string // of the public one; empty: there is none
	users string // its file
	log   *lines

	mu      sync.Mutex
	entries []string // of the audit
}

// lines is a log that can be read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func newWorld(t testing.TB, s store.Store) *world {
	t.Helper()
	w := &world{t: t, log: &lines{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	p := push.New(push.Options{Sources: []string{"files", "store"}, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	w.ctx = ctx
	var parts sync.WaitGroup
	t.Cleanup(func() { cancel(); parts.Wait() })
	parts.Go(func() { p.Run(ctx) })
	parts.Go(func() {
		stored.Watch(ctx, s, func(err error) { t.Error(err) }, func(b source.Batch) { p.Tell(ctx, "store", b) })
	})
	w.Console = New(Options{Push: p, Store: s, Lasting: true, Stored: "store", Places: map[string]string{"files": "change the file"}, Log: log, Status: func() any { return p.Status() },
		Clusters: func() any { return []string{} }, AuditCluster: func(ClusterChange) {}, AuditBroken: func(BrokenChange) {},
		CheckCluster: func(_ string, c *Cluster) error {
			if c.Kubeconfig != "right" {
				return errors.New("it is wrong")
			}
			return nil
		}, Audit: func(e Entry) {
			w.mu.Lock()
			defer w.mu.Unlock()
			text := fmt.Sprintf("%s %s %s %d by %s (%s, %s)", e.What, e.Key, e.Refused, e.Version, e.Author, e.Caller.Name, e.Caller.By)
			w.entries = append(w.entries, text)
		}})
	local := httptest.NewServer(w.Local())
	t.Cleanup(local.Close)
	w.url = local.URL
	return w
}

// file has the files say that there is this.
func (w *world) file(text string) {
	w.t.Helper()
	c := source.Read([]byte(text), source.Origin{Source: "dir", File: "f.yaml"})
	var b source.Batch
	for _, o := range c.Objects {
		b.Changes = append(b.Changes, source.Change{Key: o.Key, Object: o})
	}
	if len(c.Problems) > 0 {
		w.t.Fatal(c.Problems)
	}
	w.Push.Tell(w.ctx, "files", b)
	w.eventually("the mesh has it", func() bool {
		if w.Push.Mesh() == nil {
			return false
		}
		for _, o := range c.Objects {
			if now, _ := w.Push.Find(o.Key); now == nil || now.Revision != o.Revision {
				return false
			}
		}
		return true
	})
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

// open opens the public door to the users of a file.
func (w *world) open(users string) {
	w.t.Helper()
	w.users = filepath.Join(w.t.TempDir(), "users.yaml")
	w.write(users)
	u, err := OpenUsers(w.users)
	if err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewServer(w.Public(u))
	w.t.Cleanup(s.Close)
	w.door = s.URL
}

func (w *world) write(users string) {
	w.t.Helper()
	if err := os.WriteFile(w.users, []byte(users), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// request is one, with a token if it comes to the public door.
type request struct {
	method, path, body, token string
	header                    map[string]string
}

func (w *world) ask(r request) (int, string) {
	w.t.Helper()
	url := w.url
	if r.token != "" {
		url = w.door
	}
	q, err := http.NewRequest(r.method, url+r.path, strings.NewReader(r.body))
	if err != nil {
		w.t.Fatal(err)
	}
	if r.token != "" && r.token != "none" {
		q.Header.Set("Authorization", "Bearer "+r.token)
	}
	for k, v := range r.header {
		q.Header.Set(k, v)
	}
	got, err := http.DefaultClient.Do(q)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return got.StatusCode, string(b)
}

// expect asks, and wants an answer with these words in it.
func (w *world) expect(r request, code int, words ...string) string {
	w.t.Helper()
	got, body := w.ask(r)
	if got != code {
		w.t.Errorf("%s %s: %d: want %d\n%s", r.method, r.path, got, code, body)
	}
	for _, word := range words {
		if !strings.Contains(body, word) {
			w.t.Errorf("%s %s: want %q\n%s", r.method, r.path, word, body)
		}
	}
	return body
}

func (w *world) apply(author, body string) Applied {
	w.t.Helper()
	var a Applied
	w.decode(w.expect(request{method: "POST", path: "/api/objects?author=" + author, body: body}, 200), &a)
	return a
}

func (w *world) decode(text string, into any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		w.t.Fatalf("%v: %s", err, text)
	}
}

// versions says in short what is kept of an object.
func (w *world) versions(path string) string {
	w.t.Helper()
	var h History
	w.decode(w.expect(request{method: "GET", path: "/api/history/" + path}, 200), &h)
	var out []string
	for _, v := range h.Versions {
		text := fmt.Sprintf("%d:%s", v.Number, v.Author)
		if v.Deleted {
			text += ":gone"
		}
		if v.Current {
			text += "*"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// host is what the shop's first host is, as the API has it.
func (w *world) host(path string) string {
	w.t.Helper()
	var o struct {
		Manifest struct {
			Spec struct{ Hosts []string }
		}
	}
	w.decode(w.expect(request{method: "GET", path: "/api/objects/" + path}, 200), &o)
	return o.Manifest.Spec.Hosts[0]
}

func shop(host string, more ...string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: a%s}\nspec:\n  hosts: [%s]\n  http: [{route: [{destination: {host: a}}]}]\n", strings.Join(more, ""), host)
}

const shopPath = "vs/a/shop"

func sum(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}
