package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named finds what a guide names as code that looks like a field of a configuration or a statistic: words joined by underscores.
var named = regexp.MustCompile("[a-z0-9]+(_[a-z0-9]+)+")

// foreignNames are of Envoy's, and said to be missing here.
var foreignNames = map[string]bool{"streams_active": true, "pending_send_bytes": true, "outbound_frames_active": true}

// Every field and statistic that a guide for users names exists: as a field that is run or excused, or as a name in the code.
func TestGuidesNameWhatThereIs(t *testing.T) {
	fields, err := os.ReadFile(filepath.Join("..", "..", "docs", "support.md"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	_, folders := goFiles(t)
	for room, files := range folders {
		for name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join("..", "..", room, name))
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
	}
	for _, guide := range []string{"http2.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", guide))
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "`") {
			if i%2 == 0 {
				continue // not between marks of code
			}
			for _, name := range named.FindAllString(part, -1) {
				known := foreignNames[name] || strings.Contains(string(fields), "`"+name+"`")
				for _, before := range []string{`"`, ".", "/"} {
					known = known || strings.Contains(code.String(), before+name+`"`)
				}
				if !known {
					t.Errorf("docs/%s: there is no %s", guide, name)
				}
			}
		}
	}
}
