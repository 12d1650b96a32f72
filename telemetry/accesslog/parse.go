package accesslog

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/wire/http"
)

// What a format may be at most. A configuration is not written by a peer, but a mistake in one must not eat the machine.
const (
	maxText  = 64 << 10 // bytes of a text, and of all texts of an object
	maxDepth = 16       // of an object
)

// Options are what a format says beside its text.
type Options struct {
	OmitEmpty  bool     // write nothing for a missing value, instead of "-"
	Expression Compiler // of what is in CEL; nil: nothing may be
}

// Compiler reads an expression.
type Compiler func(text string) (Expression, error)

// Parse reads a text with operators, such as "%REQ(:METHOD)% %DURATION%\n"; %% is a percent sign. A text without operators is good too.
func Parse(text string, o Options) (*Format, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("accesslog: a format has at most %d bytes, not %d", maxText, len(text))
	}
	f := &Format{omitEmpty: o.OmitEmpty}
	ops, err := parse(nil, text, writeText, o.Expression)
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	f.ops = join(ops)
	return f, nil
}

// ParseJSON reads an object whose strings hold operators. Values are string, map[string]any, []any, float64, bool or nil; keys are
// written in their order. A string that is one operator and nothing else is written as that operator's own type.
func ParseJSON(fields map[string]any, o Options) (*Format, error) {
	budget := maxText
	ops, err := parseValue(nil, fields, "", 0, &budget, o.Expression)
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	if o.OmitEmpty {
		root, err := parseNode(fields, o.Expression)
		return &Format{root: root, omitEmpty: true}, err
	}
	return &Format{ops: join(append(ops, literal("\n")))}, nil
}

func parseValue(ops []operator, v any, path string, depth int, budget *int, in Compiler) ([]operator, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: nested more than %d deep", path, maxDepth)
	}
	var err error
	switch v := v.(type) {
	case string:
		if *budget -= len(v); *budget < 0 {
			return nil, fmt.Errorf("%s: a format has at most %d bytes", path, maxText)
		}
		if ops, err = parseString(ops, v, in); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return ops, err
	case map[string]any:
		ops = append(ops, literal("{"))
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				ops = append(ops, literal(","))
			}
			if *budget -= len(key); *budget < 0 {
				return nil, fmt.Errorf("%s: a format has at most %d bytes", path, maxText)
			}
			ops = append(ops, literal(`"`+escape(key)+`":`))
			if ops, err = parseValue(ops, v[key], joinPath(path, key), depth+1, budget, in); err != nil {
				return nil, err
			}
		}
		return append(ops, literal("}")), nil
	case []any:
		ops = append(ops, literal("["))
		for i, e := range v {
			if i > 0 {
				ops = append(ops, literal(","))
			}
			if *budget--; *budget < 0 {
				return nil, fmt.Errorf("%s: a format has at most %d bytes", path, maxText)
			}
			if ops, err = parseValue(ops, e, path+"["+strconv.Itoa(i)+"]", depth+1, budget, in); err != nil {
				return nil, err
			}
		}
		return append(ops, literal("]")), nil
	case float64:
		return append(ops, literal(strconv.FormatFloat(v, 'f', -1, 64))), nil
	case bool:
		return append(ops, literal(strconv.FormatBool(v))), nil
	case nil:
		return append(ops, literal("null")), nil
	}
	return nil, fmt.Errorf("%s: a %T cannot be logged", path, v)
}

// parseString reads one string of an object.
func parseString(ops []operator, text string, in Compiler) ([]operator, error) {
	inside, err := parse(nil, text, writeInside, in)
	if err != nil {
		return nil, err
	}
	if len(inside) == 1 && inside[0].kind != opLiteral {
		inside[0].setWrite(writeValue)
		return append(ops, inside[0]), nil
	}
	ops = append(ops, literal(`"`))
	return append(append(ops, inside...), literal(`"`)), nil
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// join makes one of neighbouring literals.
func join(ops []operator) []operator {
	out := ops[:0]
	for _, o := range ops {
		if n := len(out); n > 0 && o.kind == opLiteral && out[n-1].kind == opLiteral {
			out[n-1].text = append(out[n-1].text, o.text...)
			continue
		}
		out = append(out, o)
	}
	return slices.Clip(out)
}

func literal(text string) operator { return operator{kind: opLiteral, text: []byte(text), max: -1} }

// parse appends what a text holds.
func parse(ops []operator, text string, w write, in Compiler) ([]operator, error) {
	plain := func(s string) {
		if w == writeInside {
			s = escape(s)
		}
		if s != "" {
			ops = append(ops, literal(s))
		}
	}
	for at := 0; at < len(text); {
		i := strings.IndexByte(text[at:], '%')
		if i < 0 {
			plain(text[at:])
			break
		}
		plain(text[at : at+i])
		at += i
		if strings.HasPrefix(text[at:], "%%") {
			plain("%")
			at += 2
			continue
		}
		c, n, ok := command(text[at:])
		if !ok {
			return nil, fmt.Errorf("no operator at byte %d (%s): write %%NAME%%, %%NAME(PARAMETER)%% or %%NAME(PARAMETER):LENGTH%%, and %%%% for a percent sign",
				at+1, excerpt(text[at:]))
		}
		o, err := compile(c, in, 0)
		if err != nil {
			return nil, fmt.Errorf("%s at byte %d: %w", c.name, at+1, err)
		}
		o.setWrite(w)
		if o.kind == opLiteral {
			o.text = []byte(bound(string(o.text), o.max))
			if w == writeInside {
				o.text = []byte(escape(string(o.text)))
			}
		}
		ops = append(ops, o)
		at += n
	}
	return ops, nil
}

func bound(s string, n int32) string {
	if n >= 0 && len(s) > int(n) {
		return s[:n]
	}
	return s
}

func excerpt(s string) string {
	if len(s) > 32 {
		return strconv.Quote(s[:32]) + "…"
	}
	return strconv.Quote(s)
}

// call is an operator as it is written.
type call struct {
	name, parameter string
	parameters      bool // there are parentheses
	length          int32
}

// command splits %NAME(PARAMETER):LENGTH%. The parameter ends at the first parenthesis after which the operator can end, since a
// parameter may itself hold percent signs.
func command(s string) (c call, n int, ok bool) {
	i := 1
	for i < len(s) && (s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
		i++
	}
	c.name, c.length = s[1:i], -1
	if c.name == "" {
		return c, 0, false
	}
	if i < len(s) && s[i] == '(' {
		c.parameters = true
		for from := i + 1; ; {
			j := strings.IndexByte(s[from:], ')')
			if j < 0 {
				return c, 0, false
			}
			from += j + 1
			if length, end, ok := tail(s, from); ok {
				c.parameter, c.length = s[i+1:from-1], length
				return c, end, true
			}
		}
	}
	length, end, ok := tail(s, i)
	c.length = length
	return c, end, ok
}

// tail reads :LENGTH% or % at i.
func tail(s string, i int) (length int32, end int, ok bool) {
	length = -1
	if i < len(s) && s[i] == ':' {
		j := i + 1
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		v, err := strconv.ParseInt(s[i+1:j], 10, 32)
		if err != nil {
			return 0, 0, false
		}
		length, i = int32(v), j
	}
	return length, i + 1, i < len(s) && s[i] == '%'
}

// escape writes a string as the inside of a JSON string.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// compile makes an operator of a call.
func compile(c call, in Compiler, depth int) (operator, error) {
	o := operator{max: c.length}
	r, ok := commands[c.name]
	if !ok {
		return o, fmt.Errorf("not an operator that is supported; %s", near(c.name))
	}
	switch {
	case r.takes == takesNothing && (c.parameters || c.length >= 0):
		return o, fmt.Errorf("takes neither a parameter nor a length")
	case c.length >= 0 && r.takes != takesField && r.takes != takesName && r.takes != takesPath && r.takes != takesState && r.takes != takesOf && r.takes != takesOperators && r.takes != takesExpression && r.takes != takesKey:
		return o, fmt.Errorf("takes no length")
	case c.parameter == "" && r.takes.must():
		return o, fmt.Errorf("wants a parameter, as in %%%s(…)%%", c.name)
	}
	o.kind, o.span, o.part, o.decoded = r.kind, r.span, r.part, r.decoded
	o.fact, o.whose, o.upstream = r.fact, r.whose, r.upstream
	var err error
	switch r.takes {
	case takesField:
		err = o.parseFields(c.parameter)
		o.noQuery = c.name == "REQ_WITHOUT_QUERY"
	case takesPart:
		err = o.parsePart(c.parameter)
	case takesQuery:
		if c.parameter != "" && c.parameter != "ORIG" {
			err = fmt.Errorf("parameter %q: want ORIG or nothing", c.parameter)
		}
	case takesCode:
		err = o.parseCode(c.parameter)
	case takesOperators:
		o.among, err = parseAmong(c.parameter, in, depth)
	case takesOf:
		err = o.parseOwner(c.parameter)
	case takesName:
		o.name = c.parameter
	case takesExpression:
		if in == nil {
			return o, fmt.Errorf("no expression may be here")
		}
		o.quoted = c.name == "TYPED_CEL"
		o.expression, err = in(c.parameter)
	case takesPath:
		o.path, o.owner = strings.Split(c.parameter, ":"), r.owner
	case takesState:
		err = o.parseState(c.parameter)
	case takesTime:
		o.time, err = parseTime(c.parameter)
	case takesSpan:
		o.span, err = parseSpan(c.parameter)
	case takesKey:
		o.max = -1 // with Envoy
		o.name, err = parseKey(c.parameter)
	case takesServerName:
		switch c.parameter {
		case "", "SNI_ONLY":
		case "SNI_FIRST":
			o.from = fieldAuthority
		case "HOST_FIRST":
			o.altFrom = fieldAuthority
		default:
			err = fmt.Errorf("parameter %q: want SNI_ONLY, SNI_FIRST or HOST_FIRST", c.parameter)
		}
	case takesSpace:
		if c.parameters && c.parameter != "ALLOW_WHITESPACES" && c.parameter != "" {
			err = fmt.Errorf("parameter %q: want ALLOW_WHITESPACES or nothing", c.parameter)
		}
		o.keepSpace = c.parameter == "ALLOW_WHITESPACES"
	}
	if err != nil {
		return o, err
	}
	if o.kind > opNothing || o.kind == opSpan && (o.span.from.few() || o.span.to.few()) {
		Ask()
	}
	switch c.name { // what the process knows before there is an exchange is text
	case "ENVIRONMENT":
		return constant(os.Getenv(o.name), o.max), nil
	case "HOSTNAME":
		v, err := os.Hostname()
		if err != nil {
			return o, fmt.Errorf("the kernel does not tell it: %w", err)
		}
		return constant(v, -1), nil
	}
	return o, nil
}

// must tells whether there has to be a parameter.
func (t takes) must() bool {
	switch t {
	case takesField, takesName, takesSpan, takesPath, takesState, takesOf, takesOperators, takesExpression, takesKey:
		return true
	}
	return false
}

// parsePart reads WQ or NQ, with the query or without, and which path is meant: the one that came, or the one that it was made into.
func (o *operator) parsePart(s string) error {
	query, which, _ := strings.Cut(s, ":")
	o.noQuery = query == "NQ"
	if query != "" && query != "NQ" && query != "WQ" {
		return fmt.Errorf("parameter %q: want WQ or NQ before the colon", s)
	}
	const original = "x-envoy-original-path"
	switch which {
	case "PATH":
		o.name, o.from, o.id = fieldOf(opRequestField, ":path")
	case "ORIG":
		o.name, o.from, o.id = fieldOf(opRequestField, original)
	case "", "ORIG_OR_PATH":
		o.name, o.from, o.id = fieldOf(opRequestField, original)
		o.alt, o.altFrom, o.altID = fieldOf(opRequestField, ":path")
	default:
		return fmt.Errorf("parameter %q: want ORIG, PATH or ORIG_OR_PATH after the colon", s)
	}
	return nil
}

// owned are the owners of metadata, as METADATA calls them.
var owned = map[string]Owner{"ROUTE": OfRoute, "VIRTUAL_HOST": OfVirtualHost, "CLUSTER": OfCluster, "UPSTREAM_HOST": OfEndpoint, "LISTENER": OfListener,
	"LISTENER_FILTER_CHAIN": OfChain}

// parseOwner reads whose metadata is meant, the namespace and the keys. DYNAMIC is what filters have noted.
func (o *operator) parseOwner(s string) error {
	of, path, _ := strings.Cut(s, ":")
	o.path = strings.Split(path, ":")
	if path == "" {
		return fmt.Errorf("parameter %q: want a namespace after the colon", s)
	}
	if of == "DYNAMIC" {
		return nil
	}
	o.kind = opConfigured
	owner, ok := owned[of]
	if !ok {
		return fmt.Errorf("parameter %q: there is no metadata of %s; want DYNAMIC, %s", s, of, list(owned))
	}
	o.owner = owner
	return nil
}

// parseCode reads how a status of gRPC is spelled.
func (o *operator) parseCode(s string) error {
	switch s {
	case "", "CAMEL_STRING":
		o.names = &camelCodes
	case "SNAKE_STRING":
		o.names = &snakeCodes
	case "NUMBER":
		o.kind = opGRPCNumber
	default:
		return fmt.Errorf("parameter %q: want CAMEL_STRING, SNAKE_STRING or NUMBER", s)
	}
	return nil
}

// constant is a value that never changes; an empty one says "-" everywhere, as Envoy has it for variables that are not set. It is no
// literal, since as a string of JSON's it is quoted like any other value.
func constant(v string, length int32) operator {
	if v == "" {
		v = "-"
	}
	return operator{kind: opConstant, text: []byte(bound(v, length)), max: -1}
}

// parseState reads NAME, NAME:PLAIN, NAME:TYPED or NAME:FIELD:FIELD'S NAME. Typed, which is what is meant by saying nothing, a string has
// its quotes. It has no fields, to Envoy either.
func (o *operator) parseState(s string) error {
	name, as, _ := strings.Cut(s, ":")
	as, field, _ := strings.Cut(as, ":")
	o.name = name
	switch {
	case as == "FIELD" && field != "":
		o.kind = opAbsent
	case as == "FIELD":
		return fmt.Errorf("parameter %q: want the name of a field after the colon", s)
	case field != "":
		return fmt.Errorf("parameter %q: want a field's name only after FIELD", s)
	case as == "" || as == "TYPED":
		o.quoted = true
	case as != "PLAIN":
		return fmt.Errorf("parameter %q: want %s:PLAIN, %s:TYPED or %s:FIELD:…", s, name, name, name)
	}
	return nil
}

// parseFields reads NAME or NAME?ALTERNATIVE.
func (o *operator) parseFields(s string) error {
	name, alt, found := strings.Cut(s, "?")
	if strings.Contains(alt, "?") {
		return fmt.Errorf("parameter %q: at most one alternative after ?", s)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;\"/[]={}`, c) >= 0 {
			return fmt.Errorf("parameter %q: %q cannot be in a field's name", s, c)
		}
	}
	o.name, o.from, o.id = fieldOf(o.kind, name)
	if found {
		o.alt, o.altFrom, o.altID = fieldOf(o.kind, alt)
	}
	return nil
}

// fieldOf says where a name is found: HTTP/2's pseudo fields are parts of the head.
func fieldOf(k kind, name string) (string, field, http.ID) {
	name = strings.ToLower(name)
	from := fieldNamed
	switch {
	case name == "":
		from = fieldNone
	case k == opRequestField:
		switch name {
		case ":method":
			from = fieldMethod
		case ":scheme":
			from = fieldScheme
		case ":authority", "host":
			from = fieldAuthority
		case ":path":
			from = fieldPath
		}
	case k == opResponseField && name == ":status":
		from = fieldStatus
	}
	return name, from, http.Lookup(name)
}

func list[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
