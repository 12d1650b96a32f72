package xds

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// messageReader turns a tree into a message as the JSON reader of Envoy's protobuf library does in its lenient mode: names may be
// spelled as in the .proto file or in camelCase, numbers and booleans may be strings, a single value may stand for a list of one.
type messageReader struct {
	file         string
	allowUnknown bool
	faults       Faults
}

// maxFaults bounds what is listed.
const maxFaults = 50

func (r *messageReader) fault(n *node, path, format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{File: r.file, Line: n.line, Path: path, Text: fmt.Sprintf(format, args...)})
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// message fills m from an object.
func (r *messageReader) message(m protoreflect.Message, n *node, path string) {
	if n.kind != objectNode {
		r.fault(n, path, "want an object, not %s", n.kind)
		return
	}
	d := m.Descriptor()
	for i, k := range n.keys {
		if k.text == "@type" {
			continue
		}
		f := fieldOf(d, k.text)
		if f == nil {
			if !r.allowUnknown {
				r.fault(k, join(path, k.text), "%s has no field %q%s", d.Name(), k.text, nearest(k.text, fieldNames(d)))
			}
			continue
		}
		if n.items[i].kind == nullNode && !isValue(f) {
			continue
		}
		p := join(path, string(f.Name()))
		if m.Has(f) && (f.HasPresence() || f.IsList() || f.IsMap()) || doubled(n, d, f, i) {
			r.fault(k, p, "is set twice")
			continue
		}
		if o := f.ContainingOneof(); o != nil && m.WhichOneof(o) != nil {
			r.fault(k, p, "%s is set already, and only one of the two can be", m.WhichOneof(o).Name())
			continue
		}
		r.field(m, f, n.items[i], p)
	}
}

// doubled says that an earlier key names the same field.
func doubled(n *node, d protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor, i int) bool {
	for _, k := range n.keys[:i] {
		if k.text == string(f.Name()) || k.text == f.JSONName() {
			return true
		}
	}
	return false
}

func fieldOf(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByTextName(name); f != nil {
		return f
	}
	return d.Fields().ByJSONName(name)
}

func isValue(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == "google.protobuf.Value"
}

func (r *messageReader) field(m protoreflect.Message, f protoreflect.FieldDescriptor, n *node, path string) {
	switch {
	case f.IsMap():
		if n.kind != objectNode {
			r.fault(n, path, "want an object, not %s", n.kind)
			return
		}
		list := m.Mutable(f).Map()
		for i, k := range n.keys {
			p := path + "[" + strconv.Quote(k.text) + "]"
			key, ok := r.value(f.MapKey(), k, nil, p)
			if !ok {
				continue
			}
			if list.Has(key.MapKey()) {
				r.fault(k, p, "is set twice")
				continue
			}
			if v, ok := r.value(f.MapValue(), n.items[i], list.NewValue, p); ok {
				list.Set(key.MapKey(), v)
			}
		}
	case f.IsList():
		list := m.Mutable(f).List()
		items := n.items
		if n.kind != listNode {
			items = []*node{n}
		}
		for i, c := range items {
			p := path + "[" + strconv.Itoa(i) + "]"
			if v, ok := r.value(f, c, list.NewElement, p); ok {
				list.Append(v)
			}
		}
	default:
		if v, ok := r.value(f, n, func() protoreflect.Value { return m.NewField(f) }, path); ok {
			m.Set(f, v)
		}
	}
}

// value reads one value; fresh makes an empty message for it.
func (r *messageReader) value(f protoreflect.FieldDescriptor, n *node, fresh func() protoreflect.Value, path string) (v protoreflect.Value, ok bool) {
	if f.Message() != nil {
		v = fresh()
		r.known(v.Message(), n, path)
		return v, true
	}
	wrong := func(want string) (protoreflect.Value, bool) {
		hint := ""
		if want == "a string" && (n.kind == boolNode || n.kind == numberNode) {
			hint = ": put it in quotes"
		}
		r.fault(n, path, "want %s, not %s%s", want, n.show(), hint)
		return v, false
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		switch b, known := looseBool(n.text); {
		case n.kind == boolNode:
			return protoreflect.ValueOfBool(n.text == "true"), true
		case n.kind == stringNode && known:
			return protoreflect.ValueOfBool(b), true
		}
		return wrong("true or false")
	case protoreflect.StringKind:
		if n.kind == nullNode {
			return protoreflect.ValueOfString(""), true
		}
		if n.kind != stringNode {
			return wrong("a string")
		}
		if strings.ToValidUTF8(n.text, "") != n.text {
			return wrong("UTF-8")
		}
		return protoreflect.ValueOfString(n.text), true
	case protoreflect.BytesKind:
		if b, err := looseBase64(n.text); n.kind == stringNode && err == nil {
			return protoreflect.ValueOfBytes(b), true
		}
		return wrong("base64")
	case protoreflect.EnumKind:
		return r.enum(f.Enum(), n, path)
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		x, err := strconv.ParseFloat(n.text, 64)
		if n.kind != numberNode && n.kind != stringNode || err != nil || strings.ContainsAny(n.text, "xX_pP") || math.IsInf(x, 0) || math.IsNaN(x) {
			return wrong("a number")
		}
		if f.Kind() == protoreflect.FloatKind {
			return protoreflect.ValueOfFloat32(float32(x)), true
		}
		return protoreflect.ValueOfFloat64(x), true
	}
	if n.kind != numberNode && n.kind != stringNode {
		return wrong("a whole number")
	}
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if x, err := wholeNumber(n.text, 32); err == nil {
			return protoreflect.ValueOfInt32(int32(x)), true
		}
		return wrong(fmt.Sprintf("a whole number from %d to %d", math.MinInt32, math.MaxInt32))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		if x, err := wholeNumber(n.text, 64); err == nil {
			return protoreflect.ValueOfInt64(x), true
		}
		return wrong("a whole number of 64 bits")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		if x, err := positiveNumber(n.text, 32); err == nil {
			return protoreflect.ValueOfUint32(uint32(x)), true
		}
		return wrong(fmt.Sprintf("a whole number from 0 to %d", uint32(math.MaxUint32)))
	}
	if x, err := positiveNumber(n.text, 64); err == nil {
		return protoreflect.ValueOfUint64(x), true
	}
	return wrong("a whole number of 64 bits from 0")
}

// show is a node as an error quotes it.
func (n *node) show() string {
	switch n.kind {
	case boolNode, numberNode:
		return n.text
	case stringNode:
		if len(n.text) > 64 {
			return strconv.Quote(n.text[:64]) + "…"
		}
		return strconv.Quote(n.text)
	}
	return n.kind.String()
}

func looseBool(s string) (v, ok bool) {
	switch strings.ToLower(s) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return false, false
}

func looseBase64(s string) ([]byte, error) {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	return base64.RawStdEncoding.DecodeString(s)
}

// wholeNumber reads 80, 0x50, 8e1 and 80.0.
func wholeNumber(s string, bits int) (int64, error) {
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		return strconv.ParseInt(hex, 16, bits)
	}
	x, err := strconv.ParseInt(s, 10, bits)
	if err == nil {
		return x, nil
	}
	f, ferr := strconv.ParseFloat(s, 64)
	if ferr != nil || strings.ContainsAny(s, "xX_pPnN") || f != math.Trunc(f) || f < -math.Ldexp(1, bits-1) || f >= math.Ldexp(1, bits-1) {
		return 0, err
	}
	return int64(f), nil
}

func positiveNumber(s string, bits int) (uint64, error) {
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		return strconv.ParseUint(hex, 16, bits)
	}
	x, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, bits)
	if err == nil {
		return x, nil
	}
	f, ferr := strconv.ParseFloat(s, 64)
	if ferr != nil || strings.ContainsAny(s, "xX_pPnN") || f != math.Trunc(f) || f < 0 || f >= math.Ldexp(1, bits) {
		return 0, err
	}
	return uint64(f), nil
}

// enum reads a value by its name, in any case, or number. One that is not known is a field that is not known.
func (r *messageReader) enum(d protoreflect.EnumDescriptor, n *node, path string) (v protoreflect.Value, ok bool) {
	var names []string
	if n.kind == stringNode {
		for i := range d.Values().Len() {
			e := d.Values().Get(i)
			if strings.EqualFold(string(e.Name()), n.text) {
				return protoreflect.ValueOfEnum(e.Number()), true
			}
			names = append(names, string(e.Name()))
		}
	}
	if n.kind == stringNode || n.kind == numberNode {
		if x, err := strconv.ParseInt(n.text, 10, 32); err == nil {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(x)), true
		}
	}
	if n.kind == stringNode && r.allowUnknown {
		return v, false
	}
	r.fault(n, path, "want a value of %s, not %s%s", d.Name(), n.show(), nearest(strings.ToUpper(n.text), names))
	return v, false
}

// known reads messages with a JSON of their own, and all others.
func (r *messageReader) known(m protoreflect.Message, n *node, path string) {
	d := m.Descriptor()
	if d.ParentFile().Package() != "google.protobuf" {
		if n.kind != nullNode { // an element of a list
			r.message(m, n, path)
		}
		return
	}
	switch t := m.Interface().(type) {
	case *anypb.Any:
		r.any(t, n, path)
	case *durationpb.Duration:
		if n.kind == objectNode {
			r.message(m, n, path)
			return
		}
		v, err := parseDuration(n.text)
		if n.kind != stringNode || err != nil {
			r.fault(n, path, "want seconds with an s, such as 1.5s, not %s", n.show())
			return
		}
		t.Seconds, t.Nanos = v.Seconds, v.Nanos
	case *structpb.Struct:
		if n.kind != objectNode {
			r.fault(n, path, "want an object, not %s", n.kind)
			return
		}
		t.Fields = r.structure(n, path)
	case *structpb.Value:
		t.Kind = r.plain(n, path).Kind
	case *structpb.ListValue:
		for i, c := range n.items {
			t.Values = append(t.Values, r.plain(c, path+"["+strconv.Itoa(i)+"]"))
		}
	default:
		if f := d.Fields().ByName("value"); f != nil && n.kind != objectNode && n.kind != nullNode {
			if v, ok := r.value(f, n, nil, path); ok {
				m.Set(f, v)
			}
			return
		}
		r.message(m, n, path)
	}
}

func (r *messageReader) structure(n *node, path string) map[string]*structpb.Value {
	fields := make(map[string]*structpb.Value, len(n.keys))
	for i, k := range n.keys {
		p := join(path, k.text)
		if fields[k.text] != nil {
			r.fault(k, p, "is set twice")
		}
		fields[k.text] = r.plain(n.items[i], p)
	}
	return fields
}

func (r *messageReader) plain(n *node, path string) *structpb.Value {
	switch n.kind {
	case boolNode:
		return structpb.NewBoolValue(n.text == "true")
	case numberNode:
		x, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			r.fault(n, path, "%s is out of range", n.text)
		}
		return structpb.NewNumberValue(x)
	case stringNode:
		return structpb.NewStringValue(strings.ToValidUTF8(n.text, "\ufffd"))
	case listNode:
		list := &structpb.ListValue{}
		for i, c := range n.items {
			list.Values = append(list.Values, r.plain(c, path+"["+strconv.Itoa(i)+"]"))
		}
		return structpb.NewListValue(list)
	case objectNode:
		return structpb.NewStructValue(&structpb.Struct{Fields: r.structure(n, path)})
	}
	return structpb.NewNullValue()
}

const maxSeconds = 315_576_000_000 // of protobuf's Duration: ten thousand years

// parseDuration reads seconds with at most nine decimals.
func parseDuration(s string) (*durationpb.Duration, error) {
	number, ok := strings.CutSuffix(s, "s")
	digits := strings.TrimPrefix(number, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	if !ok || whole == "" || dot && fraction == "" || len(fraction) > 9 || strings.Trim(whole+fraction, "0123456789") != "" {
		return nil, strconv.ErrSyntax
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > maxSeconds {
		return nil, strconv.ErrRange
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 32)
	if digits != number {
		seconds, nanos = -seconds, -nanos
	}
	return &durationpb.Duration{Seconds: seconds, Nanos: int32(nanos)}, nil
}

// any reads a message whose type stands beside its fields. A type that the program does not link is kept by its name, for the table
// to refuse it where it matters.
func (r *messageReader) any(a *anypb.Any, n *node, path string) {
	if n.kind != objectNode {
		r.fault(n, path, "want an object with @type, not %s", n.kind)
		return
	}
	t := n.get("@type")
	if t == nil {
		if len(n.keys) > 0 {
			r.fault(n, path, `"@type" is missing: it says what the other fields mean`)
		}
		return
	}
	slash := strings.LastIndexByte(t.text, '/')
	name := protoreflect.FullName(t.text[slash+1:])
	if t.kind != stringNode || slash < 1 || !name.IsValid() {
		r.fault(t, join(path, "@type"), "want type.googleapis.com/ and the full name of a message, not %s", t.show())
		return
	}
	a.TypeUrl = t.text
	mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return
	}
	m := mt.New()
	path += "(" + string(name.Name()) + ")"
	if v := n.get("value"); name.Parent() == "google.protobuf" && v != nil {
		r.known(m, v, path)
	} else {
		r.message(m, n, path)
	}
	a.Value, err = proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	if err != nil {
		r.fault(n, path, "%v", err)
	}
}

func fieldNames(d protoreflect.MessageDescriptor) []string {
	names := make([]string, d.Fields().Len())
	for i := range names {
		names[i] = string(d.Fields().Get(i).Name())
	}
	return names
}

// nearest suggests what was probably meant.
func nearest(word string, names []string) string {
	best, score := "", 1+len(word)/2
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(strings.ToLower(word), strings.ToLower(n)); d < score {
			best, score = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters that have to be put in, left out or changed.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
