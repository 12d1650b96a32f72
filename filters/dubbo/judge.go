package dubbo

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
)

// judge says for explain which method a request calls. Its arguments are not looked at, nor whether the cluster that it goes to speaks Dubbo.
func (s *settings) judge(who match.Caller) filters.Judgement {
	verb := ""
	for _, v := range mayCall {
		if who.Headers([]config.HeaderMatch{{Name: ":method", String: config.StringMatch{Value: v}}}) {
			verb = v
		}
	}
	m, verbs := s.find([]byte(verb), who.Path())
	switch {
	case m != nil:
		return filters.Judgement{Words: "a call of " + m.words()}
	case !s.route:
		return filters.Judgement{Words: "no call: no method is called by it"}
	case len(verbs) > 0:
		return filters.Judgement{Words: "no method is called by this verb here: want " + strings.Join(verbs, ", "), Status: 405}
	}
	return filters.Judgement{Words: "no method is called by this path", Status: 404}
}

// words are the method as Java's sources have it.
func (m *method) words() string {
	i := &m.invocation
	types := make([]string, len(i.Types))
	for k, t := range i.Types {
		types[k] = t.Name()
	}
	words := fmt.Sprintf("%s.%s(%s)", i.Interface, i.Method, strings.Join(types, ", "))
	if i.Version != "" {
		words += " version " + i.Version
	}
	if i.Group != "" {
		words += " group " + i.Group
	}
	return words
}
