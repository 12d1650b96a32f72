package rules

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryTestIsRun wants each room that has tests in a stage of `make test`: a stage names its rooms, and a new one is easily forgotten.
func TestEveryTestIsRun(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(makefile), "\ntest: ")
	body, _, _ = strings.Cut(body, "\n\n")
	var stages []string
	for _, line := range regexp.MustCompile(`\$\(GO\) test( \./[\w/.]+)+`).FindAllString(body, -1) {
		stages = append(stages, strings.Fields(line)[2:]...)
	}
	if len(stages) < 10 {
		t.Fatalf("the Makefile's stages are not understood: %q", stages)
	}
	runs := func(room string) bool {
		for _, stage := range stages {
			below, all := strings.CutSuffix(path.Clean(stage), "/...")
			if room == below || all && strings.HasPrefix(room, below+"/") {
				return true
			}
		}
		return false
	}
	_, folders := goFiles(t)
	for room, files := range folders {
		for name := range files {
			if strings.HasSuffix(name, "_test.go") && !runs(filepath.ToSlash(room)) {
				t.Errorf("%s is run by no stage of make test", room)
				break
			}
		}
	}
}
