package source

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

// What an API server tells is read, and judged, as the same text in a file is: every row of the tables of TestCheck, and the objects of the benchmark.
func TestServedIsReadAsAFileIs(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	compare := func(text []byte) {
		var head struct{ APIVersion, Kind string }
		text, err := yaml.YAMLToJSON(text)
		if err != nil || json.Unmarshal(text, &head) != nil {
			return // it is no JSON
		}
		group, _, grouped := strings.Cut(head.APIVersion, "/")
		if !grouped {
			group = ""
		}
		kind, known := formOf(group, head.Kind)
		if !known {
			return
		}
		want := Read(text, Origin{Source: "x"})
		got, err := ReadServed(kind, text, Origin{Source: "x"})
		if err != nil { // where the types of Kubernetes' own are wrong, which a server lets nobody write
			if Forms[kind].message != nil || len(want.Objects) > 0 {
				t.Errorf("%v\n%s", err, text)
			}
			return
		}
		compared++
		var o *Object
		if len(want.Objects) > 0 {
			o = want.Objects[0]
		}
		if (o == nil) != (got.Object == nil) {
			t.Errorf("%v, want %v\n%v\n%s", got.Object, o, said(want.Problems), text)
			return
		}
		var a, b []string
		for _, p := range want.Problems {
			a = append(a, p.Path+" "+p.Text)
		}
		for _, p := range got.Problems {
			b = append(b, p.Path+" "+p.Text)
		}
		if !slices.Equal(a, b) {
			t.Errorf("said %q, want %q\n%s", b, a, text)
		}
		if o == nil {
			return
		}
		if o.Key != got.Object.Key || !maps.Equal(o.Labels, got.Object.Labels) || !reflect.DeepEqual(o.More, got.Object.More) || !o.Created.Equal(got.Object.Created) {
			t.Errorf("%+v, want %+v", got.Object, o)
		}
		if m, is := o.Spec.(proto.Message); is && !proto.Equal(m, got.Object.Spec.(proto.Message)) || !is && !reflect.DeepEqual(o.Spec, got.Object.Spec) {
			t.Errorf("%+v, want %+v", got.Object.Spec, o.Spec)
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		form := &Form{}
		for k := range Forms {
			if Forms[k].Name == name && len(Forms[k].Versions) > 0 {
				form = &Forms[k]
			}
		}
		if form.Name == "" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for row := range strings.SplitSeq(string(data), "---\n") {
			spec, metadata := "", ""
			for line := range strings.Lines(row) {
				if m, is := strings.CutPrefix(line, "#m "); is {
					metadata += "  " + m
				} else if !strings.HasPrefix(line, "#=") {
					spec += "  " + line
				}
			}
			if spec = "spec:\n" + spec; name == "EndpointSlice" {
				spec = strings.ReplaceAll(strings.TrimPrefix(spec, "spec:\n"), "\n  ", "\n")[2:]
			}
			version := strings.TrimPrefix(form.Group+"/"+form.Versions[0], "/")
			compare(fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata:\n  name: a\n  namespace: b\n%s%s", version, form.Name, metadata, spec))
		}
	}
	for text := range strings.SplitSeq(trio(1), "---\n") {
		compare([]byte(text))
	}
	if compared < 120 {
		t.Errorf("only %d were compared", compared)
	}
}

// Whatever an API server tells, what is taken has a name and a spec, and what is not taken has a reason.
func FuzzReadServed(f *testing.F) {
	for k, text := range map[Kind]string{
		VirtualService: `{"metadata":{"name":"a","namespace":"b"},"spec":{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"}}]}]}}`,
		Pod:            `{"metadata":{"name":"a","namespace":"b","ownerReferences":[{"kind":"X","name":"y","controller":true}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`,
		EndpointSlice:  `{"metadata":{"name":"a","labels":{"kubernetes.io/service-name":"b","c":"d"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":null}`,
		Secret:         `{"metadata":{"name":"a","annotations":{"istio.io/rev":"b"}},"type":"Opaque","data":{"a":"Yg=="}}`,
	} {
		f.Add(uint8(k), []byte(text))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		s, err := ReadServed(Kind(kind%uint8(kindCount)), data, Origin{})
		switch {
		case err != nil:
		case s.Name == "" || s.Object != nil && (s.Object.Key != s.Key || s.Object.Spec == nil):
			t.Errorf("took %+v", s)
		case s.Object == nil && !slices.ContainsFunc(s.Problems, func(p Problem) bool { return !p.Warning }):
			t.Errorf("left %+v", s)
		}
	})
}
