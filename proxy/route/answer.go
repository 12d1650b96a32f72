package route

import (
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// MatchAnswer tells whether a condition on the head of an answer holds.
func MatchAnswer(m *config.AnswerMatch, r *http.Response) bool {
	switch m.Kind {
	case config.AnswerHeaders:
		for i := range m.Headers {
			if !matchAnswerField(&m.Headers[i], r) {
				return false
			}
		}
		return true
	case config.AnswerAll:
		for i := range m.Of {
			if !MatchAnswer(&m.Of[i], r) {
				return false
			}
		}
		return true
	case config.AnswerEither:
		for i := range m.Of {
			if MatchAnswer(&m.Of[i], r) {
				return true
			}
		}
		return false
	case config.AnswerNot:
		return !MatchAnswer(&m.Of[0], r)
	}
	return true // AnswerAny
}

func matchAnswerField(m *config.HeaderMatch, r *http.Response) bool {
	if m.Name == ":status" {
		return matchValue(m, statusText(r.Status)) != m.Invert
	}
	return MatchField(m, &r.Header)
}

// statusTexts are all statuses of three digits, one behind the other: a condition on one needs no memory of its own.
var statusTexts = func() (b []byte) {
	for status := 100; status < 1000; status++ {
		b = strconv.AppendInt(b, int64(status), 10)
	}
	return b
}()

func statusText(status uint16) []byte {
	if status < 100 || status > 999 {
		return nil
	}
	at := 3 * int(status-100)
	return statusTexts[at : at+3 : at+3]
}
