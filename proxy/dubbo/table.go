package dubbo

import (
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// Match finds the route that a call takes, as Envoy 1.40's dubbo_proxy does: services in order, and the routes of each that the call is for; nil: there is none. An argument or an attachment that cannot
// be read meets no condition, and err says why once somebody has asked for it.
func Match(services []config.DubboService, c *wire.Call) (found *config.DubboRoute, err error) {
	q := question{call: c}
	for i := range services {
		s := &services[i]
		if q.judgeService(s) != missNothing {
			continue
		}
		for k := range s.Routes {
			if r := &s.Routes[k]; q.judge(r) == missNothing {
				return r, nil
			}
		}
	}
	return nil, q.wrong
}

// miss is the first thing that a service or a route asks for and a call is not: what it is, and in the bits above which one, where there is a list of them. It is a number, so that to say which costs no more than to say that there is
// one; explain puts it into words.
type miss uint32

// What may be asked for, in the order in which it is looked at.
const (
	missNothing miss = iota
	missInterface
	missVersion
	missGroup
	missName // the call names no method
	missAttachment
	missService
	missAttached // of config.DubboMore
	missMethod
	missArgument
	missCount
	missParameter // of config.DubboMore
)

// missOf is the i-th of a list.
func missOf(what miss, i int) miss { return what | miss(i)<<8 }

// parts are what it is that is missing, and which of a list.
func (m miss) parts() (what miss, at int) { return m & 0xff, int(m >> 8) }

// Unread finds the route of calls of which nothing is known: one that asks for nothing; nil: there is none.
func Unread(services []config.DubboService) *config.DubboRoute {
	for i := range services {
		s := &services[i]
		if s.Interface != "*" || s.Group != "" || s.Version != "" {
			continue
		}
		for k := range s.Routes {
			if r := &s.Routes[k]; r.Method == nil && len(r.Arguments) == 0 && len(r.Attachments) == 0 && r.More == nil {
				return r
			}
		}
	}
	return nil
}

// names tells whether a pattern is for an interface. What its star stands for is never empty.
func names(pattern string, path []byte) bool {
	switch {
	case pattern == "*":
		return len(path) > 0
	case strings.HasPrefix(pattern, "*"):
		return len(path) >= len(pattern) && string(path[len(path)-len(pattern)+1:]) == pattern[1:]
	case strings.HasSuffix(pattern, "*"):
		return len(path) >= len(pattern) && string(path[:len(pattern)-1]) == pattern[:len(pattern)-1]
	}
	return pattern == string(path)
}

// question is a call that conditions are asked about.
type question struct {
	call   *wire.Call
	wrong  error
	within bool // of a generic call, what is asked about is what it stands for
}

// attached tells whether an attachment is there and says that.
func (q *question) attached(name, want string) bool {
	v, is := q.attachment(name)
	return is && string(v) == want
}

// attachment is what an attachment says, as text.
func (q *question) attachment(name string) ([]byte, bool) {
	v, is, err := q.call.Attachment(name)
	if err != nil {
		q.wrong = err
	}
	if !is || err != nil || v.Kind == wire.Other || v.Kind == wire.Null {
		return nil, false
	}
	return q.call.Written(&v), true
}

// judgeService is the one meaning of a service, and judge that of a route: serving and explain both ask them.
func (q *question) judgeService(s *config.DubboService) miss {
	switch {
	case !names(s.Interface, q.call.Path):
		return missInterface
	case s.Version != "" && s.Version != string(q.call.Version):
		return missVersion
	case s.Group != "" && !q.attached("group", s.Group):
		return missGroup
	}
	return missNothing
}

func (q *question) judge(r *config.DubboRoute) miss {
	q.within = q.call.Generic()
	if len(q.call.Method) == 0 {
		return missName
	}
	for i := range r.Attachments {
		if !q.meetsAttachment(&r.Attachments[i]) {
			return missOf(missAttachment, i)
		}
	}
	if r.More != nil {
		if m := q.judgeAround(r.More); m != missNothing {
			return m
		}
	}
	m := q.judgeCalled(r)
	if m == missNothing || !q.within {
		return m
	}
	if own := r.Method != nil && match.String(r.Method, q.call.Method) || r.More != nil && r.More.Argc != nil && int(*r.More.Argc) == q.call.Parameters(); !own {
		return m
	}
	q.within = false
	return q.judgeCalled(r)
}

// judgeCalled asks for the method and the arguments: of a generic call those of what it stands for, and its own, as Envoy does, if a route asks for those by $invoke's name or by how many arguments that has.
func (q *question) judgeCalled(r *config.DubboRoute) miss {
	if !q.meetsMethod(r.Method) {
		return missMethod
	}
	for i := range r.Arguments {
		if !q.meetsArgument(&r.Arguments[i]) {
			return missOf(missArgument, i)
		}
	}
	if r.More != nil {
		return q.judgeMore(r.More)
	}
	return missNothing
}

func (q *question) meetsMethod(m *config.StringMatch) bool {
	if m == nil {
		return true
	}
	name, _, is := q.called()
	return is && match.String(m, name)
}

// called is the method that is asked about, and how many arguments it has.
func (q *question) called() (method []byte, arguments int, is bool) {
	if !q.within {
		return q.call.Method, q.call.Parameters(), true
	}
	method, arguments, err := q.call.Target()
	if err != nil {
		q.wrong = err
	}
	return method, arguments, err == nil
}

// argument is one of that.
func (q *question) argument(index uint32) (v wire.Value, is bool) {
	_, n, is := q.called()
	if !is || uint64(index) >= uint64(n) {
		return v, false
	}
	var err error
	if q.within {
		v, err = q.call.TargetArgument(int(index))
	} else {
		v, err = q.call.Argument(int(index))
	}
	if err != nil {
		q.wrong = err
	}
	return v, err == nil
}

func (q *question) meetsAttachment(m *config.HeaderMatch) bool {
	text, is := q.attachment(m.Name)
	return meets(m, text, is)
}

// meets tells whether an attachment, which is there or not, is what a condition wants.
func meets(m *config.HeaderMatch, text []byte, is bool) bool {
	switch {
	case m.Present:
		return is != m.Invert
	case !is && !m.MissingEmpty:
		return false // whatever Invert says, as with headers
	case m.Range != nil:
		n, whole := number(text)
		return (whole && n >= m.Range.Start && n < m.Range.End) != m.Invert
	}
	return match.String(&m.String, text) != m.Invert
}

func (q *question) meetsArgument(a *config.DubboArgument) bool {
	v, is := q.argument(a.Index)
	if !is {
		return false
	}
	if v.Kind == wire.Null || v.Kind == wire.Other {
		return false
	}
	text := q.call.Written(&v)
	if a.Range != nil {
		n, whole := number(text)
		return whole && n >= a.Range.Start && n < a.Range.End
	}
	return a.Exact == "" || string(text) == a.Exact
}

// number reads a whole number. The least of all is none: nothing that is written by hand is near it.
func number(text []byte) (n int64, whole bool) {
	const most = 19 // digits of an int64
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) == 0 || len(text) > most {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (1<<63-1-int64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}
