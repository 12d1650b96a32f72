package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		line     string
		code     int
		out, err string // parts of what is written
	}{
		{"", exitUsage, "", "Commands:"},
		{"--help", exitDone, "weftctl demo --once", ""},
		{"help", exitDone, "Commands:", ""},
		{"version", exitDone, "weftctl dev", ""},
		{"version --help", exitDone, "Example:", ""},
		{"version 2", exitUsage, "", `unexpected argument "2"`},
		{"dmeo", exitUsage, "", `no command "dmeo": did you mean "demo"?`},
		{"versoin", exitUsage, "", `did you mean "version"?`},
		{strings.Repeat("x", 1000), exitUsage, "", "did you mean"},
		{"proxy", exitUsage, "", "Commands:"},
		{"proxy --help", exitDone, "Commands:", ""},
		{"proxy rotues", exitUsage, "", `no command "rotues": did you mean "routes"?`},
		{"proxy routes --help", exitDone, "Examples:\n  weftctl proxy routes", ""},
		{"proxy routes a b", exitUsage, "", `unexpected argument "b": it takes one at most`},
		{"proxy config -o table", exitUsage, "", `-o is "table": want json, yaml`},
		{"proxy stats --amdin x", exitUsage, "", "-amdin (weftctl proxy stats --help lists the flags)"},
		{"assess --help", exitDone, "Examples:\n  weftctl assess ", ""},
		{"demo --help", exitDone, "Examples:\n  weftctl demo ", ""},
		{"demo", exitFailed, "", `run "make build"`}, // there is no weft beside a test
	} {
		var out, err bytes.Buffer
		code := run(strings.Fields(c.line), streams{out: &out, err: &err})
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(err.String(), c.err) {
			t.Errorf("weftctl %.60s: exit code %d, output %q, errors %q: want %d, %q, %q", c.line, code, &out, &err, c.code, c.out, c.err)
		}
		if c.out == "" && out.Len() > 0 || c.err == "" && err.Len() > 0 {
			t.Errorf("weftctl %.60s: output %q, errors %q: one of them should be empty", c.line, &out, &err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "demo", 4}, {"demo", "", 4}, {"demo", "demo", 0}, {"dmo", "demo", 1}, {"demos", "demo", 1}, {"damo", "demo", 1},
		{"dmeo", "demo", 2}, {"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d: want %d", c.a, c.b, got, c.want)
		}
	}
}
