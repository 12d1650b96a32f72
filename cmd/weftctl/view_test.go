package main

import (
	"strings"
	"testing"
	"time"
)

var shownFrame = frame{
	step: 2, steps: 4, weights: weights{90, 10}, state: "in force   next in 5 s",
	second: second{v1: 451, v2: 49, p50: 310 * time.Microsecond, p99: 1820 * time.Microsecond},
	sent:   1234567, listener: "127.0.0.1:40001", admin: "127.0.0.1:40002", routes: "demo/routes.yaml", hint: "Ctrl-C ends everything",
}

func TestLive(t *testing.T) {
	lossy := shownFrame
	lossy.lost, lossy.second.lost = 4321, 3
	start := shownFrame
	start.second, start.sent = second{}, 0
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
	lossy := shownFrame
	lossy.lost, lossy.second = 2, second{lost: 2}
	golden(t, "plain.txt", plain(shownFrame)+plain(lossy))
}

func TestThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1002003: "1,002,003", 45678: "45,678"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q: want %q", n, got, want)
		}
	}
}
