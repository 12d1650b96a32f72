package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
)

// maxProblems are told of one object; what is wrong beyond is not looked for.
const maxProblems = 20

// Contents is what a file, or a piece of it, holds.
type Contents struct {
	Objects  []*Object // that are good
	Problems []Problem // with the others and, as warnings, with these
	// Torn says that a part could not be read as objects at all: what else should be there nobody can say.
	Torn bool
	// Expected are the resourceVersions that objects say they are written upon, of those that say one.
	Expected map[Key]string
}

// Read reads and checks the objects of a file: YAML or JSON, of one document or many, lists too. An object that says no namespace is in "default".
// Its Revision is a hash of all that is read of it.
func Read(data []byte, from Origin) Contents { return ReadIn(data, from, "") }

// ReadIn reads as Read does what is to be in a namespace: an object that says none is in it, and one that says another is refused.
func ReadIn(data []byte, from Origin, namespace string) (c Contents) {
	if f := TooLarge(int64(len(data)), from); f != nil {
		return Contents{Problems: []Problem{*f}, Torn: true}
	}
	for _, d := range Split(data) {
		one := d.readIn(from, namespace)
		c.Objects, c.Problems, c.Torn = append(c.Objects, one.Objects...), append(c.Problems, one.Problems...), c.Torn || one.Torn
		for k, v := range one.Expected {
			put(&c.Expected, k, v)
		}
	}
	return c
}

// TooLarge is the problem with a file of so many bytes; nil: it may be read.
func TooLarge(size int64, from Origin) *Problem {
	if size <= MaxFile {
		return nil
	}
	from.Line = 1
	return &Problem{From: from, Text: fmt.Sprintf("has %d MB, and at most %d are read: write it as several files", size>>20, MaxFile>>20)}
}

// Read reads a document as Read does a file.
func (d Document) Read(from Origin) Contents { return d.readIn(from, "") }

func (d Document) readIn(from Origin, namespace string) Contents {
	r := &reading{from: from, line: d.Line, namespace: namespace}
	roots, f := d.parse()
	for _, root := range roots {
		r.one(root, "", "", 0)
	}
	if f != nil {
		r.whole(f)
	}
	return r.Contents
}

// ReadMeshConfig reads the mesh's own configuration: a file that is a MeshConfig and nothing else. What it does not say is not filled in.
func ReadMeshConfig(data []byte, from Origin) (*Object, []Problem) {
	return readSetting(MeshConfig, data, from)
}

// ReadMeshNetworks reads the mesh's networks, likewise.
func ReadMeshNetworks(data []byte, from Origin) (*Object, []Problem) {
	return readSetting(MeshNetworks, data, from)
}

func readSetting(kind Kind, data []byte, from Origin) (*Object, []Problem) {
	r := &reading{from: from, line: 1}
	if len(data) > maxObject {
		r.whole(&fault{text: fmt.Sprintf("has %d MB, and at most %d are read", len(data)>>20, maxObject>>20)})
		return nil, r.Problems
	}
	o := &Object{Key: Key{Kind: kind, Name: "default"}, From: from}
	o.From.Line = 1
	documents := Split(data)
	if len(documents) > 1 {
		r.whole(&fault{line: documents[1].Line, text: "has several documents: one is read"})
		return nil, r.Problems
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	if len(documents) == 1 {
		r.line = documents[0].Line
		roots, f := documents[0].parse()
		if f == nil && len(roots) > 1 {
			f = &fault{line: roots[1].Line, text: "has several documents: one is read"}
		}
		if f != nil {
			r.whole(f)
			return nil, r.Problems
		}
		if len(roots) == 1 {
			root = roots[0]
		}
	}
	w := &writer{}
	r.message(o, "", root, w)
	r.finish(o, root, w.out)
	if len(r.Objects) == 0 {
		return nil, r.Problems
	}
	return r.Objects[0], r.Problems
}

// reading is what has been read of a document.
type reading struct {
	from Origin
	line int // of the file, where the document begins
	// namespace is the one that objects are to be in; empty: any, and "default" if they say none.
	namespace string
	wrong     int    // what is wrong with the object that is being read, without warnings
	revision  string // that it is for
	Contents
}

// place is a line of the document as one of the file.
func (r *reading) place(line int) Origin {
	from := r.from
	from.Line = r.line + max(line, 1) - 1
	return from
}

// whole notes what is wrong with the document itself.
func (r *reading) whole(f *fault) {
	r.Torn = true
	r.Problems = append(r.Problems, Problem{From: r.place(f.line), Path: f.path, Text: f.text})
}

// note notes what is wrong with an object.
func (r *reading) note(key Key, f *fault) {
	if r.wrong++; r.wrong > maxProblems {
		return
	}
	p := Problem{Key: key, From: r.place(f.line), Path: f.path, Text: f.text, Revision: r.revision}
	if r.wrong == maxProblems {
		p.Text += " (there may be more)"
	}
	r.Problems = append(r.Problems, p)
}

// What may stand beside each other at the top of an object. Status is somebody else's to write and nobody's to read, but a Pod's and a WorkloadEntry's.
var (
	top      = []string{"apiVersion", "kind", "metadata", "spec", "status"}
	topSlice = []string{"apiVersion", "kind", "metadata", "addressType", "endpoints", "ports"}
	topData  = []string{"apiVersion", "kind", "metadata", "type", "data", "stringData", "binaryData", "immutable"}
	// metadata are the fields that Kubernetes has there. Those that are not read are its own business.
	metadata = []string{"name", "namespace", "labels", "annotations", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
		"finalizers", "generateName", "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"}
)

// one reads an object, or the objects of a list. Those of a list of one kind need not say theirs.
func (r *reading) one(root *yaml.Node, version, kind string, depth int) {
	root = real(root)
	at := &fault{line: root.Line}
	if root.Kind != yaml.MappingNode {
		at.text = "is no object: it has no apiVersion and no kind"
		r.whole(at)
		return
	}
	w := &writer{out: make([]byte, 0, 1<<10)}
	fields, f := w.pairs(root, 0)
	if f != nil {
		r.whole(f)
		return
	}
	if n := field(fields, "apiVersion"); n != nil {
		version = n.Value
	}
	if n := field(fields, "kind"); n != nil {
		kind = n.Value
	}
	group, number, grouped := strings.Cut(version, "/")
	if !grouped {
		group, number = "", version
	}
	if version == "" || kind == "" {
		at.text = "has no apiVersion or no kind"
		r.whole(at)
		return
	}
	if items := field(fields, "items"); items != nil && strings.HasSuffix(kind, "List") && depth < 2 {
		if items.Kind != yaml.SequenceNode && items.ShortTag() != "!!null" {
			r.whole(&fault{path: "items", line: items.Line, text: "is no list"})
			return
		}
		if kind == "List" {
			version, kind = "", ""
		}
		for _, item := range items.Content {
			r.one(item, version, strings.TrimSuffix(kind, "List"), depth+1)
		}
		return
	}
	k, known := formOf(group, kind)
	if !known && !ours(group) {
		r.Problems = append(r.Problems, Problem{From: r.place(root.Line), Warning: true,
			Text: fmt.Sprintf("%s %s is no kind that a mesh is made of: it is skipped", short(version), short(kind))})
		return
	}
	o := &Object{Key: Key{Kind: k}, From: r.place(root.Line)}
	meta, f := r.head(o, field(fields, "metadata"))
	switch {
	case f != nil && o.Name == "":
		r.whole(f)
		return
	case !known:
		r.Problems = append(r.Problems, Problem{From: r.place(root.Line), Path: "kind",
			Text: fmt.Sprintf("%s %s (%s) is no kind that is known here", short(version), short(kind), o.Name)})
		return
	}
	r.wrong, r.revision = 0, revisionOf(k, o.Labels)
	if f != nil {
		r.note(o.Key, f)
	}
	if form := &Forms[k]; !slices.Contains(form.Versions, number) {
		at.path = "apiVersion"
		at.text = fmt.Sprintf("%s is not read of a %s: write %s", short(version), kind, strings.TrimPrefix(group+"/"+form.Versions[0], "/"))
		r.note(o.Key, at)
	}
	may := top
	switch k {
	case EndpointSlice:
		may = topSlice
	case Secret, ConfigMap:
		may = topData
	}
	for i := 0; i < len(fields); i += 2 {
		if name := fields[i]; !slices.Contains(may, name.Value) {
			r.note(o.Key, &fault{path: step(short(name.Value)), line: name.Line, text: "is no field of a " + kind + nearest(name.Value, may)})
		}
	}
	if Forms[k].message == nil {
		r.kubernetes(o, fields, meta, w)
		r.finish(o, root, w.out)
		return
	}
	spec := field(fields, "spec")
	if spec == nil {
		spec = &yaml.Node{Kind: yaml.MappingNode, Line: root.Line}
	}
	if k == WorkloadEntry {
		o.Health = readHealth(field(fields, "status"))
	}
	r.message(o, "spec", spec, w)
	r.finish(o, root, w.out)
}

// field finds a value by its name.
func field(pairs []*yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i].Value == name {
			return real(pairs[i+1])
		}
	}
	return nil
}

// RolloutAnnotation says how changes of an object go to proxies: to all AtOnce, or step by step ByCohorts.
const (
	RolloutAnnotation = "weftmesh.io/rollout"
	AtOnce            = "at-once"
	ByCohorts         = "cohorts"
)

// NeverWaits says whether objects of a kind move all the time, or must not be late: they go to all proxies at once, whatever they say.
func NeverWaits(k Kind) bool {
	switch k {
	case EndpointSlice, Pod, Node, WorkloadEntry, WorkloadGroup, Namespace, Secret, ConfigMap:
		return true
	}
	return false
}

// AuthorAnnotation names who has written an object, where the source itself does not know.
const AuthorAnnotation = "weftmesh.io/author"

// IsAuthor says whether a text can name an author: a word of at most 128 bytes.
func IsAuthor(text string) bool {
	return text != "" && len(text) <= 128 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

const maxName = 253 // bytes

// names are what Kubernetes has objects and namespaces called.
var names = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// head reads an object's metadata, as far as it goes.
func (r *reading) head(o *Object, n *yaml.Node) (pairs []*yaml.Node, f *fault) {
	missing := func(text string) *fault {
		return &fault{path: "metadata.name", line: o.From.Line - r.line + 1, text: text}
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, missing("is not said")
	}
	if pairs, f = (&writer{}).pairs(n, 0); f != nil {
		return nil, f.in("metadata")
	}
	if name := field(pairs, "name"); name == nil || name.Value == "" {
		return pairs, missing("is not said")
	}
	var name string
	var first *fault
	say := func(f *fault) {
		if first == nil {
			first = f.in("metadata")
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		key, v := pairs[i], real(pairs[i+1])
		null := v.Kind == yaml.ScalarNode && v.ShortTag() == "!!null"
		switch key.Value {
		case "name", "namespace":
			switch {
			case null && key.Value == "namespace":
			case v.Kind != yaml.ScalarNode || len(v.Value) > maxName || !names.MatchString(v.Value):
				// Whose it is nobody knows then.
				return pairs, (&fault{path: key.Value, line: v.Line,
					text: fmt.Sprintf("%q is no name: small letters, digits, dashes and dots, at most 253", short(v.Value))}).in("metadata")
			case key.Value == "name":
				name = v.Value
			default:
				o.Namespace = v.Value
			}
		case "labels", "annotations":
			if null {
				continue
			}
			m, f := words(v)
			if f != nil {
				say(f.in(key.Value))
			}
			if key.Value == "labels" {
				o.Labels = m
			} else {
				o.Annotations = m
			}
		case "creationTimestamp":
			if null {
				continue
			}
			t, err := time.Parse(time.RFC3339, v.Value)
			if err != nil {
				say(&fault{path: key.Value, line: v.Line, text: fmt.Sprintf("%q is no time: write it as in 2006-01-02T15:04:05Z", short(v.Value))})
			}
			o.Created = t
		default:
			if !slices.Contains(metadata, key.Value) {
				say(&fault{path: step(short(key.Value)), line: key.Line, text: "is no field of metadata" + nearest(key.Value, metadata)})
			}
		}
	}
	switch o.Name = name; {
	case Forms[o.Kind].Cluster:
		o.Namespace = ""
	case o.Namespace == "":
		o.Namespace = cmp.Or(r.namespace, "default")
	case r.namespace != "" && o.Namespace != r.namespace:
		say(&fault{path: "namespace", line: field(pairs, "namespace").Line, text: fmt.Sprintf("is %s, and %s is asked for", short(o.Namespace), r.namespace)})
	}
	if v := field(pairs, "resourceVersion"); v != nil && v.Kind == yaml.ScalarNode && v.ShortTag() != "!!null" && v.Value != "" {
		put(&r.Expected, o.Key, v.Value)
	}
	if author := o.Annotations[AuthorAnnotation]; IsAuthor(author) {
		o.Author = author
	}
	return pairs, first
}

// words reads a mapping of strings.
func words(n *yaml.Node) (map[string]string, *fault) {
	if n.Kind != yaml.MappingNode {
		return nil, &fault{line: n.Line, text: "is no mapping"}
	}
	pairs, f := (&writer{}).pairs(n, 0)
	if f != nil {
		return nil, f
	}
	out := make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		v := real(pairs[i+1])
		if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!str" && v.ShortTag() != "!!timestamp" && v.ShortTag() != "!!null" {
			return nil, (&fault{line: v.Line, text: fmt.Sprintf("%s is no text: write it in quotes", short(v.Value))}).in(step(pairs[i].Value))
		}
		out[pairs[i].Value] = v.Value
		if v.ShortTag() == "!!null" {
			out[pairs[i].Value] = ""
		}
	}
	return out, nil
}

// finish checks an object and takes it if nothing is wrong with it.
func (r *reading) finish(o *Object, root *yaml.Node, text []byte) {
	if r.wrong > 0 {
		return
	}
	all := make([]byte, 0, len(text)+512)
	for _, m := range []map[string]string{o.Labels, o.Annotations} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			all = append(strconv.AppendQuote(append(strconv.AppendQuote(all, k), '='), m[k]), ' ')
		}
		all = append(all, 0)
	}
	all = append(append(all, Forms[o.Kind].Name...), ' ')
	all = append(append(append(append(all, o.Namespace...), '/'), o.Name...), ' ')
	all = append(o.Created.AppendFormat(all, time.RFC3339), 0)
	all = append(all, text...)
	if o.More != nil {
		more, _ := json.Marshal(o.More) // it came from JSON
		all = append(all, more...)
	}
	if o.Health != nil {
		all = fmt.Append(all, *o.Health)
	}
	sum := sha256.Sum256(all)
	o.Revision = hex.EncodeToString(sum[:8])
	for _, p := range Check(o) {
		p.From, p.Revision = r.place(lineOf(root, p.Path)), r.revision
		r.Problems = append(r.Problems, p)
		if !p.Warning {
			r.wrong++
		}
	}
	if r.wrong == 0 {
		r.Objects = append(r.Objects, o)
	}
}

// Same says whether two versions of an object have the same spec, what ASM adds included.
func Same(a, b *Object) bool {
	if a.Revision == b.Revision && a.Revision != "" {
		return true
	}
	if m, is := a.Spec.(proto.Message); is {
		n, is := b.Spec.(proto.Message)
		return is && proto.Equal(m, n) && equalMore(a.More, b.More)
	}
	return equalMore(a.Spec, b.Spec)
}
