package xds

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// Source says where a process's configuration comes from. At least one of Made, Path and YAML is set.
type Source struct {
	Made []byte // by the process itself, in JSON, for what is in Path and YAML to be merged over
	Path string // -c, --config-path: .yaml, .yml, .pb, .pb_text; anything else is JSON
	YAML string // --config-yaml, merged over the file
	// AllowUnknownFields takes unknown fields for absent (--allow-unknown-static-fields).
	AllowUnknownFields bool
	// Node replaces what the bootstrap says of the node, where set (--service-node, --service-cluster, --service-zone).
	Node config.Node
}

// How faults call texts that are in no file.
const (
	madeName     = "the bootstrap that was made"
	overrideName = "--config-yaml"
)

// ReadBootstrap reads and judges a configuration. The error is of type Faults.
func ReadBootstrap(src Source, specs []filters.Spec) (*config.Bootstrap, error) {
	var texts []text
	var b *bootstrapv3.Bootstrap
	take := func(read func(into proto.Message) (text, error)) error {
		over := &bootstrapv3.Bootstrap{}
		t, err := read(over)
		if err != nil {
			return err
		}
		texts = append(texts, t)
		if b == nil {
			b = over
		} else {
			proto.Merge(b, over)
		}
		return nil
	}
	if len(src.Made) > 0 {
		if err := take(func(into proto.Message) (text, error) { return readText(madeName, formatJSON, src.Made, into, false) }); err != nil {
			return nil, err
		}
	}
	if src.Path != "" {
		if err := take(func(into proto.Message) (text, error) { return readFile(src.Path, into, src.AllowUnknownFields) }); err != nil {
			return nil, err
		}
	}
	if src.YAML != "" {
		if err := take(func(into proto.Message) (text, error) {
			return readText(overrideName, formatYAML, []byte(src.YAML), into, src.AllowUnknownFields)
		}); err != nil {
			return nil, err
		}
	}
	if len(texts) == 0 {
		return nil, Faults{{File: "command line", Text: "a configuration is missing: name one with -c or give one with --config-yaml"}}
	}
	c, err := decode.New(specs, decode.Options{AllowUnknownFields: src.AllowUnknownFields}).Bootstrap(b)
	if err != nil {
		return nil, locate(texts, problemsOf(err))
	}
	for _, o := range []struct {
		flag string
		to   *string
	}{{src.Node.ID, &c.Node.ID}, {src.Node.Cluster, &c.Node.Cluster}, {src.Node.Zone, &c.Node.Zone}} {
		if o.flag != "" {
			*o.to = o.flag
		}
	}
	return c, nil
}

func problemsOf(err error) decode.Problems {
	var p decode.Problems
	if !errors.As(err, &p) {
		p = decode.Problems{{Text: err.Error()}}
	}
	return p
}

// format is how a text is written.
type format uint8

const (
	formatJSON format = iota
	formatYAML
	formatBinary
	formatText
)

func formatOf(path string) format {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return formatYAML
	case ".pb":
		return formatBinary
	case ".pb_text":
		return formatText
	}
	return formatJSON
}

func readFile(path string, into proto.Message, allowUnknown bool) (text, error) {
	b, err := readBounded(path)
	if err != nil {
		return text{}, Faults{{File: path, Text: err.Error()}}
	}
	return readText(path, formatOf(path), b, into, allowUnknown)
}

// readBounded reads a file, or what stands behind a descriptor's path.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err // the path is said anyway
		}
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTextBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(b) > maxTextBytes {
		return nil, fmt.Errorf("more than %d bytes", maxTextBytes)
	}
	return b, nil
}

// readText fills a message from a text.
func readText(file string, f format, b []byte, into proto.Message, allowUnknown bool) (text, error) {
	t := text{file: file}
	var err error
	switch f {
	case formatBinary:
		err = proto.Unmarshal(b, into)
	case formatText:
		err = prototext.UnmarshalOptions{DiscardUnknown: allowUnknown}.Unmarshal(b, into)
	case formatYAML:
		t.root, err = parseYAML(b)
	default:
		t.root, err = parseJSON(b)
	}
	if err != nil {
		fault := Fault{File: file, Text: strings.ReplaceAll(err.Error(), "\u00a0", " ")}
		var at *textError
		if errors.As(err, &at) {
			fault.Line = at.line
		}
		if f == formatJSON {
			fault.Text += " (a file that does not end in .yaml, .yml, .pb or .pb_text is read as JSON)"
		}
		return t, Faults{fault}
	}
	if t.root != nil {
		r := messageReader{file: file, allowUnknown: allowUnknown}
		r.message(into.ProtoReflect(), t.root, "")
		if len(r.faults) > 0 {
			return t, r.faults
		}
	}
	return t, nil
}
