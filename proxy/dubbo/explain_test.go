package dubbo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// The walk says the first thing of each route that fails, and finds what Match does.
func TestWalk(t *testing.T) {
	argc := uint32(2)
	header := func(name, is string) []config.HeaderMatch {
		return []config.HeaderMatch{{Name: name, String: exact(is)[0]}}
	}
	search, invoke := &exact("search")[0], &exact("$invoke")[0]
	table := &config.DubboRoutes{Name: "shop", Services: []config.DubboService{
		{Interface: "a.Other", Routes: []config.DubboRoute{{}}},
		{Interface: "a.Shop", Version: "2.0.0", Routes: []config.DubboRoute{{}}},
		{Interface: "a.*", Group: "green", Routes: []config.DubboRoute{{}}},
		{Interface: "a.Shop", Version: "1.0.0", Routes: []config.DubboRoute{
			{Attachments: header("canary", "yes"), Method: search},
			{Method: &exact("buy")[0]},
			{Method: search, Arguments: []config.DubboArgument{{Index: 1, Range: &config.Int64Range{Start: 7, End: 9}}}},
			{Method: search, More: &config.DubboMore{Services: exact("providers:a.Shop:1.0.0:green")}},
			{Method: search, More: &config.DubboMore{Attachments: []config.DubboAttachment{{Name: "user", Value: config.DubboValue{Texts: exact("ann"), None: true}}}}},
			{Method: invoke, Arguments: []config.DubboArgument{{Index: 0, Exact: "buy"}}},
			{Method: search, More: &config.DubboMore{Arguments: []config.DubboParameter{{Index: 1, Type: "long"}}}},
			{Method: search, More: &config.DubboMore{Argc: &argc, Arguments: []config.DubboParameter{{Index: 0, Type: "java.lang.String", Value: &config.DubboValue{Texts: exact("tea", "milk")}}}}},
			{Method: search},
		}},
		{Interface: "*", Routes: []config.DubboRoute{{}}},
	}}
	ask := Asked{Interface: "a.Shop", Version: "1.0.0", Group: "blue", Method: "search", Arguments: []Argument{{Type: "java.lang.String", Value: "tea"}, {Type: "int", Value: "5"}}, Attachments: []config.Field{{Name: "user", Value: "ann"}}}
	coffee, buy, none, null, generic, many := ask, ask, ask, ask, ask, ask
	coffee.Arguments = []Argument{{Type: "java.lang.String", Value: "coffee"}, {Type: "int", Value: "5"}}
	buy.Method = "buy"
	none.Interface, none.Version = "b.Shop", ""
	null.Arguments = []Argument{{Type: "java.lang.String", Null: true}, {Type: "java.util.List<java.lang.String>", Value: `["x"]`}}
	generic.Method = "$invoke"
	generic.Arguments = []Argument{{Type: "java.lang.String", Value: "search"}, {Type: "java.lang.String[]", Value: `["java.lang.String", "int"]`}, {Type: "java.lang.Object[]", Value: `["tea", 5]`}}
	many.Arguments = append(ask.Arguments[:2:2], Argument{Type: "java.math.BigDecimal", Value: "1.5"})
	for name, one := range map[string]struct {
		ask            Asked
		service, route int
		why            []string
	}{
		"a call": {ask, 3, 7, []string{`interface: want "a.Other", is "a.Shop"`, `version: want "2.0.0", is "1.0.0"`, `group: want "green", is "blue"`, `attachment canary: want it to be "yes", is not there`, `method: want it to be "buy", is "search"`,
			`argument 1: want it to be a number from 7 up to and without 9, is 5, of type int`, `service: want it to be "providers:a.Shop:1.0.0:green", is "a.Shop", or "providers:a.Shop:1.0.0:blue"`,
			`attachment user: want it to do none of these: be "ann", is "ann"`, `method: want it to be "$invoke", is "search"`, `argument 1: want it to be of type long, is 5, of type int`}},
		"another text":    {coffee, 3, 8, []string{`argument 0: want it to be of type java.lang.String and be "tea" or be "milk", is "coffee", of type java.lang.String`}},
		"another method":  {buy, 3, 1, nil},
		"no own service":  {none, 4, 0, []string{`interface: want "a.Shop", is "b.Shop"`}},
		"null":            {null, 3, 8, []string{`is null, of type java.lang.String`, `argument 1: want it to be a number from 7 up to and without 9, is no single value, of type java.util.List`}},
		"a generic call":  {generic, 3, 7, []string{`method: want it to be "buy", is "search"`, `argument 0: want it to be "buy", is "search", of type java.lang.String`, `argument 1: want it to be of type long, is 5, of type int`}},
		"three arguments": {many, 3, 8, []string{`arguments: want 2, there are 3`}},
	} {
		body, err := one.ask.body()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var call wire.Call
		if err := call.Read(wire.Hessian2, body); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w, found, _ := walk(table, &call)
		text := fmt.Sprintf("%+v", w)
		if w.Service != one.service || w.Route != one.route {
			t.Errorf("%s: %d, %d: want %d, %d\n%s", name, w.Service, w.Route, one.service, one.route, text)
		}
		for _, why := range one.why {
			if !strings.Contains(text, why) {
				t.Errorf("%s: no %q in\n%s", name, why, text)
			}
		}
		if got, _ := Match(table.Services, &call); got != found {
			t.Errorf("%s: the walk and Match differ", name)
		}
	}
	for _, one := range []struct {
		argument Argument
		want     string
	}{
		{Argument{Type: "int", Value: "x"}, "argument 0: "}, {Argument{Type: "int", Null: true}, "argument 0: int is never null: want TYPE=VALUE"}, {Argument{Type: "Strin", Value: "x"}, `argument 0: "Strin" is no Java type`},
	} {
		if _, err := (&Asked{Interface: "a", Method: "b", Arguments: []Argument{one.argument}}).body(); err == nil || !strings.HasPrefix(err.Error(), one.want) {
			t.Errorf("%+v: %v: want %s", one.argument, err, one.want)
		}
	}
}
