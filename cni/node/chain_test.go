package node

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/telemetry"
)

const ours = `{"type":"weft-cni","kubeconfig":"/etc/cni/net.d/weft-cni-kubeconfig","excludeNamespaces":["kube-system","mesh"]}`

// agent is one whose networks are these files.
func agent(t *testing.T, network string, files map[string]string) *Agent {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	a, err := New(Options{Networks: dir, Programs: t.TempDir(), HostPath: "/etc/cni/net.d", Network: network, Namespace: "mesh", ExcludeNamespaces: []string{"kube-system", "mesh"}, Repair: RepairOff,
		TokenLife: time.Hour, Stats: telemetry.NewStore(0), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// files is what is there, without blanks.
func files(t *testing.T, a *Agent) map[string]string {
	t.Helper()
	all, err := os.ReadDir(a.o.Networks)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, one := range all {
		text, err := os.ReadFile(filepath.Join(a.o.Networks, one.Name()))
		if err != nil {
			t.Fatal(err)
		}
		list[one.Name()] = strings.Join(strings.Fields(string(text)), "")
	}
	return list
}

// Which file the plugin is chained into, how, and what there is after it is taken out again.
func TestChain(t *testing.T) {
	const one, with = `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"a","n":1.0}]}`, `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"a","n":1.0},` + ours + `]}`
	for name, c := range map[string]struct {
		network     string
		before      map[string]string
		after, gone map[string]string // nil: as before
		wrong       string
	}{
		"a list":          {"", map[string]string{"10-a.conflist": one, "20-b.conflist": one}, map[string]string{"10-a.conflist": with, "20-b.conflist": one}, nil, ""},
		"one that is old": {"", map[string]string{"10-a.conflist": strings.Replace(with, "kube-system", "old", 1)}, map[string]string{"10-a.conflist": with}, map[string]string{"10-a.conflist": one}, ""},
		"one that is there": {"", map[string]string{"10-a.conflist": `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"a","n":1.0},` + ours + `,{"type":"z"}]}`}, nil,
			map[string]string{"10-a.conflist": `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"a","n":1.0},{"type":"z"}]}`}, ""},
		"one that was named": {"20-b.conflist", map[string]string{"10-a.conflist": one, "20-b.conflist": one}, map[string]string{"10-a.conflist": one, "20-b.conflist": with}, nil, ""},
		"a single plugin": {"", map[string]string{"10-a.conf": `{"cniVersion":"1.0.0","name":"a","type":"a","n":1.0}`},
			map[string]string{"10-a.conf.weft-kept": `{"cniVersion":"1.0.0","name":"a","type":"a","n":1.0}`, "10-a.conflist": strings.Replace(with, `{"type":"a","n":1.0}`, `{"n":1.0,"type":"a"}`, 1)}, nil, ""},
		"a single one, named":     {"10-a.conf", map[string]string{"10-a.conf.weft-kept": `{"type":"old"}`, "10-a.conflist": one}, map[string]string{"10-a.conf.weft-kept": `{"type":"old"}`, "10-a.conflist": with}, map[string]string{"10-a.conflist": one}, ""},
		"nothing yet":             {"", map[string]string{"x.txt": one}, nil, nil, "no plugin has configured"},
		"what was named is not":   {"b.conflist", map[string]string{"10-a.conflist": one}, nil, nil, "b.conflist is not there yet"},
		"half written":            {"", map[string]string{"10-a.conflist": one[:30]}, nil, nil, "is no configuration"},
		"nothing but ours":        {"", map[string]string{"10-a.conflist": `{"cniVersion":"1.0.0","plugins":[` + ours + `]}`}, nil, map[string]string{"10-a.conflist": `{"cniVersion":"1.0.0","plugins":[]}`}, "names no plugin that gives"},
		"a version of long ago":   {"", map[string]string{"10-a.conflist": strings.Replace(one, "1.0.0", "0.2.0", 1)}, nil, nil, `its cniVersion is "0.2.0"`},
		"no version":              {"", map[string]string{"10-a.conf": `{"name":"a","type":"a"}`}, nil, nil, `its cniVersion is ""`},
		"a version of the future": {"", map[string]string{"10-a.conflist": strings.Replace(one, "1.0.0", "2.0.0", 1)}, nil, nil, `want one of 0.3.0`},
	} {
		a := agent(t, c.network, c.before)
		for range 2 {
			err := a.chain()
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("%s: %v", name, err)
			}
			if c.after == nil {
				c.after = c.before
			}
			if got := files(t, a); !equal(got, c.after) {
				t.Errorf("%s: there is\n%q, want\n%q", name, got, c.after)
			}
		}
		if err := a.unchain(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.gone == nil {
			c.gone = c.before
		}
		if got := files(t, a); !equal(got, c.gone) {
			t.Errorf("%s: afterwards there is\n%q, want\n%q", name, got, c.gone)
		}
	}
}

func equal(a, b map[string]string) bool {
	for key, value := range b {
		if a[key] != value {
			return false
		}
	}
	return len(a) == len(b)
}

// A file keeps its mode, and what changes it while it is read is not lost.
func TestChainKeeps(t *testing.T) {
	a := agent(t, "", map[string]string{"a.conflist": `{"cniVersion":"1.0.0","plugins":[{"type":"a"}]}`})
	if err := a.chain(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(a.o.Networks, "a.conflist")
	if is, err := os.Stat(path); err != nil || is.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", is.Mode(), err)
	}
	if err := unchanged(path, []byte("what was read")); err == nil || !strings.Contains(err.Error(), "somebody changes it") {
		t.Errorf("%v", err)
	}
}

// Options that make no sense are refused, all at once.
func TestNewRefuses(t *testing.T) {
	_, err := New(Options{Repair: "delete", TokenLife: time.Minute})
	for _, want := range []string{"--namespace", "--node", `--repair is "delete"`, "--token-life"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
}
