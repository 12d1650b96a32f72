package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/bench/scenarios"
)

// The benchmark starts itself for load and upstream; in a test, that is the test binary.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-role" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestFlags(t *testing.T) {
	all := len(scenarios.All())
	for _, c := range []struct {
		args    string
		bad     bool
		list    int
		rivals  int
		rounds  int
		measure time.Duration
		out     string
	}{
		{args: "", list: all, rivals: 5, rounds: 5, measure: 3 * time.Second, out: "bench/results"},
		{args: "-quick", list: all, rivals: 5, rounds: 1, measure: 500 * time.Millisecond},
		{args: "-quick -rounds 2 -out x", list: all, rivals: 5, rounds: 2, measure: 500 * time.Millisecond, out: "x"},
		{args: "-scenarios ^quota", list: 2, rivals: 5, rounds: 5, measure: 3 * time.Second},
		{args: "-rivals envoy,nginx -seconds 0.5", list: all, rivals: 2, rounds: 5, measure: 500 * time.Millisecond},
		{args: "-rounds 0", bad: true},
		{args: "-rounds 101", bad: true},
		{args: "-seconds 0", bad: true},
		{args: "-seconds NaN", bad: true},
		{args: "-scenarios nothing", bad: true},
		{args: "-scenarios (", bad: true},
		{args: "-rivals apache", bad: true},
		{args: "-nonsense", bad: true},
		{args: "word", bad: true},
	} {
		w, err := parse(strings.Fields(c.args), io.Discard)
		if c.bad {
			if err == nil {
				t.Errorf("%q: no error", c.args)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if len(w.list) != c.list || len(w.rivals) != c.rivals || w.rounds != c.rounds || w.measure != c.measure || w.out != c.out {
			t.Errorf("%q: %d scenarios, %d contestants, %d rounds of %v, files in %q", c.args, len(w.list), len(w.rivals), w.rounds, w.measure, w.out)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	var said strings.Builder
	if _, err := parse([]string{"--help"}, &said); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range append(scenarios.Names(scenarios.All()), "go run ./bench -quick", "-rounds") {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no %q in the help", want)
		}
	}
}

func TestMissingWeftIsSaid(t *testing.T) {
	w, err := parse([]string{"-weft", filepath.Join("no", "weft")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = measure(t.Context(), w, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "go build -o bin/weft ./cmd/weft") || !strings.Contains(err.Error(), "-rivals") {
		t.Errorf("error %v, want one that says how to build weft or do without", err)
	}
}

// The whole way, briefly: children started and pinned, traffic, clocks, table and files.
func TestShortRun(t *testing.T) {
	dir := t.TempDir()
	w, err := parse([]string{"-quick", "-seconds", "1", "-rounds", "2", "-rivals", "nginx,haproxy", "-scenarios", "http1-1k-c64|tcp-1k|memory-start", "-out", dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := measure(t.Context(), w, &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		" 1/3  http1-1k-c64         round 1 of 2  nginx\n 1/3  http1-1k-c64         round 1 of 2  haproxy\n 1/3  http1-1k-c64         round 2 of 2  nginx\n",
		" 2/3  tcp-1k-c64           round 2 of 2  haproxy", "0.70 × nginx", "written to",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	for _, not := range []string{"invalid", "not measured", "round 1 of 2  weft"} {
		if strings.Contains(text, not) {
			t.Errorf("%q in:\n%s", not, text)
		}
	}
	for _, ext := range []string{"md", "html", "json"} {
		if found, _ := filepath.Glob(filepath.Join(dir, "*."+ext)); len(found) != 1 {
			t.Errorf("files with %s: %q", ext, found)
		}
	}
}

func TestInterruptedRunEndsItsChildren(t *testing.T) {
	w, err := parse([]string{"-rivals", "haproxy", "-scenarios", "http1-1k-c64", "-rounds", "1", "-seconds", "60"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	out := writer(func(p []byte) { interrupt() }) // at the first line of progress
	began := time.Now()
	if err := measure(ctx, w, out); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was interrupted", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v to end", took)
	}
	if left := childrenLeft(t); left != "" {
		t.Errorf("left running: %s", left)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func childrenLeft(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	left := ""
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
			left += strings.SplitN(string(text), "\n", 2)[0] + " "
		}
	}
	return left
}
