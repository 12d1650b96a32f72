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

// TestCallsAreBounded has no path, type or list of names cost more than its length.
func TestCallsAreBounded(t *testing.T) {
	for what, said := range map[string]string{
		"httpPath has 1025 bytes": "httpPath: /" + strings.Repeat("x", 1024),
		"paramType no Java type is named with more than 1024 characters": "params: [{paramSource: BODY, paramType: a." + strings.Repeat("x", 1023) + "}]",
		"headersAttach has 257 names":                                    "headersAttach: '" + strings.Repeat("x,", 257) + "'",
		"params has 256, and a method has 255 ":                          "params: [" + strings.Repeat("{paramSource: BODY, paramType: int},", 256) + "]",
	} {
		c := Read([]byte("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [a], http: [{route: [{destination: {host: a}}], dubbo: {service: a.B, methods: [{serviceMethod: m, "+said+"}]}}]}"), Origin{})
		if len(c.Problems) != 1 || !strings.Contains(c.Problems[0].Path+" "+c.Problems[0].Text, what) {
			t.Errorf("%+v, want %q", c.Problems, what)
		}
	}
}
