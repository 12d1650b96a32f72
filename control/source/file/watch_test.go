package file

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/control/source"
)

// follower is a test's Watch.
type follower struct {
	t       *testing.T
	dir     string
	batches chan source.Batch
	objects map[source.Key]*source.Object
	problem []string
}

// follow watches a directory and takes its first batch in.
func follow(t *testing.T, dir string) *follower {
	t.Helper()
	f := &follower{t: t, dir: dir, batches: make(chan source.Batch, 1000), objects: map[source.Key]*source.Object{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, dir, func(b source.Batch) { f.batches <- b }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	f.next()
	return f
}

// next takes the next batch in and gives its changes.
func (f *follower) next() string {
	f.t.Helper()
	select {
	case b := <-f.batches:
		return f.take(b)
	case <-time.After(10 * time.Second):
		f.t.Fatalf("nothing was told; there are %s and %q", f.now(), f.problem)
		return ""
	}
}

func (f *follower) take(b source.Batch) string {
	var out []string
	for _, c := range b.Changes {
		if c.Object == nil {
			if f.objects[c.Key] == nil {
				f.t.Errorf("%v is gone and was not there", c.Key)
			}
			delete(f.objects, c.Key)
			out = append(out, "-"+c.Key.Name)
			continue
		}
		sign := "+"
		if f.objects[c.Key] != nil {
			sign = "~"
		}
		f.objects[c.Key] = c.Object
		out = append(out, fmt.Sprintf("%s%s.%d", sign, c.Key.Name, c.Object.Generation))
	}
	f.problem = nil
	for _, p := range b.Problems {
		f.problem = append(f.problem, fmt.Sprintf("%s:%d %s %s", p.From.File, p.From.Line, p.Name, p.Text))
	}
	return strings.Join(out, " ")
}

// now are the objects that there are, with what their clusterIP is.
func (f *follower) now() string {
	var out []string
	for _, c := range "abcdefgh" {
		for k, o := range f.objects {
			if k.Name == string(c) {
				out = append(out, k.Name+"="+o.Spec.(*source.ServiceSpec).ClusterIP)
			}
		}
	}
	return strings.Join(out, " ")
}

// until takes batches in until the objects are these.
func (f *follower) until(want string) {
	f.t.Helper()
	deadline := time.After(10 * time.Second)
	for f.now() != want {
		select {
		case b := <-f.batches:
			f.take(b)
		case <-deadline:
			f.t.Fatalf("there are %s and %q, want %s", f.now(), f.problem, want)
		}
	}
}

// says takes batches in until a problem holds this.
func (f *follower) says(want string) {
	f.t.Helper()
	deadline := time.After(10 * time.Second)
	for !strings.Contains(strings.Join(f.problem, "\n"), want) {
		select {
		case b := <-f.batches:
			f.take(b)
		case <-deadline:
			f.t.Fatalf("said %q, want %s", f.problem, want)
		}
	}
}

// service is a manifest; it takes its name and address of pairs such as a=1.
func service(pairs ...string) string {
	var docs []string
	for _, p := range pairs {
		name, ip, _ := strings.Cut(p, "=")
		docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {clusterIP: 10.0.0.%s, ports: [{port: 80}]}\n", name, ip))
	}
	return strings.Join(docs, "---\n")
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1", "b=1"), dir, "x.yaml")
	write(t, service("c=1"), dir, "deep", "er", "y.yml")
	write(t, "no YAML: [", dir, "README.md")
	write(t, "no YAML: [", dir, ".hidden.yaml")
	f := follow(t, dir)
	if f.now() != "a=10.0.0.1 b=10.0.0.1 c=10.0.0.1" || len(f.problem) > 0 {
		t.Fatalf("at first there are %s and %q", f.now(), f.problem)
	}
	if o := f.objects[source.Key{Kind: source.Service, Namespace: "default", Name: "c"}]; o.From != (source.Origin{Source: dir, File: "deep/er/y.yml", Line: 1}) || o.Generation != 1 || !o.Created.IsZero() {
		t.Errorf("c is %+v", o)
	}
	for _, step := range []struct{ name, text, want string }{
		{"one of two changes", service("a=2", "b=1"), "~a.2"},
		{"a comment moves them", "# comment\n" + service("a=2", "b=1"), ""},
		{"one goes and one comes", service("b=1", "d=1"), "-a +d.1"},
		{"labels are not the spec", strings.Replace(service("b=1", "d=1"), "{name: b}", "{name: b, labels: {x: y}}", 1), "~b.1"},
	} {
		write(t, step.text, dir, "x.yaml")
		if step.want == "" {
			continue // nothing is told: the next step would see it
		}
		if got := f.next(); got != step.want {
			t.Errorf("%s: told %q, want %q", step.name, got, step.want)
		}
	}
	must(t, os.Rename(filepath.Join(dir, "x.yaml"), filepath.Join(dir, "z.json")))
	f.until("b=10.0.0.1 c=10.0.0.1 d=10.0.0.1")
	must(t, os.Remove(filepath.Join(dir, "z.json")))
	f.until("c=10.0.0.1")
}

// The ways in which editors and tools put files in place.
func TestWatchWriters(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1"), dir, "x.yaml")
	f := follow(t, dir)
	path := filepath.Join(dir, "x.yaml")

	// Renamed over it.
	write(t, service("a=2"), dir, "x.yaml~")
	must(t, os.Rename(path+"~", path))
	if got := f.next(); got != "~a.2" {
		t.Errorf("renamed over: told %q", got)
	}
	// In place, in pieces: nothing is told of the first half, which would be a good object.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	file.WriteString("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
	must(t, file.Sync())
	write(t, service("b=1"), dir, "y.yaml") // whatever else is told
	if got := f.next(); got != "+b.1" {
		t.Errorf("while it is written: told %q", got)
	}
	file.WriteString("spec: {clusterIP: 10.0.0.3, ports: [{port: 80}]}\n")
	must(t, file.Close())
	if got := f.next(); got != "~a.3" || f.now() != "a=10.0.0.3 b=10.0.0.1" {
		t.Errorf("when it is closed: told %q", got)
	}
	// Moved away and written anew, as vi does.
	must(t, os.Rename(path, path+"~"))
	write(t, service("a=4"), dir, "x.yaml")
	f.until("a=10.0.0.4 b=10.0.0.1")
	// A second name of a file.
	write(t, service("c=1"), dir, "c.tmp")
	must(t, os.Link(filepath.Join(dir, "c.tmp"), filepath.Join(dir, "c.yaml")))
	f.until("a=10.0.0.4 b=10.0.0.1 c=10.0.0.1")
	// A link, whose target then changes elsewhere.
	other := t.TempDir()
	write(t, service("d=1"), other, "d")
	must(t, os.Symlink(filepath.Join(other, "d"), filepath.Join(dir, "d.yaml")))
	f.until("a=10.0.0.4 b=10.0.0.1 c=10.0.0.1 d=10.0.0.1")
	write(t, service("d=2"), other, "d")
	f.until("a=10.0.0.4 b=10.0.0.1 c=10.0.0.1 d=10.0.0.2")
	must(t, os.Remove(filepath.Join(other, "d")))
	f.says("d.yaml:1  leads nowhere, and what was in it is kept")
	if !strings.Contains(f.now(), "d=10.0.0.2") {
		t.Errorf("there are %s", f.now())
	}
}

// A volume of Kubernetes' changes all its files by one link.
func TestWatchVolume(t *testing.T) {
	dir := t.TempDir()
	put := func(at, ip string) {
		write(t, service("a="+ip), dir, at, "a.yaml")
		write(t, service("b="+ip), dir, at, "b.yaml")
		must(t, os.Symlink(at, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	put("..1", "1")
	for _, name := range []string{"a.yaml", "b.yaml"} {
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	f := follow(t, dir)
	if f.now() != "a=10.0.0.1 b=10.0.0.1" {
		t.Fatalf("at first there are %s", f.now())
	}
	put("..2", "2")
	if got := f.next(); got != "~a.2 ~b.2" {
		t.Errorf("told %q: not all at once", got)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	put("..3", "3")
	f.until("a=10.0.0.3 b=10.0.0.3")
}

func TestWatchKeepsTheLastGood(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1", "b=1"), dir, "x.yaml")
	f := follow(t, dir)
	write(t, strings.Replace(service("a=2", "b=2"), "ports: [{port: 80}]", "ports: [{port: much}]", 1), dir, "x.yaml")
	f.until("a=10.0.0.1 b=10.0.0.2")
	f.says("x.yaml:4 a is a string and ought to be a int32")
	write(t, "what: [\n---\n"+service("b=3"), dir, "x.yaml") // a may be what cannot be read
	f.until("a=10.0.0.1 b=10.0.0.3")
	f.says("is no YAML")
	write(t, service("b=3"), dir, "x.yaml")
	f.until("b=10.0.0.3")
	if len(f.problem) > 0 {
		t.Errorf("said %q", f.problem)
	}
	must(t, os.Remove(filepath.Join(dir, "x.yaml")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "x.yaml"), 0o644)) // a pipe, which would never end
	f.says("x.yaml:1  cannot be read, and what was in it is kept: it is no file")
	must(t, os.Remove(filepath.Join(dir, "x.yaml")))
	write(t, strings.Repeat("#", source.MaxFile+1), dir, "y.yaml")
	f.says("y.yaml:1  cannot be read, and what was in it is kept: it has 16 MB, and at most 16 are read")
}

func TestWatchTwice(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1"), dir, "x.yaml")
	f := follow(t, dir)
	write(t, service("a=2"), dir, "y.yaml")
	f.says("y.yaml:1 a is in x.yaml too, and that one counts")
	if f.now() != "a=10.0.0.1" {
		t.Errorf("there is %s", f.now())
	}
	write(t, service("a=3"), dir, "w.yaml")
	f.until("a=10.0.0.3")
	f.says("x.yaml:1 a is in w.yaml too, and that one counts")
	must(t, os.Remove(filepath.Join(dir, "w.yaml")))
	f.until("a=10.0.0.1")
	must(t, os.Remove(filepath.Join(dir, "x.yaml")))
	f.until("a=10.0.0.2")
	if len(f.problem) > 0 {
		t.Errorf("said %q", f.problem)
	}
	write(t, service("a=2", "a=5"), dir, "y.yaml")
	f.says("y.yaml:6 a is in line 1 too, and that one counts")
}

func TestWatchSaysOnceOfEachKind(t *testing.T) {
	dir := t.TempDir()
	d := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
	write(t, d+"---\n"+d+"---\n"+service("a=1"), dir, "x.yaml")
	write(t, d, dir, "y.yaml")
	f := follow(t, dir)
	if len(f.problem) != 1 || f.now() != "a=10.0.0.1" {
		t.Errorf("there is %s, said %q", f.now(), f.problem)
	}
}

// The directory itself comes and goes.
func TestWatchDirectory(t *testing.T) {
	if err := Watch(t.Context(), filepath.Join(t.TempDir(), "no"), nil); err == nil {
		t.Error("a directory that is not there is watched")
	}
	top := t.TempDir()
	dir := filepath.Join(top, "d")
	write(t, service("a=1"), dir, "x.yaml")
	f := follow(t, dir)
	must(t, os.Rename(dir, filepath.Join(top, "away")))
	f.says("cannot be read, and what was in it is kept")
	if f.now() != "a=10.0.0.1" {
		t.Errorf("there is %q", f.now())
	}
	write(t, service("a=9"), top, "away", "x.yaml") // nobody's any more
	write(t, service("b=1"), dir, "deep", "y.yaml")
	f.until("b=10.0.0.1")
	if len(f.problem) > 0 {
		t.Errorf("said %q", f.problem)
	}
	write(t, service("b=2"), dir, "deep", "y.yaml")
	f.until("b=10.0.0.2")
	must(t, os.RemoveAll(filepath.Join(dir, "deep")))
	f.until("")
	must(t, os.Rename(filepath.Join(top, "away"), filepath.Join(dir, "deep")))
	f.until("a=10.0.0.9")

	// A link to a directory is put elsewhere.
	write(t, service("c=1"), top, "one", "x.yaml")
	write(t, service("c=2"), top, "two", "x.yaml")
	link := filepath.Join(top, "link")
	must(t, os.Symlink("one", link))
	g := follow(t, link)
	must(t, os.Symlink("two", link+"~"))
	must(t, os.Rename(link+"~", link))
	g.until("c=10.0.0.2")
}

// What is not read is said.
func TestWatchSaysWhatItLeaves(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1"), dir, "x.yaml")
	must(t, os.Symlink(t.TempDir(), filepath.Join(dir, "elsewhere")))
	f := follow(t, dir)
	f.says("elsewhere is a link to a folder, and is not followed")
	if os.Getuid() == 0 {
		return // who may read everything
	}
	must(t, os.Chmod(filepath.Join(dir, "x.yaml"), 0))
	write(t, service("a=2"), dir, "y.yaml")
	must(t, os.Rename(filepath.Join(dir, "y.yaml"), filepath.Join(dir, "z.yaml")))
	must(t, os.Chmod(filepath.Join(dir, "x.yaml"), 0o644))
	f.until("a=10.0.0.1")
}

// When the kernel has lost notices, everything is looked at.
func TestOverflowIsSurveyed(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1"), dir, "x.yaml")
	n, err := newNotices()
	must(t, err)
	defer n.close()
	w := newWatch(dir, n)
	w.survey()
	w.read()
	write(t, service("a=2"), dir, "x.yaml")
	must(t, os.Chtimes(filepath.Join(dir, "x.yaml"), time.Time{}, time.Now().Add(-time.Hour))) // it is not being written to
	n.drain()                                                                                  // lost
	w.note([]event{{mask: unix.IN_Q_OVERFLOW}})
	if !w.all {
		t.Fatal("an overflow says nothing")
	}
	w.survey()
	b, news := w.read()
	if !news || len(b.Changes) != 1 || b.Changes[0].Object.Spec.(*source.ServiceSpec).ClusterIP != "10.0.0.2" {
		t.Errorf("told %+v", b)
	}
}

// A file that is rewritten in place all the time is never seen empty or in part.
func TestWatchRewriter(t *testing.T) {
	dir := t.TempDir()
	filler := strings.Repeat("# filler\n", 2000)
	text := func(i int) string { return service(fmt.Sprintf("a=%d", i%250)) + filler + "---\n" + service("b=1") }
	write(t, text(0), dir, "x.yaml")
	f := follow(t, dir)
	done := make(chan error, 1)
	go func() {
		for i := range 400 {
			file, err := os.OpenFile(filepath.Join(dir, "x.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
			for s := text(i + 1); s != "" && err == nil; s = s[min(len(s), 4096):] {
				_, err = file.WriteString(s[:min(len(s), 4096)])
			}
			if file.Close(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for stop := false; !stop; {
		select {
		case b := <-f.batches:
			if got := f.take(b); !strings.HasPrefix(got, "~a.") || strings.Contains(got, " ") || len(b.Problems) > 0 {
				t.Fatalf("told %q and %q", got, f.problem)
			}
		case err := <-done:
			must(t, err)
			stop = true
		}
	}
	f.until("a=10.0.0.150 b=10.0.0.1")
}

// Whatever is done to a directory, in the end what has been told is what one sees who comes anew.
func TestWatchEndsAsReadAnew(t *testing.T) {
	dir := t.TempDir()
	f := follow(t, dir)
	random := rand.New(rand.NewPCG(1, 2))
	path := func() string {
		return filepath.Join(dir, []string{"", "d", "d/e", "f"}[random.IntN(4)], string(rune('p'+random.IntN(4)))+".yaml")
	}
	for round := range 20 {
		for range 30 {
			one := path()
			switch random.IntN(8) {
			case 0:
				os.Remove(one)
			case 1:
				other := path()
				os.MkdirAll(filepath.Dir(other), 0o755)
				os.Rename(one, other)
			case 2:
				os.RemoveAll(filepath.Join(dir, "d"))
			case 3:
				os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "f"))
			case 4:
				os.MkdirAll(filepath.Join(dir, "d", "e"), 0o755)
				os.Symlink("../p.yaml", filepath.Join(dir, "d", "q.yaml"))
			default:
				var pairs []string
				for _, name := range "abcdefg" {
					if random.IntN(4) == 0 {
						pairs = append(pairs, fmt.Sprintf("%c=%d", name, random.IntN(250)))
					}
				}
				write(t, service(pairs...), one)
			}
		}
		// A link that leads nowhere keeps what was in it, which one who comes anew cannot know.
		os.Remove(filepath.Join(dir, "d", "q.yaml"))
		os.Remove(filepath.Join(dir, "f", "q.yaml"))
		write(t, service(fmt.Sprintf("h=%d", round)), dir, "0.yaml")
		anew := source.Batch{}
		ctx, cancel := context.WithCancel(t.Context())
		must(t, Watch(ctx, dir, func(b source.Batch) {
			anew = b
			cancel()
		}))
		g := &follower{t: t, objects: map[source.Key]*source.Object{}}
		g.take(anew)
		f.until(g.now())
	}
}

// A folder that was moved is watched under its new name, and another one that has its old name does not end that, in whatever order they are looked at.
func TestWatchMovedFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1"), dir, "d", "p.yaml")
	f := follow(t, dir)
	f.until("a=10.0.0.1")
	for round := range 12 {
		must(t, os.RemoveAll(filepath.Join(dir, "f")))
		must(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "f")))
		write(t, service(fmt.Sprintf("b=%d", round)), dir, "d", "q.yaml")
		write(t, service("a=100"), dir, "f", "p.yaml")
		os.Remove(filepath.Join(dir, "f", "q.yaml"))
		f.until(fmt.Sprintf("a=10.0.0.100 b=10.0.0.%d", round))
		write(t, service(fmt.Sprintf("a=%d", round)), dir, "f", "p.yaml")
		f.until(fmt.Sprintf("a=10.0.0.%d b=10.0.0.%d", round, round))
		write(t, service(fmt.Sprintf("a=%d", round)), dir, "d", "p.yaml")
		must(t, os.Remove(filepath.Join(dir, "f", "p.yaml")))
		f.until(fmt.Sprintf("a=10.0.0.%d b=10.0.0.%d", round, round))
	}
}

// Many files at once are few batches, and nothing of them is lost.
func TestWatchBurst(t *testing.T) {
	dir := t.TempDir()
	write(t, service("a=1"), dir, "x.yaml")
	f := follow(t, dir)
	const files = 300
	for i := range files {
		write(t, service(fmt.Sprintf("s%d=1", i)), dir, fmt.Sprintf("s%d.yaml", i))
	}
	write(t, service("a=2"), dir, "x.yaml")
	f.until("a=10.0.0.2")
	if len(f.objects) != files+1 {
		t.Errorf("there are %d objects", len(f.objects))
	}
}

// What the first batch costs, of real files.
func BenchmarkFirst(b *testing.B) {
	for _, c := range []struct {
		name  string
		files int
	}{{"a thousand files", 1000}, {"one file", 1}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			for i, text := range load(b, c.files) {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.yaml", i)), []byte(text), 0o644); err != nil {
					b.Fatal(err)
				}
			}
			began := processor(b)
			for b.Loop() {
				ctx, cancel := context.WithCancel(context.Background())
				if err := Watch(ctx, dir, func(batch source.Batch) {
					if cancel(); len(batch.Changes) != 3000 || len(batch.Problems) > 0 {
						b.Errorf("told %d, said %v", len(batch.Changes), batch.Problems)
					}
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processor(b)-began).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

// processor is what this process has had of the processors.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load is 1,000 services with a VirtualService and a DestinationRule each, in so many files.
func load(b *testing.B, files int) []string {
	trio, err := os.ReadFile(filepath.Join("..", "testdata", "trio.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	texts := make([]string, files)
	for i := range 1000 {
		texts[i%files] += strings.ReplaceAll(string(trio), "NAME", fmt.Sprintf("svc-%d", i))
	}
	return texts
}

// What one file of a thousand costs when it changes: its own size, not the others'.
func BenchmarkChange(b *testing.B) {
	for _, c := range []struct {
		name  string
		files int
	}{{"one of a thousand files", 1000}, {"one document of three thousand in a file", 1}} {
		b.Run(c.name, func(b *testing.B) {
			h := newHold("d")
			texts := load(b, c.files)
			var touched []source.Key
			for i, text := range texts {
				touched = append(touched, h.take(fmt.Sprintf("f%d.yaml", i), []byte(text))...)
			}
			if first, _ := h.batch(touched, nil); len(first.Changes) != 3000 || len(first.Problems) > 0 {
				b.Fatalf("told %d, said %v", len(first.Changes), first.Problems)
			}
			weights := [2]string{strings.Replace(texts[0], "weight: 10", "weight: 20", 1), texts[0]}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				batch, _ := h.batch(h.take("f0.yaml", []byte(weights[i%2])), nil)
				if i++; len(batch.Changes) != 1 {
					b.Fatalf("told %d", len(batch.Changes))
				}
			}
		})
	}
}
