package dubbo

import (
	"bufio"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// bodies are those that testdata/Bodies.java has written, by name.
func bodies(t testing.TB) map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/bodies.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]byte{}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		name, digits, _ := strings.Cut(s.Text(), " ")
		if all[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(name, err)
		}
	}
	if s.Err() != nil || len(all) < 60 {
		t.Fatal(len(all), s.Err())
	}
	return all
}

// What fastjson2 itself has written is read as it was meant.
func TestFastjson2(t *testing.T) {
	texts := map[string]string{"0": "", "47": strings.Repeat("a", 47), "48": strings.Repeat("a", 48), "3000": strings.Repeat("a", 3000), "latin": "naïve", "han": "织网", "face": "a😀b"}
	var c Call
	for name, body := range bodies(t) {
		if err := c.Read(Fastjson2, body); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(c.Framework) != "2.0.2" || string(c.Path) != "org.example.Greeter" || string(c.Version) != "1.0.0" || string(c.Method) != "greet" {
			t.Errorf("%s: %q %q %q %q", name, c.Framework, c.Path, c.Version, c.Method)
		}
		v, err := c.Argument(0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		kind, said, _ := strings.Cut(name, ":")
		want := Value{}
		switch kind {
		case "plain", "invoke":
			want = Value{Kind: Text, Text: []byte("weft")}
			if kind == "invoke" {
				want.Text = []byte("greet")
			}
		case "int", "long", "short", "byte":
			n, _ := strconv.ParseInt(said, 10, 64)
			want = Value{Kind: Int, Int: n}
		case "double", "float":
			f, _ := strconv.ParseFloat(said, 64)
			if kind == "float" {
				f32, _ := strconv.ParseFloat(said, 32)
				f = float64(float32(f32))
			}
			want = Value{Kind: Double, Double: f}
		case "bools":
			want = Value{Kind: Bool, Bool: true}
			if v, err := c.Argument(1); err != nil || v.Kind != Bool || v.Bool {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
		case "text":
			want = Value{Kind: Text, Text: []byte(texts[said])}
		case "odd":
			want = Value{Kind: Other}
		}
		if !same(v, want) {
			t.Errorf("%s: %+v: want %+v", name, v, want)
		}
		all, err := c.Attachments()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.jsonb.at != len(body) {
			t.Errorf("%s: %d of %d bytes are read", name, c.jsonb.at, len(body))
		}
		switch kind {
		case "nothing", "null":
			if len(all) > 0 {
				t.Errorf("%s: %v", name, all)
			}
		case "odd":
			for name, want := range map[string]Value{"before": {Kind: Text, Text: []byte("b")}, "after": {Kind: Text, Text: []byte("a")}, "order": {Kind: Other}, "list": {Kind: Other}, "again": {Kind: Other}, "tree": {Kind: Other}} {
				if v, is, _ := c.Attachment(name); !is || !same(v, want) {
					t.Errorf("odd: %s is %+v, %v", name, v, is)
				}
			}
			if len(all) != 23 {
				t.Errorf("odd: %d attachments: want 23", len(all))
			}
		default:
			for name, want := range map[string]Value{"group": {Kind: Text, Text: []byte("blue")}, "timeout": {Kind: Int, Int: 3000}, "dry": {Kind: Bool, Bool: true}} {
				if v, is, _ := c.Attachment(name); !is || !same(v, want) {
					t.Errorf("%s is %+v, %v", name, v, is)
				}
			}
		}
	}
}

func same(a, b Value) bool {
	return a.Kind == b.Kind && a.Bool == b.Bool && a.Int == b.Int && a.Double == b.Double && string(a.Text) == string(b.Text)
}
