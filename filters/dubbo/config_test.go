package dubbo

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
)

// What is refused of a configuration, where and why.
func TestConfigurationProblems(t *testing.T) {
	method := func(rest string) string {
		return "services: [{interface: a.B, methods: [{name: m, " + rest + "}]}]"
	}
	parameter := func(rest string) string {
		return method(`path: "/a/{s}", parameters: [{` + rest + "}]")
	}
	const in = "services[0].methods[0]"
	for _, c := range []struct{ text, want string }{
		{"services: []", ""},
		{"services: [{methods: [{name: m}]}]", "services[0].interface: a name is missing"},
		{"services: [{interface: a.B}]", "services[0].methods: is empty"},
		{"services: [{interface: a.B, methods: [{path: /a}]}]", in + ".name: a name is missing"},
		{method(""), ""},
		{method("path: a"), in + `.path: "a": want a path that begins with /`},
		{method("path: '/a/{b'"), in + `.path: "{b": want a text`},
		{method("path: '/a/b}'"), in + `.path: "b}": want a text`},
		{method("path: '/a/{}'"), in + `.path: "{}": want a text`},
		{method("path: '/a/x{b}'"), in + `.path: "x{b}": want a text`},
		{method("path: '/a?b'"), in + `.path: "a?b": want a text`},
		{method("path: '/{b}/{b}'"), in + `.path: the name "b" is there twice`},
		{method("http_methods: [get, DELETE]"), ""},
		{method("http_methods: [HEAD]"), in + `.http_methods[0]: "HEAD": want GET, POST, PUT, DELETE, PATCH`},
		{method("attach: ['']"), in + `.attach[0]: "": want the name of a header, or *`},
		{method("attach: [':path']"), in + `.attach[0]: ":path": want the name of a header, or *`},
		{parameter("query: x"), in + ".parameters[0].type: "},
		{parameter("type: string, query: x"), in + ".parameters[0].type: "},
		{parameter("type: int"), in + ".parameters[0]: where its value stands is missing"},
		{parameter("type: int, query: ''"), in + ".parameters[0].query: a name is missing"},
		{parameter("type: int, header: ':path'"), in + ".parameters[0].header: a name is missing"},
		{parameter("type: int, segment: s"), ""},
		{parameter("type: int, segment: r"), in + `.parameters[0].segment: "r" stands between no braces of the path`},
		{parameter("type: int, field: ''"), in + ".parameters[0].field: a name is missing"},
		{parameter("type: int, body: false"), in + ".parameters[0].body: want true"},
		{method("parameters: [" + strings.Repeat("{type: int, query: x}, ", 256) + "]"), in + ".parameters: there are 256: a method has 255 at most"},
	} {
		text, err := yaml.YAMLToJSON([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		var m dubbov1.HTTP
		if err := protojson.Unmarshal(text, &m); err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		b, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if _, err := read(b, false); err != nil {
			got = err.Error()
		}
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%.200s: %s\nwant %s", c.text, got, c.want)
		}
	}
}

// Which method a path is for: the first that has it, whatever the verb, and else which verbs there are.
func TestPaths(t *testing.T) {
	list := func(text string) []segment {
		out, err := readPath(text, "path")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	s := &settings{methods: []method{
		{path: list("/"), verbs: []string{"GET"}},
		{path: list("/a/b")},
		{path: list("/a/{x}"), verbs: []string{"GET"}},
		{path: list("/a/{x}"), verbs: []string{"PUT", "GET"}},
		{path: list("/a/{x}/c/{y}")},
		{path: list("/d/"), verbs: []string{"POST"}},
	}}
	for _, c := range []struct {
		request string
		want    int // -1: none
		verbs   string
		parts   string
	}{
		{"GET /", 0, "", ""}, {"POST /", -1, "GET", ""}, {"GET /a", -1, "", ""}, {"GET /a/b", 1, "", ""}, {"DELETE /a/b", 1, "", ""}, {"OPTIONS /a/b", -1, "GET POST PUT DELETE PATCH", ""}, {"GET /a/x", 2, "", "x"}, {"PUT /a/x", 3, "", "x"},
		{"PATCH /a/x", -1, "GET PUT", ""}, {"GET /a/", -1, "", ""}, {"GET /a/x/c/y", 4, "", "x y"}, {"GET /a/x/c/", -1, "", ""}, {"GET /a/x/d/y", -1, "", ""}, {"GET /a/x/c/y/z", -1, "", ""}, {"POST /d/", 5, "", ""}, {"POST /d", -1, "", ""}, {"GET //", -1, "", ""}, {"GET *", -1, "", ""},
	} {
		verb, path, _ := strings.Cut(c.request, " ")
		m, verbs := s.find([]byte(verb), []byte(path))
		at := -1
		var parts []string
		for i := range s.methods {
			if m == &s.methods[i] {
				at = i
				for k := range m.path {
					if m.path[k].name != "" {
						parts = append(parts, string(m.segment([]byte(path), k)))
					}
				}
			}
		}
		if list := strings.Join(verbs, " "); at != c.want || at < 0 && list != c.verbs && c.verbs != "" || strings.Join(parts, " ") != c.parts {
			t.Errorf("%s: method %d, verbs %s, segments %v", c.request, at, list, parts)
		}
	}
}
