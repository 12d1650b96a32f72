package source

import (
	"os"
	"strings"
	"testing"
)

// TestThePageIsRight reads the objects of the guide, which have nothing wrong with them.
func TestThePageIsRight(t *testing.T) {
	text, err := os.ReadFile("../../docs/dubbo.md")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if !strings.HasPrefix(block, "apiVersion: ") {
			continue
		}
		c := Read([]byte(block), Origin{})
		if len(c.Objects) != 1 || len(c.Problems) > 0 {
			t.Errorf("%s\nhas %d objects, and %q is said of it", block, len(c.Objects), said(c.Problems))
			continue
		}
		if more, is := c.Objects[0].More.(*VirtualServiceMore); is {
			for i := range more.HTTP {
				calls += len(more.Calls(i).Methods)
			}
		}
	}
	if calls != 2 {
		t.Errorf("requests call %d methods", calls)
	}
}
