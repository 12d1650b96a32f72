package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	plane "github.com/weftmesh/weft/control"
)

func TestRollout(t *testing.T) {
	p := weftdWith(t, nil, plane.Options{Rollout: plane.ByCohorts})
	one, two := askClusters(t, p, "one.a"), askClusters(t, p, "two.a")
	one.answer("no \x1b[31mroom")
	two.answer("")
	says(t, "2 proxies, 2 synced, 0 refused", "status")
	if err := os.WriteFile(filepath.Join(p.ConfigDir, "shop.yaml"), []byte(goodEntry), 0o644); err != nil {
		t.Fatal(err)
	}
	out := says(t, "HELD BACK AT BECAUSE\nServiceEntry a/shop ", "status")
	if !strings.Contains(out, "one.a refuses clusters of outbound|80||shop.test: no [31mroom\n") {
		t.Errorf("why is not said:\n%q", out)
	}
	for _, c := range []struct {
		line     []string
		code     int
		out, err string // parts of what is written
	}{
		{[]string{"rollout"}, exitUsage, "", "Commands:"},
		{[]string{"rollout", "--help"}, exitDone, "Commands:", ""},
		{[]string{"rollout", "pause"}, exitUsage, "", `there is no command "pause": want abort or resume`},
		{[]string{"rollout", "resume"}, exitUsage, "", "of which object?"},
		{[]string{"rollout", "resume", "se"}, exitUsage, "", "which se?"},
		{[]string{"rollout", "resume", "se/shop"}, exitFailed, "", "ServiceEntry default/shop is not held back: weftctl status lists what is"},
		{[]string{"rollout", "abort", "se/shop", "-n", "a"}, exitFailed, "", "ServiceEntry a/shop is not under way"},
		{[]string{"rollout", "resume", "se/shop", "-n", "a"}, exitDone, "resumed\n", ""},
		{[]string{"__complete", "rollout", ""}, exitDone, "abort\nresume\n", ""},
		{[]string{"__complete", "rollout", "abort", "--re"}, exitDone, "--reason\n", ""},
	} {
		code, out, wrong := control(c.line...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(wrong, c.err) || (c.out == "") != (out == "") || (c.err == "") != (wrong == "") {
			t.Errorf("weftctl %q: exit code %d, output %q, errors %q: want %d, %q, %q", c.line, code, out, wrong, c.code, c.out, c.err)
		}
	}
	says(t, "HELD BACK AT BECAUSE\nServiceEntry a/shop ", "status") // again
}
