package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// known refuses names of attributes that nobody has. Envoy takes them, and every expression with one fails each time that it is asked.
func known(e ast.Expr) error {
	if path := names(e); path != nil {
		return knownPath(path, e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly())
	}
	switch e.Kind() {
	case ast.SelectKind:
		return known(e.AsSelect().Operand())
	case ast.CallKind:
		c := e.AsCall()
		if args := c.Args(); c.FunctionName() == overloads.Matches && args[len(args)-1].Kind() != ast.LiteralKind {
			// Whoever writes a field could have a pattern compiled that takes megabytes.
			return errors.New("expression: the pattern of matches is to be written out")
		}
		if c.IsMemberFunction() {
			if err := known(c.Target()); err != nil {
				return err
			}
		}
		return knownAll(c.Args())
	case ast.ListKind:
		return knownAll(e.AsList().Elements())
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			m := entry.AsMapEntry()
			if err := knownAll([]ast.Expr{m.Key(), m.Value()}); err != nil {
				return err
			}
		}
	}
	return nil
}

func knownAll(list []ast.Expr) error {
	for _, e := range list {
		if err := known(e); err != nil {
			return err
		}
	}
	return nil
}

// names are those of a path such as request.headers['x'], as far as it is spelled out; nil: it is no path.
func names(e ast.Expr) []string {
	switch e.Kind() {
	case ast.IdentKind:
		return []string{e.AsIdent()}
	case ast.SelectKind:
		if path := names(e.AsSelect().Operand()); path != nil {
			return append(path, e.AsSelect().FieldName())
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || c.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		if key, ok := c.Args()[1].AsLiteral().(types.String); ok {
			if path := names(c.Args()[0]); path != nil {
				return append(path, string(key))
			}
		}
	}
	return nil
}

// knownPath refuses messages as a whole, which have a text in Envoy that nobody reads, unless it is only asked whether they are there.
func knownPath(path []string, has bool) error {
	i := slices.IndexFunc(roots, func(r root) bool { return r.name == path[0] })
	if i < 0 || roots[i].any {
		return nil
	}
	r := &roots[i]
	if len(path) == 1 {
		if r.what == theMetadata {
			return messageError(path)
		}
		return nil
	}
	switch name := path[1]; {
	case slices.Contains(r.later, name):
		return fmt.Errorf("expression: %s.%s is not supported yet", r.name, name)
	case !slices.Contains(r.names, name):
		return fmt.Errorf("expression: %s has no %q; it has %s", r.name, name, strings.Join(r.names, ", "))
	case !has && strings.HasSuffix(name, "_metadata") && r.what == theConfiguration && (len(path) == 2 || path[2] != "filter_metadata"):
		return messageError(path[:2])
	}
	return nil
}

func messageError(path []string) error {
	return fmt.Errorf("expression: of %s there is only %[1]s.filter_metadata", strings.Join(path, "."))
}
