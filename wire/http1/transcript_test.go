package http1

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

// A transcript is what a decoder made of some bytes: one line for each event, pieces of a body joined, then what was wrong or left.
// However the bytes are cut, it must be the same.
type transcript struct {
	t       testing.TB
	d       Decoder
	lines   []string
	body    []byte
	inBody  bool
	failed  bool
	message func() string
	next    func(in []byte) (int, Event, []byte, error)
	over    func() bool // after a message: tells whether no other is expected
}

func readRequests(t testing.TB, o *Options, pieces ...[]byte) *transcript {
	s := &transcript{t: t}
	r := new(http.Request)
	s.d.InitRequest(o)
	s.message = func() string { return showRequest(r) }
	s.next = func(in []byte) (int, Event, []byte, error) { return s.d.NextRequest(in, r) }
	s.over = func() bool { return false }
	s.run(pieces)
	return s
}

// readResponses reads one response for each of the methods; "GET+" asks for an upgrade.
func readResponses(t testing.TB, o *Options, methods []string, pieces ...[]byte) *transcript {
	s := &transcript{t: t}
	r := new(http.Response)
	s.d.InitResponse(o)
	s.message = func() string { return showResponse(r) }
	s.next = func(in []byte) (int, Event, []byte, error) { return s.d.NextResponse(in, r) }
	expect := func() bool {
		if len(methods) == 0 {
			return true
		}
		method, upgrade := strings.CutSuffix(methods[0], "+")
		s.d.ExpectResponse([]byte(method), upgrade)
		methods = methods[1:]
		return false
	}
	expect()
	s.over = func() bool { return !r.IsInformational() && expect() }
	s.run(pieces)
	return s
}

func (s *transcript) run(pieces [][]byte) {
	var in []byte
	over := false
	for _, piece := range pieces {
		in = append(slices.Clip(in), piece...)
		if !over {
			in, over = s.feed(in)
		}
	}
	if !s.failed {
		ev, err := s.d.EOF()
		s.endBody()
		switch {
		case err != nil:
			s.say("eof: %s", name(err))
		case ev == End:
			s.say("end %s", s.alive())
		}
	}
	// How much is left of bytes that are at fault says nothing.
	if len(in) > 0 && !s.failed {
		s.say("left %d", len(in))
	}
}

func (s *transcript) feed(in []byte) (rest []byte, over bool) {
	for {
		n, ev, data, err := s.next(in)
		if n > len(in) || len(data) > n {
			s.t.Fatalf("consumed %d of %d bytes, with %d of data", n, len(in), len(data))
		}
		if len(data) > 0 && &data[0] != &in[n-len(data)] {
			s.t.Fatalf("data is no view of the bytes before %d", n)
		}
		if cap(data) != len(data) {
			s.t.Fatal("an append to data would write into what follows")
		}
		in = in[n:]
		if ev != Body {
			s.endBody()
		}
		if err != nil {
			s.say("error: %s", name(err))
			s.failed = true
			if _, _, _, again := s.next(in); again != err {
				s.t.Fatalf("after %v came %v", err, again)
			}
			return in, true
		}
		switch ev {
		case NeedMore:
			return in, false
		case Head:
			s.say("%s", s.message())
			if !s.d.NoBody() {
				break
			}
			s.say("empty %s", s.alive())
			if s.over() {
				return in, true
			}
		case Body:
			if len(data) == 0 {
				s.t.Fatal("a body event without data")
			}
			s.body = append(s.body, data...)
			s.inBody = true
		case Trailers:
			s.say("trailers%s", showFields(s.d.Trailers))
		case End:
			s.say("end %s", s.alive())
			if s.over() {
				return in, true
			}
		}
	}
}

// endBody may come between two pieces of a body too, where more is needed; so it puts them together again.
func (s *transcript) endBody() {
	if !s.inBody {
		return
	}
	s.inBody = false
	text := fmt.Sprintf("body %q", s.body)
	if last := len(s.lines) - 1; strings.HasPrefix(s.lines[last], "body ") {
		s.lines[last] = text
	} else {
		s.lines = append(s.lines, text)
	}
}

func (s *transcript) say(format string, args ...any) {
	s.body = s.body[:0]
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *transcript) alive() string {
	if s.d.KeepAlive() {
		return "keep"
	}
	return "close"
}

func (s *transcript) String() string { return strings.Join(s.lines, "\n") }

func showRequest(r *http.Request) string {
	return fmt.Sprintf("%s %q %q %q %d %v%s", r.Method(), r.Scheme(), r.Authority(), r.Path(), r.Target(), r.Version, showFields(&r.Header))
}

func showResponse(r *http.Response) string {
	return fmt.Sprintf("%v %d %q%s", r.Version, r.Status, r.Reason(), showFields(&r.Header))
}

func showFields(h *http.Header) string {
	var b strings.Builder
	for i := range h.Len() {
		if !strings.EqualFold(string(h.Name(i)), string(h.Spelling(i))) || http.LookupFold(h.Name(i)) != h.ID(i) {
			panic("a field at odds with itself")
		}
		fmt.Fprintf(&b, " [%s: %s]", h.Spelling(i), h.Value(i))
	}
	return b.String()
}

// name is the code of an error as this package's constants are called, by way of a list that a test keeps whole.
func name(err error) string { return codeNames[err.(*Error).Code] }

var codeNames = [numCodes]string{
	BadRequestLine: "BadRequestLine", BadMethod: "BadMethod", BadTarget: "BadTarget", BadURL: "BadURL", BadScheme: "BadScheme",
	Fragment: "Fragment", BadVersion: "BadVersion", UnknownVersion: "UnknownVersion", LowVersion: "LowVersion",
	BadStatusLine: "BadStatusLine", BareLineEnd: "BareLineEnd", BadCharacter: "BadCharacter", BadName: "BadName", Folded: "Folded",
	Underscore: "Underscore", HeadTooLarge: "HeadTooLarge", TooManyHeaders: "TooManyHeaders", MissingHost: "MissingHost",
	DuplicateHost: "DuplicateHost", BadHost: "BadHost", BadLength: "BadLength", DuplicateLength: "DuplicateLength",
	LengthWithChunked: "LengthWithChunked", BadTransferEncoding: "BadTransferEncoding",
	UnknownTransferEncoding: "UnknownTransferEncoding", ConnectBody: "ConnectBody",
	UnknownMethod: "UnknownMethod", TransferEncodingNotAllowed: "TransferEncodingNotAllowed", LengthNotAllowed: "LengthNotAllowed", UnaskedUpgrade: "UnaskedUpgrade",
	BadChunk: "BadChunk", ChunkExtension: "ChunkExtension", TrailersTooLarge: "TrailersTooLarge", TooManyTrailers: "TooManyTrailers",
	CutBeforeHead: "CutBeforeHead", CutHead: "CutHead", CutBody: "CutBody",
}

func TestErrors(t *testing.T) {
	details := map[string]bool{ // response code details that Envoy 1.40 has
		"http1.codec_error": true, "http1.invalid_characters": true, "http1.headers_too_large": true, "http1.too_many_headers": true,
		"http.invalid_authority": true, "http1.invalid_transfer_encoding": true, "http1.invalid_url": true, "http1.invalid_scheme": true,
		"path_normalization_failed": true, "low_version": true, "http1.unexpected_underscore": true, "missing_host_header": true,
		"http1.content_length_and_chunked_not_allowed": true, "http1.body_disallowed": true, "http1.transfer_encoding_not_allowed": true,
		"http1.content_length_not_allowed": true,
	}
	texts := map[string]Code{}
	for c := none + 1; c < numCodes; c++ {
		e := c.err().(*Error)
		if e.Code != c || codeNames[c] == "" || !details[e.Detail] || e.Status < 400 || e.Status > 505 || !strings.HasPrefix(e.Error(), "http1: ") {
			t.Errorf("code %d: %+v", c, e)
		}
		if other, taken := texts[e.Error()]; taken {
			t.Errorf("codes %d and %d say the same", c, other)
		}
		texts[e.Error()] = c
	}
	if none.err() != nil {
		t.Error("no fault is an error")
	}
}

// cuts yields the ways to cut in that every table goes through: whole, in two at every place, and in single bytes.
func cuts(in string, yield func(how string, pieces [][]byte)) {
	yield("whole", [][]byte{[]byte(in)})
	for i := 1; i < len(in); i++ {
		yield(fmt.Sprintf("cut at %d", i), [][]byte{[]byte(in[:i]), []byte(in[i:])})
	}
	single := make([][]byte, len(in))
	for i := range in {
		single[i] = []byte(in[i : i+1])
	}
	yield("in single bytes", single)
}
