package dubbo

import (
	"strings"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"

	"github.com/weftmesh/weft/config"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// encoded is a body as dubbo-go-hessian2 writes it.
func encoded(t testing.TB, values ...any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return e.Buffer()
}

func exact(texts ...string) (out []config.StringMatch) {
	for _, s := range texts {
		out = append(out, config.StringMatch{Kind: config.StringExact, Value: s})
	}
	return out
}

// routeOf is a table of one route.
func routeOf(more *config.DubboMore) []config.DubboService {
	return []config.DubboService{{Interface: "*", Routes: []config.DubboRoute{{More: more, TotalWeight: 1}}}}
}

// Each condition by itself, of a call and of the generic one that stands for it, which are the same to all of them.
func TestMore(t *testing.T) {
	argc := func(n uint32) *config.DubboMore { return &config.DubboMore{Argc: &n} }
	at := func(i uint32, kind string, v *config.DubboValue) *config.DubboMore {
		return &config.DubboMore{Arguments: []config.DubboParameter{{Index: i, Type: kind, Value: v}}}
	}
	texts := func(none bool, list ...string) *config.DubboValue {
		return &config.DubboValue{Texts: exact(list...), None: none}
	}
	numbers := func(none bool, list ...config.DubboNumber) *config.DubboValue {
		return &config.DubboValue{Kind: config.DubboNumbers, Numbers: list, None: none}
	}
	booleans := func(none bool, list ...bool) *config.DubboValue {
		return &config.DubboValue{Kind: config.DubboBooleans, Booleans: list, None: none}
	}
	attached := func(name string, v *config.DubboValue) *config.DubboMore {
		return &config.DubboMore{Attachments: []config.DubboAttachment{{Name: name, Value: *v}}}
	}
	service := func(list ...string) *config.DubboMore { return &config.DubboMore{Services: exact(list...)} }
	attachments := map[any]any{"group": "blue", "tries": int32(3), "list": []any{"x"}}
	plain := encoded(t, "2.0.2", "a.Greeter", "1.0.0", "greet", "Ljava/lang/String;IZDLjava/util/List;Ljava/lang/String;", "ann", int32(7), true, 2.5, []any{"x"}, nil, attachments)
	generic := encoded(t, "2.0.2", "a.Greeter", "1.0.0", "$invoke", "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;", "greet", []string{"java.lang.String", "int", "boolean", "double", "java.util.List", "java.lang.String"}, []any{"ann", int32(7), true, 2.5, []any{"x"}, nil}, attachments)
	for name, one := range map[string]struct {
		more *config.DubboMore
		is   bool
	}{
		"nothing":                              {&config.DubboMore{}, true},
		"its interface":                        {service("b", "a.Greeter"), true},
		"its service":                          {service("providers:a.Greeter:1.0.0:blue"), true},
		"a service of another group":           {service("providers:a.Greeter:1.0.0:green", "providers:a.Greeter:1.0.0:"), false},
		"so many arguments":                    {argc(6), true},
		"so many and no more":                  {argc(7), false},
		"an argument that is there":            {at(5, "", nil), true},
		"one that is not":                      {at(6, "", nil), false},
		"of a type":                            {at(4, "java.util.List", nil), true},
		"of a primitive type":                  {at(1, "int", nil), true},
		"of another type":                      {at(1, "long", nil), false},
		"a text":                               {at(0, "java.lang.String", texts(false, "bob", "ann")), true},
		"another text":                         {at(0, "", texts(false, "bob")), false},
		"none of the texts":                    {at(0, "", texts(true, "bob")), true},
		"one of those that it must not be":     {at(0, "", texts(true, "bob", "ann")), false},
		"a number's text":                      {at(1, "", texts(false, "7")), true},
		"null is no text":                      {at(5, "", texts(false, "")), false},
		"null is none of none":                 {at(5, "", texts(true, "x")), false},
		"a list neither":                       {at(4, "", texts(true, "x")), false},
		"what is not there neither":            {at(9, "", texts(true, "x")), false},
		"a number":                             {at(1, "int", numbers(false, config.DubboNumber{From: 9, To: 9}, config.DubboNumber{From: 7, To: 7})), true},
		"a range":                              {at(1, "", numbers(false, config.DubboNumber{From: 7, To: 8})), true},
		"the end of a range":                   {at(1, "", numbers(false, config.DubboNumber{From: 6, To: 7})), false},
		"not in a range":                       {at(1, "", numbers(true, config.DubboNumber{From: 6, To: 7})), true},
		"a broken number":                      {at(3, "double", numbers(false, config.DubboNumber{From: 2.5, To: 2.5})), true},
		"a text is no number":                  {at(0, "", numbers(true, config.DubboNumber{From: 1, To: 1})), false},
		"a boolean":                            {at(2, "boolean", booleans(false, true)), true},
		"another boolean":                      {at(2, "", booleans(false, false)), false},
		"not the other":                        {at(2, "", booleans(true, false)), true},
		"a number is no boolean":               {at(1, "", booleans(true, true)), false},
		"an attachment":                        {attached("group", texts(false, "green", "blue")), true},
		"an attachment that is a number":       {attached("tries", texts(false, "3")), true},
		"none of an attachment":                {attached("group", texts(true, "green")), true},
		"an attachment that is a list":         {attached("list", texts(true, "green")), false},
		"none of one that is not there":        {attached("gone", texts(true, "green")), false},
		"all have to hold, and one does not":   {&config.DubboMore{Services: exact("a.Greeter"), Arguments: []config.DubboParameter{{Index: 0}, {Index: 9}}}, false},
		"the first attachment, not the second": {&config.DubboMore{Attachments: []config.DubboAttachment{{Name: "group", Value: *texts(false, "blue")}, {Name: "tries", Value: *texts(false, "4")}}}, false},
	} {
		var c wire.Call
		for spelling, b := range map[string][]byte{"plain": plain, "generic": generic} {
			if err := c.Read(wire.Hessian2, b); err != nil {
				t.Fatal(err)
			}
			if found, err := Match(routeOf(one.more), &c); (found != nil) != one.is || err != nil {
				t.Errorf("%s, %s: %v, %v: want %v", name, spelling, found != nil, err, one.is)
			}
		}
	}
}

// A generic call is found by the method that it stands for and what that gets, and, by its own name, as with Envoy, or by its three arguments, as in ASM's rules, by its own.
func TestGenericCalls(t *testing.T) {
	body := encoded(t, "2.0.2", "a.Greeter", "1.0.0", "$invoke", "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;", "greet", []string{"java.lang.String"}, []any{"ann"}, map[any]any{})
	three, one := uint32(3), uint32(1)
	text := func(index uint32, is string) []config.DubboParameter {
		return []config.DubboParameter{{Index: index, Type: "java.lang.String", Value: &config.DubboValue{Kind: config.DubboTexts, Texts: exact(is)}}}
	}
	for name, one := range map[string]struct {
		route config.DubboRoute
		is    bool
	}{
		"its method":                   {config.DubboRoute{Method: &exact("greet")[0], Arguments: []config.DubboArgument{{Exact: "ann"}}}, true},
		"its method, another argument": {config.DubboRoute{Method: &exact("greet")[0], Arguments: []config.DubboArgument{{Exact: "greet"}}}, false},
		"$invoke":                      {config.DubboRoute{Method: &exact("$invoke")[0], Arguments: []config.DubboArgument{{Exact: "greet"}}}, true},
		"$invoke, another argument":    {config.DubboRoute{Method: &exact("$invoke")[0], Arguments: []config.DubboArgument{{Exact: "ann"}}}, false},
		"another method":               {config.DubboRoute{Method: &exact("part")[0]}, false},
		"three arguments":              {config.DubboRoute{More: &config.DubboMore{Argc: &three, Arguments: text(0, "greet")}}, true},
		"three, of another method":     {config.DubboRoute{More: &config.DubboMore{Argc: &three, Arguments: text(0, "part")}}, false},
		"one argument":                 {config.DubboRoute{More: &config.DubboMore{Argc: &one, Arguments: text(0, "ann")}}, true},
		"one, which is the method":     {config.DubboRoute{More: &config.DubboMore{Argc: &one, Arguments: text(0, "greet")}}, false},
	} {
		var c wire.Call
		if err := c.Read(wire.Hessian2, body); err != nil {
			t.Fatal(err)
		}
		if found, err := Match(routes(one.route), &c); (found != nil) != one.is || err != nil {
			t.Errorf("%s: %v, %v: want %v", name, found != nil, err, one.is)
		}
	}
}

func routes(r config.DubboRoute) []config.DubboService {
	return []config.DubboService{{Interface: "*", Routes: []config.DubboRoute{r}}}
}

// BenchmarkMatch is what conditions on three arguments add to a call's reading.
func BenchmarkMatch(b *testing.B) {
	body := encoded(b, "2.0.2", "org.example.Greeter", "1.0.0", "greet", "Ljava/lang/String;IJ", strings.Repeat("weft", 250), int32(5), int64(7), map[any]any{"group": "blue", "interface": "org.example.Greeter", "path": "org.example.Greeter", "timeout": int32(3000)})
	generic := encoded(b, "2.0.2", "org.example.Greeter", "1.0.0", "$invoke", "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;", "greet", []string{"java.lang.String", "int", "long"}, []any{strings.Repeat("weft", 250), int32(5), int64(7)}, map[any]any{"generic": "true"})
	three := &config.DubboMore{Arguments: []config.DubboParameter{
		{Index: 0, Type: "java.lang.String", Value: &config.DubboValue{Texts: []config.StringMatch{{Kind: config.StringPrefix, Value: "weftweft"}}}},
		{Index: 1, Type: "int", Value: &config.DubboValue{Kind: config.DubboNumbers, Numbers: []config.DubboNumber{{From: 1, To: 10}}}},
		{Index: 2, Type: "long", Value: &config.DubboValue{Kind: config.DubboNumbers, Numbers: []config.DubboNumber{{From: 7, To: 7}}}},
	}}
	for _, one := range []struct {
		name  string
		body  []byte
		table []config.DubboService
	}{{"nothing", body, routeOf(nil)}, {"three arguments", body, routeOf(three)}, {"generic, nothing", generic, routeOf(nil)}, {"generic, three arguments", generic, routeOf(three)}} {
		b.Run(one.name, func(b *testing.B) {
			var c wire.Call
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Read(wire.Hessian2, one.body); err != nil {
					b.Fatal(err)
				}
				if found, err := Match(one.table, &c); found == nil || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
