package kube

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"
)

// Events are what they are in whatever pieces they come; an end in the middle of one is an end, and one that is too large is an error.
func TestEvents(t *testing.T) {
	const text = `{"type":"ADDED","object":{"metadata":{"name":"a}\"{","resourceVersion":"1"}}}
{"object":{"metadata":{"name":"b\\","resourceVersion":"2"},"x":["}",{"y":"\\\""}]},"type":"MODIFIED"} {"type":"NEWER","object":{}}{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"3","annotations":{"k8s.io/initial-events-end":"true"}}}}
  {"type":"DELETED","object":{"metadata":{"name":"a"}}}
{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}
{"type":"ADDED","object":{"metadata":{"na`
	for name, from := range map[string]io.Reader{"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"with an error at the end": iotest.DataErrReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("connection reset"))))} {
		e := newEventReader(io.NopCloser(from), readHead, func(error) {})
		var got []string
		for {
			kind, o, err := e.Decode()
			if err != nil {
				got = append(got, err.Error())
				break
			}
			switch o := o.(type) {
			case *item:
				got = append(got, fmt.Sprint(kind, " ", o.Name, " ", o.ResourceVersion, " ", o.Annotations["k8s.io/initial-events-end"]))
			case *metav1.Status:
				got = append(got, fmt.Sprint(kind, " ", o.Code))
			}
		}
		if want := "ADDED a}\"{ 1 ,MODIFIED b\\ 2 ,BOOKMARK  3 true,DELETED a  ,ERROR 410,EOF"; strings.Join(got, ",") != want {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
	large := io.MultiReader(strings.NewReader(`{"type":"ADDED","object":{"a":"`), io.LimitReader(endless{}, 2*maxEvent))
	if _, _, err := newEventReader(io.NopCloser(large), readHead, func(error) {}).Decode(); !errors.Is(err, errTooLarge) {
		t.Errorf("a large one: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// Whatever a server sends, reading it ends.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"name":"a"}}}{"type":"DELETED"}`))
	f.Add([]byte(`}{"type":1}[{"object":[]}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e := newEventReader(io.NopCloser(strings.NewReader(string(text))), readHead, func(error) {})
		for range len(text) + 1 {
			kind, o, err := e.Decode()
			if err != nil {
				return
			}
			if kind == watch.Added && o.(*item) == nil {
				t.Error("an object that is none")
			}
		}
		t.Error("it does not end")
	})
}

// A list is read an object at a time.
func TestList(t *testing.T) {
	list, err := readList(strings.NewReader(`{"kind":"List","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],"more":{"a":[1]}}`), readHead)
	if err != nil || len(list.Items) != 2 || list.Items[1].(*item).Name != "b" || list.ResourceVersion != "7" || list.Continue != "x" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := readList(strings.NewReader(`{"items":null,"metadata":{"resourceVersion":"7"}}`), readHead); err != nil || len(list.Items) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	for text, readable := range map[string]bool{``: true, `{"items":[{}`: true, `{`: true, `[]`: false, `{"items":{}}`: false, `{"items":[1]}`: false, `<html>`: false} {
		list, err := readList(strings.NewReader(text), readHead)
		var bad unreadable
		if err == nil || errors.As(err, &bad) == readable { // what has ended early has been lost on the way
			t.Errorf("%s: %+v, %v", text, list, err)
		}
	}
}

// There is a definition of each kind that is asked for.
func TestDefinitionsAreOfWhatIsAskedFor(t *testing.T) {
	var names []string
	for text := range strings.SplitSeq(strings.TrimPrefix(string(Definitions()), "---\n"), "---\n") {
		var d struct{ Metadata struct{ Name string } }
		if err := yaml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		names = append(names, d.Metadata.Name)
	}
	c := clusterOf()
	if len(names) != len(c.taught) {
		t.Errorf("%d definitions, and %d kinds are asked for", len(names), len(c.taught))
	}
	for i, f := range c.taught {
		if f.what != names[i] {
			t.Errorf("%s, and %s is asked for", names[i], f.what)
		}
	}
}
