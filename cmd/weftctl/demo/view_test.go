package demo

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

var shownFrame = frame{
	results: []outcome{{seen: "v2 has 0.00 % of 2,500, want 0 ± 0.00"}}, step: 1, state: "is in force, and looked at   next in 5 s",
	second: second{v1: 451, v2: 49, p50: 310 * time.Microsecond, p99: 1820 * time.Microsecond},
	where:  "in network namespaces of its own", sent: 1234567, hints: []string{"look  weftctl status", "", "Ctrl-C ends everything"},
}

func TestLive(t *testing.T) {
	lossy := shownFrame
	lossy.lost, lossy.second.lost = 4321, 3
	lossy.results = []outcome{{seen: "x", err: errors.New("it is not so")}}
	start := shownFrame
	start.results, start.step, start.second, start.sent = nil, 0, second{}, 0
	text := func(f frame, columns int, p paint) string { return strings.Join(live(f, columns, p), "\n") + "\n" }
	golden(t, "live.txt", text(shownFrame, 80, false))
	golden(t, "live_colour.txt", text(lossy, 120, true))
	golden(t, "live_start.txt", text(start, 10, false))
	if strings.Contains(text(lossy, 80, false), "\x1b") {
		t.Error("there is colour although none is wanted")
	}
}

func TestBarIsAsWideAsItShouldBe(t *testing.T) {
	const width, total = 10, 333
	for part := range total + 1 {
		if got := len([]rune(bar(part, total, width, blue, false))); got != width+len("  100.0 %") {
			t.Fatalf("bar of %d of %d is %d columns wide", part, total, got)
		}
	}
}

func TestPlain(t *testing.T) {
	lossy, done := shownFrame, shownFrame
	lossy.lost, lossy.second = 2, second{lost: 2}
	done.step = len(steps)
	golden(t, "plain.txt", plain(shownFrame)+plain(lossy)+plain(done))
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", tableHead+outcome{seen: "v2 has none"}.row(0)+outcome{took: 12340 * time.Microsecond, seen: "v2 has 9.8 %"}.row(1)+
		outcome{took: 2 * time.Second, lost: 7, seen: "; lost by: EOF"}.row(2)+outcome{seen: "POST 200", err: errors.New("want 403")}.row(6))
}

func TestThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1002003: "1,002,003", 45678: "45,678"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q: want %q", n, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	past := []moment{{versions: [2]int{80, 20}, slowest: 3 * time.Millisecond}, {versions: [2]int{50, 40}, lost: 10, slowest: 90 * time.Millisecond}}
	s := &stage{mesh: &traffic{past: past, sent: 200, lost: 10, firstLost: "<eof>"}, door: &traffic{}}
	path := t.TempDir() + "/r.html"
	if err := report(path, s, []outcome{{seen: "v2 has <none>"}, {took: time.Second, seen: "x", err: errors.New("no")}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 requests", "10 lost", "v2 has &lt;none&gt;", `class="failed">failed`, "1000.00 ms", `class="lost"`, `height="110.00" class="v1"`, "<polyline", "90.00 ms", "what step 2 applied", "weight: 90"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%.3000s", want, b)
		}
	}
}
