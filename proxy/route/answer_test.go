package route

import (
	"testing"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

func TestMatchAnswer(t *testing.T) {
	status := func(s string) config.AnswerMatch {
		return config.AnswerMatch{Kind: config.AnswerHeaders, Headers: []config.HeaderMatch{{Name: ":status", String: config.StringMatch{Kind: config.StringExact, Value: s}}}}
	}
	field := config.AnswerMatch{Kind: config.AnswerHeaders, Headers: []config.HeaderMatch{{Name: "x-a", Present: true}}}
	other := config.AnswerMatch{Kind: config.AnswerHeaders, Headers: []config.HeaderMatch{{Name: ":status", Invert: true, String: config.StringMatch{Kind: config.StringExact, Value: "404"}}}}
	of := func(k config.AnswerMatchKind, list ...config.AnswerMatch) config.AnswerMatch {
		return config.AnswerMatch{Kind: k, Of: list}
	}
	var r http.Response
	r.Reset()
	r.Status = 404
	r.AddNamed([]byte("x-a"), []byte("1"))
	for _, c := range []struct {
		match config.AnswerMatch
		want  bool
	}{
		{config.AnswerMatch{}, true},
		{status("404"), true},
		{status("40"), false},
		{other, false},
		{field, true},
		{of(config.AnswerNot, field), false},
		{of(config.AnswerAll, field, status("404")), true},
		{of(config.AnswerAll, field, status("200")), false},
		{of(config.AnswerEither, status("200"), field), true},
		{of(config.AnswerEither, status("200"), of(config.AnswerNot, field)), false},
	} {
		if got := MatchAnswer(&c.match, &r); got != c.want {
			t.Errorf("%+v: %v", c.match, got)
		}
		if n := testing.AllocsPerRun(10, func() { MatchAnswer(&c.match, &r) }); n != 0 {
			t.Errorf("%+v costs %v allocations", c.match, n)
		}
	}
}
