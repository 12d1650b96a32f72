package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/control/source"
)

// Report is what has become of an object of a file that pods are made from.
type Report struct {
	Line                  int // of the file, where its document begins
	Kind, Namespace, Name string
	Skipped               string // why it is as it was; empty: it has a sidecar
	Warnings              []string
}

// templates are the kinds that pods are made from, and where the pod is in them.
var templates = map[string][]string{
	"Pod": nil, "Deployment": {"spec", "template"}, "StatefulSet": {"spec", "template"}, "DaemonSet": {"spec", "template"}, "ReplicaSet": {"spec", "template"},
	"ReplicationController": {"spec", "template"}, "Job": {"spec", "template"}, "CronJob": {"spec", "jobTemplate", "spec", "template"},
}

// groups are the API groups of those kinds: of others, kinds of the same name are somebody else's.
var groups = []string{"v1", "apps/v1", "batch/v1"}

// maxNodes bounds what is made of a document, what its aliases stand for counted.
const maxNodes = 1 << 20

// File puts sidecars into what pods are made from, in a file of YAML or JSON: Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, and Lists
// of them. All other documents stay as they are, byte for byte. of says what the mesh says for a namespace; objects that say none are in usual.
func File(data []byte, usual string, of func(namespace string) *World) (out []byte, reports []Report, err error) {
	if len(data) > source.MaxFile {
		return nil, nil, fmt.Errorf("has more than %d MB", source.MaxFile>>20)
	}
	var all []error
	for _, d := range source.Split(data) {
		f := &filing{usual: usual, of: of, line: d.Line}
		text, err := f.document(d.Text)
		if err != nil {
			all = append(all, err)
		}
		out = append(out, text...)
		reports = append(reports, f.reports...)
	}
	if err := errors.Join(all...); err != nil {
		return nil, reports, err
	}
	if out == nil { // there is nothing but blanks in it
		out = data
	}
	return out, reports, nil
}

// filing is a document under way.
type filing struct {
	usual   string
	of      func(string) *World
	line    int
	nodes   int
	aliases bool // there are some
	changed bool
	reports []Report
}

func (f *filing) document(text []byte) ([]byte, error) {
	root := yaml.Node{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&root); {
	case errors.Is(err, io.EOF): // nothing but comments
		return text, nil
	case err != nil:
		return nil, fmt.Errorf("line %d: is no YAML: %s", f.line, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(root.Content) == 0 {
		return text, nil
	}
	if f.count(&root, 0); f.nodes > maxNodes {
		return nil, fmt.Errorf("line %d: has more than %d fields, what aliases stand for counted", f.line, maxNodes)
	}
	if f.aliases {
		root = *resolve(&root)
	}
	if err := f.object(root.Content[0], 0); err != nil {
		return nil, err
	}
	if !f.changed {
		return text, nil
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: has several documents that no line of three dashes parts", f.line)
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		blockStyle(&root)
	}
	var out bytes.Buffer
	if bytes.HasPrefix(text, []byte("---")) {
		out.WriteString("---\n")
	}
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&root), e.Close()); err != nil {
		return nil, fmt.Errorf("line %d: %w", f.line, err)
	}
	return out.Bytes(), nil
}

// blockStyle has what was JSON be written as YAML that people read.
func blockStyle(n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode:
		n.Style = 0
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str": // with quotes where it needs them
		*n = *node(n.Value)
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// object puts a sidecar into an object, or into those of a list.
func (f *filing) object(n *yaml.Node, depth int) error {
	version, kind := word(n, "apiVersion"), word(n, "kind")
	if items := field(n, "items"); items != nil && kind == "List" && version == "v1" && items.Kind == yaml.SequenceNode && depth < 2 {
		var all []error
		for i := range items.Content {
			all = append(all, f.object(items.Content[i], depth+1))
		}
		return errors.Join(all...)
	}
	path, is := templates[kind]
	if !is || !slices.Contains(groups, version) {
		return nil
	}
	meta := field(n, "metadata")
	r := Report{Line: f.line, Kind: kind, Namespace: orWord(word(meta, "namespace"), f.usual), Name: word(meta, "name")}
	where := fmt.Sprintf("line %d: %s %s/%s", f.line, kind, r.Namespace, orWord(r.Name, word(meta, "generateName")))
	at := n
	for _, step := range path {
		if at = field(at, step); at == nil {
			return fmt.Errorf("%s: has no %s", where, strings.Join(path, "."))
		}
	}
	text, err := toJSON(at)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	var of *workload
	if kind != "Pod" {
		of = &workload{version, kind, r.Name}
	}
	result, err := inject(text, f.of(r.Namespace), of)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for _, op := range result.Patch {
		f.changed = true
		if err := edit(at, op); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	r.Skipped, r.Warnings = result.Skipped, result.Warnings
	f.reports = append(f.reports, r)
	return nil
}

// toJSON is what is below a node, as an API server would be told it.
func toJSON(n *yaml.Node) ([]byte, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return json.Marshal(v)
}

func (f *filing) count(n *yaml.Node, depth int) {
	if f.nodes++; f.nodes > maxNodes || depth > 1000 {
		f.nodes = maxNodes + 1
		return
	}
	if n.Kind == yaml.AliasNode {
		f.aliases = true
		f.count(n.Alias, depth+1)
	}
	for _, c := range n.Content {
		f.count(c, depth+1)
	}
}
