package route

import (
	"bytes"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/wire/http"
)

// Input is what rules may look at. It is not written to while it is matched, but for what Match finds out for itself.
type Input struct {
	Request *http.Request
	// Random decides which requests a rule for a share of them meets. It should be the same for an exchange's whole life, so that
	// matching it again finds the same.
	Random uint64
	// Metadata and State are what filters have noted and set by now.
	Metadata config.Metadata
	State    []config.State

	// Presented and Validated tell whether the client has shown a certificate, and whether it ends with a root that is trusted.
	Presented, Validated bool

	path []byte // as rules see it: without query, and without parameters if those are ignored
	room []byte // for a path without parameters
	// texts are what a matcher looked at and is nowhere in one piece.
	texts []byte
}

// Reset has in look at another request.
func (in *Input) Reset(r *http.Request, random uint64) {
	*in = Input{Request: r, Random: random, room: in.room[:0], texts: in.texts[:0]}
}

// matches tells whether a request is what a rule asks for: the index only leaves out rules of which this would say no.
func matches(m *config.Match, in *Input) bool { return judge(m, in) == missNothing }

// miss is the first thing that a rule asks for and a request is not: what it is, and in the bits above which one, where a rule has a list of
// them. It is a number, so that to say which costs no more than to say that there is one; explain puts it into words.
type miss uint32

// What a rule may ask for, in the order in which it is looked at.
const (
	missNothing miss = iota
	missPath
	missHeader
	missShare
	missGRPC
	missPresented
	missValidated
	missQuery
	missCookie
	missMetadata
	missState
)

// missOf is the i-th of a list.
func missOf(what miss, i int) miss { return what | miss(i)<<8 }

// parts are what it is that is missing, and which of a list.
func (m miss) parts() (what miss, at int) { return m & 0xff, int(m >> 8) }

// judge is the one meaning of a rule: serving and explain both ask it.
func judge(m *config.Match, in *Input) miss {
	if !matchPath(m, in) {
		return missPath
	}
	for i := range m.Headers {
		if !MatchHeader(&m.Headers[i], in.Request) {
			return missOf(missHeader, i)
		}
	}
	if m.Also == nil {
		return missNothing
	}
	return judgeConditions(m.Also, in)
}

// matchPath tells whether the path is what a rule asks for. The query never counts, and a request without a path (CONNECT) meets no rule
// for a path, as in Envoy.
func matchPath(m *config.Match, in *Input) bool {
	path := in.path
	switch {
	case m.Kind == config.PathConnect:
		return in.Request.IsConnect()
	case len(path) == 0:
		return false
	case m.Kind == config.PathRegex:
		return match.HasPrefix(path, m.Path, true) && m.Regex.Match(path[len(m.Path):])
	case !match.HasPrefix(path, m.Path, m.CaseSensitive):
		return false
	}
	switch m.Kind {
	case config.PathPrefix:
		return true
	case config.PathExact:
		return len(path) == len(m.Path)
	default: // PathSeparatedPrefix
		return len(path) == len(m.Path) || path[len(m.Path)] == '/'
	}
}

// bare is a path without query and fragment. A codec lets no fragment in; were one there, it would not hide the path before it.
func bare(path []byte) []byte {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if i := bytes.IndexByte(path, '#'); i >= 0 {
		path = path[:i]
	}
	return path
}

// ignoreParameters takes what follows a semicolon out of each segment of the path.
func (in *Input) ignoreParameters() {
	if bytes.IndexByte(in.path, ';') < 0 {
		return
	}
	in.room = in.room[:0]
	skip := false
	for _, c := range in.path {
		if skip = c == ';' || skip && c != '/'; !skip {
			in.room = append(in.room, c)
		}
	}
	in.path = in.room
}

// MatchHeaders tells whether all conditions hold.
func MatchHeaders(list []config.HeaderMatch, r *http.Request) bool {
	for i := range list {
		if !MatchHeader(&list[i], r) {
			return false
		}
	}
	return true
}

// MatchHeader tells whether a condition on a header holds. Of several fields with one name each is judged by itself: one that is what
// is asked for is enough, and inverted, one is enough to fail. A header that is missing is not judged at all, so only a condition on
// its absence holds then, unless a missing one is to count as empty. Envoy 1.40 was seen to do all of this.
func MatchHeader(m *config.HeaderMatch, r *http.Request) bool {
	if http.IsPseudo(m.Name) {
		v := r.Pseudo(m.Name)
		if len(v) == 0 {
			return matchMissing(m)
		}
		return matchValue(m, v) != m.Invert
	}
	return MatchField(m, &r.Header)
}

// MatchField is MatchHeader for a block of fields by itself, as of a response.
func MatchField(m *config.HeaderMatch, h *http.Header) bool {
	id := http.Lookup(m.Name)
	i := h.Find(id, m.Name, 0)
	if i < 0 {
		return matchMissing(m)
	}
	for ; i >= 0; i = h.Find(id, m.Name, i+1) {
		if matchValue(m, h.Value(i)) {
			return !m.Invert
		}
	}
	return m.Invert
}

func matchMissing(m *config.HeaderMatch) bool {
	switch {
	case m.MissingEmpty:
		return matchValue(m, nil) != m.Invert
	case m.Present:
		return m.Invert
	}
	return false
}

func matchValue(m *config.HeaderMatch, value []byte) bool {
	switch {
	case m.Present:
		return true
	case m.Range != nil:
		n, ok := parseInt(value)
		return ok && m.Range.Start <= n && n < m.Range.End
	}
	return match.String(&m.String, value)
}

// parseInt reads a decimal number with an optional sign, without making an error of what is none: peers choose what comes here.
func parseInt(b []byte) (n int64, ok bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	// Counted downwards, since the smallest number has no positive twin.
	const smallest = -1 << 63
	for _, c := range b {
		d := int64(c - '0')
		if c-'0' > 9 || n < smallest/10 || n*10 < smallest+d {
			return 0, false
		}
		n = n*10 - d
	}
	if negative {
		return n, true
	}
	return -n, n != smallest
}
