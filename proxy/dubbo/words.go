package dubbo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// serviceWords are why a call is none of a service's.
func (q *question) serviceWords(m miss, s *config.DubboService) string {
	switch m {
	case missInterface:
		return fmt.Sprintf("interface: want %s, is %s", route.Quoted(s.Interface), route.Quoted(q.call.Path))
	case missVersion:
		return fmt.Sprintf("version: want %s, is %s", route.Quoted(s.Version), route.Quoted(q.call.Version))
	}
	return fmt.Sprintf("group: want %s, %s", route.Quoted(s.Group), q.given(q.attachment("group")))
}

// words are why a call is not what a route asks for.
func (q *question) words(m miss, r *config.DubboRoute) string {
	what, i := m.parts()
	switch what {
	case missName:
		return "the call names no method"
	case missAttachment:
		a := &r.Attachments[i]
		return fmt.Sprintf("attachment %s: want it to %s, %s", a.Name, route.HeaderWords(a), q.given(q.attachment(a.Name)))
	case missService:
		group, _ := q.attachment("group")
		return fmt.Sprintf("service: want it to %s, is %s, or %s", texts(r.More.Services), route.Quoted(q.call.Path), route.Quoted(q.call.Service(group)))
	case missAttached:
		a := &r.More.Attachments[i]
		return fmt.Sprintf("attachment %s: want it to %s, %s", a.Name, valueWords(&a.Value), q.given(q.attachment(a.Name)))
	case missMethod:
		name, _, is := q.called()
		return fmt.Sprintf("method: want it to %s, %s", route.StringWords(r.Method), q.given(name, is))
	case missArgument:
		a := &r.Arguments[i]
		return fmt.Sprintf("argument %d: want it to %s, %s", a.Index, argumentWords(a), q.argumentGiven(a.Index))
	case missCount:
		_, n, _ := q.called()
		return fmt.Sprintf("arguments: want %d, there are %d", *r.More.Argc, n)
	}
	a := &r.More.Arguments[i]
	return fmt.Sprintf("argument %d: want it to %s, %s", a.Index, parameterWords(a), q.argumentGiven(a.Index))
}

func (q *question) given(text []byte, is bool) string {
	if !is {
		return "is not there"
	}
	return "is " + route.Quoted(text)
}

// argumentGiven is what an argument is, and of which type.
func (q *question) argumentGiven(index uint32) string {
	v, is := q.argument(index)
	if !is {
		return "is not there"
	}
	words := "is "
	switch v.Kind {
	case wire.Null:
		words += "null"
	case wire.Other:
		words += "no single value"
	case wire.Text:
		words += route.Quoted(v.Text)
	default:
		words += string(q.call.Written(&v))
	}
	if name := q.typeOf(index); name != "" {
		words += ", of type " + name
	}
	return words
}

// typeOf is the type that an argument is declared as, as Java's sources have it; empty: nobody says.
func (q *question) typeOf(index uint32) string {
	if q.within {
		v, _ := q.call.TargetTypeName(int(index))
		return v
	}
	return q.call.TypeName(int(index))
}

// inWords is a route as a person would say it, in one line.
func inWords(r *config.DubboRoute) string {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if r.Method != nil {
		say("method must %s", route.StringWords(r.Method))
	}
	for i := range r.Arguments {
		say("argument %d must %s", r.Arguments[i].Index, argumentWords(&r.Arguments[i]))
	}
	for i := range r.Attachments {
		say("attachment %s must %s", r.Attachments[i].Name, route.HeaderWords(&r.Attachments[i]))
	}
	if m := r.More; m != nil {
		if len(m.Services) > 0 {
			say("service must %s", texts(m.Services))
		}
		for i := range m.Attachments {
			say("attachment %s must %s", m.Attachments[i].Name, valueWords(&m.Attachments[i].Value))
		}
		if m.Argc != nil {
			say("arguments: %d", *m.Argc)
		}
		for i := range m.Arguments {
			say("argument %d must %s", m.Arguments[i].Index, parameterWords(&m.Arguments[i]))
		}
	}
	if len(list) == 0 {
		return "every call"
	}
	return strings.Join(list, ", ")
}

// nameWords are the calls that a service is for.
func nameWords(s *config.DubboService) string {
	words := s.Interface
	if s.Version != "" {
		words += " version " + s.Version
	}
	if s.Group != "" {
		words += " group " + s.Group
	}
	return words
}

func argumentWords(a *config.DubboArgument) string {
	switch {
	case a.Range != nil:
		return fmt.Sprintf("be a number from %d up to and without %d", a.Range.Start, a.Range.End)
	case a.Exact != "":
		return "be " + route.Quoted(a.Exact)
	}
	return "be there, and neither null nor more than a single value"
}

func parameterWords(a *config.DubboParameter) string {
	var list []string
	if a.Type != "" {
		list = append(list, "be of type "+a.Type)
	}
	if a.Value != nil {
		list = append(list, valueWords(a.Value))
	}
	if len(list) == 0 {
		return "be there"
	}
	return strings.Join(list, " and ")
}

func valueWords(v *config.DubboValue) string {
	words := ""
	switch v.Kind {
	case config.DubboNumbers:
		list := make([]string, len(v.Numbers))
		for i, n := range v.Numbers {
			if list[i] = fmt.Sprintf("be the number %v", n.From); n.From != n.To {
				list[i] = fmt.Sprintf("be a number from %v up to and without %v", n.From, n.To)
			}
		}
		words = either(list)
	case config.DubboBooleans:
		list := make([]string, len(v.Booleans))
		for i, is := range v.Booleans {
			list[i] = fmt.Sprintf("be the boolean %t", is)
		}
		words = either(list)
	default:
		words = texts(v.Texts)
	}
	if v.None {
		return "do none of these: " + words
	}
	return words
}

func texts(list []config.StringMatch) string {
	words := make([]string, len(list))
	for i := range list {
		words[i] = route.StringWords(&list[i])
	}
	return either(words)
}

// mostWords bounds how many patterns are said.
const mostWords = 8

func either(list []string) string {
	if left := len(list) - mostWords; left > 0 {
		list = append(slices.Clone(list[:mostWords]), fmt.Sprintf("%d more", left))
	}
	return strings.Join(list, " or ")
}
