package fields

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/telemetry/remote"
	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/xds"
	"github.com/weftmesh/weft/xds/decode"
)

const deadline = time.Minute

// world is a proxy with one configuration, its upstream and a folder.
type world struct {
	*proxy.Proxy
	t     testing.TB
	up    *e2e.Upstream
	dir   string
	text  string // of the configuration
	stats *telemetry.Store
	admin string // the address of a process
	feed  *xds.Feed
	keys  *identities // of trials with identities
	err   error       // why the configuration is not served
}

// start serves a bootstrap in YAML, which may be refused.
func start(t testing.TB, up *e2e.Upstream, text, dir string, loops int) *world {
	w := &world{t: t, up: up, dir: dir, text: text, stats: telemetry.NewStore(loops)}
	boot, err := decode.New(builtin.All(), decode.Options{}).Bootstrap(parse(t, text))
	if err != nil {
		w.err = err
		return w
	}
	feed, err := xds.Open(boot, xds.Options{Filters: builtin.All(), Stats: w.stats})
	if err != nil {
		w.err = err
		return w
	}
	w.feed = feed
	t.Cleanup(feed.Close)
	logs := accesslog.NewFiles(loops, w.stats, time.Millisecond, 1)
	t.Cleanup(logs.Close)
	remotes := remote.New(remote.Options{Loops: loops, Stats: w.stats, Node: xds.NodeWire(boot), Snapshot: feed.Snapshot})
	logs.Remote = remotes.Open
	t.Cleanup(remotes.Close)
	w.Proxy, err = proxy.New(proxy.Options{Concurrency: loops, ServiceCluster: boot.Node.Cluster, ServiceNode: boot.Node.ID, Node: boot.Node.Message, MaxConnections: boot.MaxConnections, Zone: boot.Node.Zone, Specs: builtin.All(),
		Stats: w.stats, Logs: logs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Proxy.Close)
	w.err = w.Update(feed.Snapshot())
	return w
}

// watch follows the files of the configuration until the test ends.
func (w *world) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.feed.Watch(ctx, w.Update)
	}()
	w.t.Cleanup(func() { cancel(); <-done })
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, text string) *bootstrapv3.Bootstrap {
	t.Helper()
	return read(t, text, &bootstrapv3.Bootstrap{})
}

func read[M proto.Message](t testing.TB, text string, m M) M {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

func (w *world) dial() *e2e.Conn {
	w.t.Helper()
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	for _, a := range w.Addresses() {
		return e2e.Dial(w.t, a.String())
	}
	w.t.Fatal("there is no listener")
	return nil
}

func (w *world) stat(name string) int64 {
	w.Refresh()
	for _, s := range w.stats.Read(telemetry.Filter{Name: func(n string) bool { return n == name }}) {
		return s.Value
	}
	return -1
}

// eventually waits for what the proxy brings about in its own time.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

// file waits until a file in the folder has a whole line, and gives it.
func (w *world) file(name string) string {
	w.t.Helper()
	var b []byte
	w.eventually("a line in "+name, func() bool {
		b, _ = os.ReadFile(filepath.Join(w.dir, name))
		return bytes.HasSuffix(b, []byte("\n"))
	})
	return strings.TrimSpace(string(b))
}

// look sends a request and tells what became of it. The request is "METHOD target; name: value; ...", or bytes as they are if a line
// end is in it. What is wanted of the outcome: status, body, line (the request line that the upstream got), close, >name (a field that
// the upstream got, "-" if none), <name (one of the answer), #name (a number), @name (a file with a line).
func look(request string, wants ...string) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		c := w.dial()
		method, _, _ := strings.Cut(request, " ")
		r := c.Send(raw(request)).Read(method)
		return w.tell(r, wants)
	}
}

func (w *world) tell(r *e2e.Response, wants []string) string {
	var out []string
	for _, want := range wants {
		out = append(out, w.one(r, want))
	}
	return strings.Join(out, "|")
}

func (w *world) one(r *e2e.Response, want string) string {
	w.t.Helper()
	heads := w.up.Heads()
	last := ""
	if len(heads) > 0 {
		last = heads[len(heads)-1]
	}
	switch {
	case want == "status":
		return fmt.Sprint(r.Status)
	case want == "reason":
		line, _, _ := strings.Cut(r.Head, "\r\n")
		return line
	case want == "body":
		return r.Body
	case want == "head":
		return r.Head
	case want == "sent":
		return last
	case want == "line":
		line, _, _ := strings.Cut(last, "\r\n")
		return line
	case want == "close":
		return fmt.Sprint(r.Header.Get("connection") == "close")
	case want[0] == '>':
		return field(last, want[1:])
	case want[0] == '<':
		return field(r.Head, want[1:])
	case want[0] == '#':
		return fmt.Sprint(w.stat(want[1:]))
	case want[0] == '@':
		return w.file(want[1:])
	}
	w.t.Fatalf("what is %q?", want)
	return ""
}

// field is all values of a field in a head, as they came.
func field(head, name string) string {
	var values []string
	for _, line := range strings.Split(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	if values == nil {
		return "-"
	}
	return strings.Join(values, ",")
}

func raw(request string) string {
	if strings.Contains(request, "\r\n") {
		return request
	}
	parts := strings.Split(request, "; ")
	head := parts[0] + " HTTP/1.1\r\n"
	if !strings.Contains(strings.ToLower(request), "; host:") {
		head += "host: a.example\r\n"
	}
	for _, p := range parts[1:] {
		head += p + "\r\n"
	}
	return head + "\r\n"
}

// silent takes requests and never answers.
func silent(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
		}
	})
}

func answer(text ...string) func(testing.TB) *e2e.Upstream {
	return func(t testing.TB) *e2e.Upstream { return e2e.Answer(t, text...) }
}

func echo(t testing.TB) *e2e.Upstream { return e2e.Echo(t) }
