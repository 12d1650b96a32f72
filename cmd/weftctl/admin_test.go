package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestStat(t *testing.T) {
	text := "http.demo.rds.hello.update_success: 3\nhttp.demo.rds.hello.update_success_x: 9\n" +
		"http.demo.rds.hello.version_text: \"4\"\ncluster.a.membership: 7\r\nlast: 1"
	for _, c := range []struct {
		name string
		want uint64
		ok   bool
	}{
		{"http.demo.rds.hello.update_success", 3, true},
		{"http.demo.rds.hello.update_success_x", 9, true},
		{"demo.rds.hello.update_success", 0, false}, // only the whole name counts
		{"http.demo.rds.hello.update", 0, false},
		{"http.demo.rds.hello.version_text", 0, false}, // not a number
		{"cluster.a.membership", 7, true},
		{"last", 1, true},
	} {
		if got, ok := stat(text, c.name); got != c.want || ok != c.ok {
			t.Errorf("stat %s is %d, %v: want %d, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestListenerLine(t *testing.T) {
	text := "other::127.0.0.1:1\nhello::127.0.0.1:40123\nv6::[::1]:443\nsocket::hello.sock\n"
	for _, c := range []struct {
		name, want string
		ok         bool
	}{
		{"hello", "127.0.0.1:40123", true}, {"v6", "[::1]:443", true}, {"hell", "", false}, {"ello", "", false}, {"socket", "hello.sock", false},
	} {
		if got, ok := listenerLine(text, c.name); got != c.want || ok != c.ok {
			t.Errorf("listener %s is at %q, %v: want %q, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func FuzzAdminText(f *testing.F) {
	f.Add("a: 1\n", "a")
	f.Add("a::127.0.0.1:80\n", "a")
	f.Add("a:", "a")
	f.Add("\r\n::\n", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		if n, ok := stat(text, name); ok && !strings.Contains(text, fmt.Sprint(n)) {
			t.Errorf("stat %q of %q is %d, which is not there", name, text, n)
		}
		if address, ok := listenerLine(text, name); ok && !strings.Contains(text, name+"::"+address) {
			t.Errorf("listener %q of %q is at %q, which is not there", name, text, address)
		}
	})
}

// running is a process that does not end by itself.
func running() *process { return &process{exited: make(chan struct{})} }

// fakeAdmin is ready at the second question, and its counters are what the test says.
type fakeAdmin struct {
	asked          atomic.Int64
	taken, refused atomic.Int64
}

func (f *fakeAdmin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ready":
		if f.asked.Add(1) < 2 {
			http.Error(w, "INITIALIZING", http.StatusServiceUnavailable)
		}
	case "/listeners":
		io.WriteString(w, "hello::127.0.0.1:40123\n")
	case "/stats":
		fmt.Fprintf(w, "%supdate_success: %d\n%supdate_rejected: %d\n", rdsStats, f.taken.Load(), rdsStats, f.refused.Load())
	}
}

func TestAdmin(t *testing.T) {
	fake := &fakeAdmin{}
	server := httptest.NewServer(fake)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "address")
	if err := os.WriteFile(file, []byte(strings.TrimPrefix(server.URL, "http://")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := await(t.Context(), running(), file, time.Minute)
	if err != nil || fake.asked.Load() != 2 {
		t.Fatalf("after %d questions: %v: want ready at the second", fake.asked.Load(), err)
	}
	defer a.close()
	if at, err := a.listener(t.Context(), "hello"); err != nil || at != "127.0.0.1:40123" {
		t.Errorf("listener at %q, %v", at, err)
	}
	if _, err := a.listener(t.Context(), "absent"); err == nil || !strings.Contains(err.Error(), `no listener "absent"`) {
		t.Errorf("a listener that is not there: %v", err)
	}

	fake.taken.Store(1)
	if err := a.takes(t.Context(), running(), updates{}, time.Minute); err != nil {
		t.Errorf("one file taken: %v", err)
	}
	if err := a.takes(t.Context(), running(), updates{taken: 1}, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "update_success did not grow) within 50ms") {
		t.Errorf("no file taken: %v", err)
	}
	fake.refused.Store(1)
	if err := a.takes(t.Context(), running(), updates{taken: 1}, time.Minute); !errors.Is(err, errRefused) {
		t.Errorf("a file refused: %v", err)
	}
	gone := running()
	close(gone.exited)
	if err := a.takes(t.Context(), gone, updates{taken: 1, refused: 1}, time.Minute); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("weft gone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.takes(ctx, running(), updates{taken: 1, refused: 1}, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
