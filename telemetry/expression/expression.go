package expression

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weftmesh/weft/telemetry/accesslog"
)

// What an expression may be at most, and what it may cost, in the library's units: about one for each step, and for each ten bytes that
// are looked at. The longest head that is read is looked at several times within it.
const (
	maxText  = 16 << 10 // characters
	maxDepth = 64
	maxCost  = 1 << 20

	maxPattern = 4096 // steps of a compiled pattern
)

// Options switch on what may make values larger than what they are made of. Envoy has all of them off, too.
type Options struct {
	Conversion bool // string(x)
	Concat     bool // + of texts and bytes
}

// Expression is compiled and may be asked by any number of loops at a time.
type Expression struct {
	program cel.Program
}

// Compile reads an expression. That it asks for nothing that is not there is seen here, as far as its text tells.
func Compile(text string, o Options) (*Expression, error) {
	if text == "" {
		return nil, errors.New("expression: is empty")
	}
	e, err := environment(o)
	if err != nil {
		return nil, fmt.Errorf("expression: the library's own words are not understood: %w", err)
	}
	ast, issues := e.Compile(text)
	if issues.Err() != nil {
		return nil, plain(issues)
	}
	if err := known(ast.NativeRep().Expr()); err != nil {
		return nil, err
	}
	p, err := e.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize)) // patterns are compiled here, once
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	return &Expression{program: p}, nil
}

// plain takes the pictures of where an error is out of the library's text, and leaves the first one with its line and column.
func plain(issues *cel.Issues) error {
	first := issues.Errors()[0]
	text, _, _ := strings.Cut(first.Message, "\n")
	return fmt.Errorf("expression: %s at line %d, column %d", text, first.Location.Line(), first.Location.Column()+1)
}

// environments are made when a configuration first uses one, and shared by all expressions: a process without expressions pays nothing
// for the library's tables.
var environments [4]struct {
	once sync.Once
	made *cel.Env
	err  error
}

func environment(o Options) (*cel.Env, error) {
	i := 0
	if o.Conversion {
		i |= 1
	}
	if o.Concat {
		i |= 2
	}
	e := &environments[i]
	e.once.Do(func() { e.made, e.err = makeEnvironment(o) })
	return e.made, e.err
}

// makeEnvironment has the functions that Envoy has: no loops, and nothing that joins lists. What + adds is declared one by one, because the
// library's own + asks the values, whose types are mostly known only then, and would join texts whatever is declared.
func makeEnvironment(o Options) (*cel.Env, error) {
	less := env.NewLibrarySubset().AddIncludedMacros("has").AddExcludedFunctions(env.NewFunction("_+_"))
	if !o.Conversion {
		less.AddExcludedFunctions(env.NewFunction("string"))
	}
	plus := []cel.FunctionOpt{
		sum("add_int64", cel.IntType, cel.IntType, cel.IntType),
		sum("add_uint64", cel.UintType, cel.UintType, cel.UintType),
		sum("add_double", cel.DoubleType, cel.DoubleType, cel.DoubleType),
		sum("add_duration_duration", cel.DurationType, cel.DurationType, cel.DurationType),
		sum("add_duration_timestamp", cel.DurationType, cel.TimestampType, cel.TimestampType),
		sum("add_timestamp_duration", cel.TimestampType, cel.DurationType, cel.TimestampType),
	}
	if o.Concat {
		plus = append(plus, sum("add_string", cel.StringType, cel.StringType, cel.StringType), sum("add_bytes", cel.BytesType, cel.BytesType, cel.BytesType))
	}
	options := []cel.EnvOption{cel.StdLib(cel.StdLibSubset(less)), cel.Function("_+_", plus...), cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxText), cel.ParserRecursionLimit(maxDepth), cel.RegexProgramSizeLimit(maxPattern)}
	for i := range roots {
		options = append(options, cel.Variable(roots[i].name, cel.DynType))
	}
	return cel.NewCustomEnv(options...)
}

func sum(id string, a, b, result *cel.Type) cel.FunctionOpt {
	return cel.Overload(id, []*cel.Type{a, b}, result, cel.BinaryBinding(func(x, y ref.Val) ref.Val { return x.(traits.Adder).Add(y) }))
}

// Holds tells whether the expression is true of an entry. One that fails, or whose value is no truth, is not.
func (x *Expression) Holds(e *accesslog.Entry) bool {
	v, _, err := x.program.Eval(attributes{e})
	return err == nil && v == types.True
}

// Value is the expression's value of an entry in Go's types: bool, int64, uint64, float64, string, []byte, time.Duration, time.Time, nil,
// []any and map[string]any; a *accesslog.Opaque is all else.
func (x *Expression) Value(e *accesslog.Entry) (any, bool) {
	v, _, err := x.program.Eval(attributes{e})
	if err != nil {
		return nil, false
	}
	return native(v, 0), true
}

// attributes are what an expression may ask of an entry, by the names of its roots.
type attributes struct{ entry *accesslog.Entry }

func (a attributes) ResolveName(name string) (any, bool) {
	for i := range roots {
		if roots[i].name == name {
			return object{a.entry, roots[i].what}, true
		}
	}
	return nil, false
}

func (a attributes) Parent() cel.Activation { return nil }

var _ ref.Val = object{}
