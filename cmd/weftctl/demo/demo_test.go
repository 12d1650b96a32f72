package demo

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestAskedForWrongly(t *testing.T) {
	empty := t.TempDir()
	for line, want := range map[string]string{
		"--onec": "-onec (weftctl demo --help lists the flags)", "now": `unexpected argument "now"`, "--step 1ms": "--step is 1ms: want 1s to 1h", "--rate 7": "--rate is 7: want 8 to 4000",
		"--ground moon": `--ground is "moon": want auto, namespaces or loopback`, "--rate 4001": "want 8 to 4000", "--requests 99": "want 100 to 1000000", "--programs " + empty: `there is no weft in ` + empty + `: run "make build"`, "--programs " + filepath.Join(empty, "absent"): "there is no weft in",
	} {
		var out, wrong bytes.Buffer
		if code := Run(strings.Fields(line), nil, &out, &wrong); code == 0 || !strings.Contains(wrong.String(), want) {
			t.Errorf("%s: %d, %q: want %q", line, code, wrong.String(), want)
		}
	}
	var out, wrong bytes.Buffer
	if code := Run([]string{"--help"}, nil, &out, &wrong); code != 0 || !strings.Contains(out.String(), "Examples:\n  weftctl demo ") || !strings.Contains(out.String(), "-report file") {
		t.Errorf("%d %s", code, out.String())
	}
}
