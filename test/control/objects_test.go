package control

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/etcd"
)

// weftctl has a weftd do something, and says what it answers.
func (p *plane) weftctl(stdin string, args ...string) (string, error) {
	p.t.Helper()
	c := exec.Command(program(p.t, "weftctl"), args...)
	c.Env = append(os.Environ(), fmt.Sprintf("WEFTD_ADMIN_ADDR=127.0.0.1:%d", p.admin), "WEFT_SERVER=")
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// mustctl is weftctl that does it.
func (p *plane) mustctl(stdin string, args ...string) string {
	p.t.Helper()
	out, err := p.weftctl(stdin, args...)
	if err != nil {
		p.t.Fatalf("weftctl %q: %v\n%s", args, err, out)
	}
	return out
}

// A share of traffic moves as it is applied, under load, in steps that a controller writes, and nothing is lost; then a person goes back to what he
// had, which the steps have not pushed out. What was applied is there when weftd is started again.
func TestACanaryMovesByApply(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			dir := t.TempDir()
			audit := filepath.Join(dir, "audit")
			p := newPlane(t, nil, "--store", filepath.Join(dir, "store"), "--audit-log", audit)
			p.mustctl(s.entry("")+"---"+canary(90), "apply", "-f", "-", "--as", "ann")
			p.proxy(name)
			s.opens()
			p.synced(1)
			if got := s.share(); got < 85 || got > 95 {
				t.Errorf("the first version has %d %% of the traffic: want 90", got)
			}
			end := s.load()
			for first := 80; first >= 0; first -= 10 {
				p.mustctl(canary(first), "apply", "-f", "-", "--as", "canary")
			}
			s.leaves()
			eventually(t, "it is said to be in force", func() bool {
				return strings.Contains(p.mustctl("", "get", "vs", "shop", "-n", "a"), "yes") && p.status().Proxies[0].Synced
			})
			// A step that is wrong changes nothing.
			if out, err := p.weftctl(strings.Replace(canary(50), "weight: 50", "wieght: 50", 1), "apply", "-f", "-"); err == nil || !strings.Contains(out, "standard input:10: VirtualService a/shop: spec.http[0].route[0].wieght: is no field of HTTPRouteDestination: weight?") {
				t.Errorf("%v: %s", err, out)
			}
			if got := s.share(); got != 0 {
				t.Errorf("the first version has %d %% of the traffic: want none", got)
			}
			if out := p.mustctl("", "history", "vs/shop", "-n", "a"); strings.Count(out, "canary") != 5 || strings.Count(out, "ann") != 1 {
				t.Errorf("history is\n%s", out)
			}
			p.mustctl("", "rollback", "vs/shop", "-n", "a", "--to", "1", "--as", "ann")
			eventually(t, "it is as it was", func() bool {
				who, err := s.ask(t.Context())
				return err == nil && who == "v1" && p.status().Proxies[0].Synced
			})
			if got := s.share(); got < 85 || got > 95 {
				t.Errorf("the first version has %d %% of the traffic: want 90", got)
			}
			if n := end(); n < 100 {
				t.Errorf("only %d requests were made meanwhile", n)
			}
			p.kill()
			p.start()
			p.synced(1)
			if got := s.share(); got < 85 || got > 95 {
				t.Errorf("the first version has %d %% of the traffic after a start: want 90", got)
			}
			if out := p.mustctl("", "history", "vs/shop", "-n", "a"); strings.Count(out, "\n") != 8 || !strings.Contains(out, "11        ann") {
				t.Errorf("after a start history is\n%s", out)
			}
			text, err := os.ReadFile(audit)
			if err != nil || strings.Count(string(text), `"object":"VirtualService a/shop"`) != 11 {
				t.Errorf("the audit log is %v\n%s", err, text)
			}
		})
	}
}

// Who edits files has a history too, which survives a start, and a change while nobody looked is a version. A rollback says what to write where.
func TestFilesHaveAHistory(t *testing.T) {
	s := newShop(t)
	dir := t.TempDir()
	audit := filepath.Join(dir, "audit")
	p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(90)}, "--store", filepath.Join(dir, "store"), "--audit-log", audit)
	history := func(want ...string) {
		t.Helper()
		var got []string
		eventually(t, fmt.Sprintf("history is %q", want), func() bool {
			got = got[:0]
			for line := range strings.Lines(p.mustctl("", "history", "vs/shop", "-n", "a")) {
				if f := strings.Fields(line); f[0] != "VERSION" {
					got = append(got, f[0]+" "+f[1])
				}
			}
			return fmt.Sprint(got) == fmt.Sprint(want)
		})
	}
	history("1 file")
	p.write("canary.yaml", strings.Replace(canary(80), "name: shop", "name: shop, annotations: {weftmesh.io/author: ann}", 1))
	history("1 file", "2 ann")
	p.write("canary.yaml", canary(70))
	history("1 file", "2 ann", "3 file")
	p.kill()
	p.write("canary.yaml", canary(60))
	p.start()
	history("1 file", "2 ann", "3 file", "4 file")
	out, err := p.weftctl("", "rollback", "vs/shop", "-n", "a", "--to", "2")
	if err == nil || !strings.Contains(out, "weight: 80\n") || !strings.Contains(out, "VirtualService a/shop is of files (canary.yaml): change the file, to the manifest of version 2") {
		t.Errorf("%v: %s", err, out)
	}
	if err := os.Remove(filepath.Join(p.dir, "canary.yaml")); err != nil {
		t.Fatal(err)
	}
	history("1 file", "2 ann", "3 file", "4 file", "5 file")
	out, err = p.weftctl(canary(50), "apply", "-f", "-", "--as", "ann") // now it is nobody's
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	history("1 file", "2 ann", "3 file", "4 file", "5 file", "6 ann")
	if n := p.number("history_versions_total"); n != 2 { // what had changed meanwhile, and that it was gone
		t.Errorf("%d versions were written: want 2", n)
	}
	// Each change while weftd was there is in the audit log, with who, what and where.
	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var e struct {
			What, Object, Change, Author, Source, From string
			Version                                    int
			Time                                       time.Time
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() || e.What != "object" {
			t.Errorf("%v: %s", err, line)
		}
		from := e.From
		if strings.HasPrefix(from, "127.0.0.1:") {
			from = "127.0.0.1"
		}
		got = append(got, fmt.Sprintf("%s %s %d by %s of %s from %s", e.Object, e.Change, e.Version, e.Author, e.Source, from))
	}
	want := []string{
		"VirtualService a/shop changed 2 by ann of files from canary.yaml", "VirtualService a/shop changed 3 by file of files from canary.yaml",
		"VirtualService a/shop changed 4 by file of files from canary.yaml", // while weftd was not there
		"VirtualService a/shop deleted 5 by file of files from canary.yaml", "VirtualService a/shop created 6 by ann of store from 127.0.0.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the audit log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What an API server has keeps a history by who wrote it there, and is changed there.
func TestClustersHaveAHistory(t *testing.T) {
	s := newShop(t)
	p := newPlaneOf(t, "an API server", map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(90)}, "--store", filepath.Join(t.TempDir(), "store"))
	kept := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("history is %q", want), func() bool {
			var got []string
			for line := range strings.Lines(p.mustctl("", "history", "vs/shop", "-n", "a")) {
				if f := strings.Fields(line); f[0] != "VERSION" {
					got = append(got, f[0]+" "+f[1])
				}
			}
			return slices.Equal(got, want)
		})
	}
	kept("1 test")
	for i := range 7 {
		p.cluster.ApplyAs("canary", canary(80-i))
		want := []string{"1 test"}
		for n := max(0, i-4); n <= i; n++ {
			want = append(want, fmt.Sprintf("%d canary", n+2))
		}
		kept(want...)
	}
	out, err := p.weftctl("", "rollback", "vs/shop", "-n", "a", "--to", "1")
	if err == nil || !strings.Contains(out, "weight: 90\n") || !strings.Contains(out, "VirtualService a/shop is of cluster: change it there, by kubectl, to the manifest of version 1") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := p.weftctl(canary(1), "apply", "-f", "-"); err == nil || !strings.Contains(out, "VirtualService a/shop is in cluster, and that one counts: change it there, by kubectl") {
		t.Errorf("%v: %s", err, out)
	}
	// What is printed can be applied there.
	p.cluster.ApplyAs("ann", p.mustctl("", "history", "vs/shop", "-n", "a", "--version", "1"))
	kept("1 test", "4 canary", "5 canary", "6 canary", "7 canary", "8 canary", "9 ann")
}

// Two weftd on one store are one: what is applied to one reaches the proxies of the other, each keeps writing when the other dies, and both know all
// versions.
func TestTwoPlanesOnOneStore(t *testing.T) {
	server := etcd.Start(t)
	s := newShop(t)
	one := newPlane(t, nil, "--store", server.Store("weft"))
	two := newPlane(t, nil, "--store", server.Store("weft"))
	one.mustctl(s.entry("")+"---"+canary(100), "apply", "-f", "-", "--as", "ann")
	two.proxy("weft")
	s.opens()
	if got := s.share(); got != 100 {
		t.Errorf("the first version has %d %% of the traffic: want all", got)
	}
	end := s.load()
	// Both write the same object, at the same time.
	var both sync.WaitGroup
	for i, p := range []*plane{one, two} {
		both.Go(func() {
			for step := range 5 {
				if out, err := p.weftctl(canary(50+10*i+step), "apply", "-f", "-", "--as", fmt.Sprint("writer", i)); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			}
		})
	}
	both.Wait()
	if a, b := one.mustctl("", "history", "vs/shop", "-n", "a"), two.mustctl("", "history", "vs/shop", "-n", "a"); a != b || strings.Count(a, "\n") != 12 {
		t.Errorf("history is\n%s\nand\n%s", a, b)
	}
	one.kill()
	two.mustctl(canary(0), "apply", "-f", "-", "--as", "ann")
	s.leaves()
	// The store goes away: what is known goes on being served, who wants to change something is told, and then it is back.
	server.Stop()
	if out, err := two.weftctl(canary(100), "apply", "-f", "-"); err == nil || !strings.Contains(out, "etcd at "+server.Address) {
		t.Errorf("without a store: %v: %s", err, out)
	}
	if got := s.share(); got != 0 {
		t.Errorf("without a store the first version has %d %% of the traffic: want none", got)
	}
	server.Restart()
	eventually(t, "it is back", func() bool { _, err := two.weftctl(canary(100), "apply", "-f", "-"); return err == nil })
	eventually(t, "what is applied is in force", func() bool {
		who, err := s.ask(t.Context())
		return err == nil && who == "v1" && two.status().Proxies[0].Synced
	})
	if end() == 0 {
		t.Error("nothing was asked meanwhile")
	}
}
