package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// record is "name ttl type value".
func record(t testing.TB, text string) dnsmessage.Resource {
	t.Helper()
	var name, kind, value string
	var ttl uint32
	if _, err := fmt.Sscan(text, &name, &ttl, &kind, &value); err != nil {
		t.Fatal(err)
	}
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), TTL: ttl, Class: dnsmessage.ClassINET}}
	switch kind {
	case "A":
		r.Body = &dnsmessage.AResource{A: netip.MustParseAddr(value).As4()}
	case "AAAA":
		r.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(value).As16()}
	case "CNAME":
		r.Body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(value)}
	case "TXT":
		r.Body = &dnsmessage.TXTResource{TXT: []string{value}}
	}
	return r
}

// message is a server's answer with these records.
func message(t testing.TB, q Question, change func(*dnsmessage.Message), records ...string) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(absolute(q.Name)), Type: dnsmessage.Type(q.Type), Class: dnsmessage.ClassINET}}}
	for _, r := range records {
		m.Answers = append(m.Answers, record(t, r))
	}
	if change != nil {
		change(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func show(a Answer) string {
	var out []string
	for _, r := range a.Addresses {
		out = append(out, fmt.Sprint(r.IP, "/", r.TTL))
	}
	if a.Missing {
		out = append(out, "missing")
	}
	if a.Truncated {
		out = append(out, "truncated")
	}
	return strings.Join(out, " ")
}

func TestAnswers(t *testing.T) {
	q := Question{"up.test", A}
	for name, test := range map[string]struct {
		change  func(*dnsmessage.Message)
		records []string
		want    string
		err     error
	}{
		"addresses":               {records: []string{"up.test. 5 A 10.0.0.1", "UP.test. 6 A 10.0.0.2"}, want: "10.0.0.1/5s 10.0.0.2/6s"},
		"aliases, in any order":   {records: []string{"c.test. 9 A 10.0.0.1", "b.test. 4 CNAME c.test.", "up.test. 7 CNAME B.test."}, want: "10.0.0.1/4s"},
		"of somebody else":        {records: []string{"evil.test. 9 A 10.6.6.6", "up.test. 5 A 10.0.0.1"}, want: "10.0.0.1/5s"},
		"of another type":         {records: []string{"up.test. 5 AAAA ::1", "up.test. 5 TXT x"}, want: "missing"},
		"an alias of nothing":     {records: []string{"up.test. 5 CNAME gone.test."}, want: "missing"},
		"no time at all":          {records: []string{"up.test. 0 A 10.0.0.1"}, want: "10.0.0.1/0s"},
		"more time than there is": {records: []string{"up.test. 4294967295 A 10.0.0.1"}, want: "10.0.0.1/0s"},
		"a circle":                {records: []string{"up.test. 5 CNAME b.test.", "b.test. 5 CNAME up.test.", "up.test. 5 A 10.0.0.1"}, err: ErrAliases},
		"no such name":            {change: func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }, want: "missing"},
		"a failure":               {change: func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }, err: ServerError(2)},
		"truncated":               {change: func(m *dnsmessage.Message) { m.Truncated = true }, records: []string{"up.test. 5 A 10.0.0.1"}, want: "truncated"},
		"a question":              {change: func(m *dnsmessage.Message) { m.Response = false }, err: ErrOther},
		"another number":          {change: func(m *dnsmessage.Message) { m.ID = 8 }, err: ErrOther},
		"without the question":    {change: func(m *dnsmessage.Message) { m.Questions = nil }, err: ErrOther},
		"another question":        {change: func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }, err: ErrOther},
	} {
		a, err := ParseAnswer(message(t, q, test.change, test.records...), 7, q)
		if got := show(a); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, test.want, test.err)
		}
	}
	a, err := ParseAnswer(message(t, Question{"up.test", AAAA}, nil, "up.test. 5 AAAA 2001:db8::1"), 7, Question{"Up.Test.", AAAA})
	if err != nil || show(a) != "2001:db8::1/5s" {
		t.Error(show(a), err)
	}
}

// What an answer can hold more of than anybody needs is bounded (hazard 70).
func TestAnswersAreBounded(t *testing.T) {
	q := Question{"up.test", A}
	var many, long []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("up.test. 5 A 10.0.%d.%d", i>>8, i&255))
	}
	a, err := ParseAnswer(message(t, q, nil, many...), 7, q)
	if err != nil || len(a.Addresses) != MaxAddresses || a.Cut != 3000-MaxAddresses {
		t.Error(len(a.Addresses), a.Cut, err)
	}
	long = append(long, "up.test. 5 CNAME n0.test.")
	for i := range 100 {
		long = append(long, fmt.Sprintf("n%d.test. 5 CNAME n%d.test.", i, i+1))
	}
	for n, want := range map[int]error{MaxChain: nil, MaxChain + 1: ErrAliases, 100: ErrAliases} {
		if _, err := ParseAnswer(message(t, q, nil, long[:n]...), 7, q); !errors.Is(err, want) {
			t.Errorf("%d aliases: %v", n, err)
		}
	}
}

func TestQueries(t *testing.T) {
	b, err := AppendQuery(nil, 0xabcd, Question{"a.example", AAAA})
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	if q := m.Questions[0]; m.ID != 0xabcd || !m.RecursionDesired || m.Response || q.Name.String() != "a.example." || q.Type != dnsmessage.TypeAAAA || len(m.Additionals) != 1 {
		t.Errorf("%+v", m)
	}
	for _, name := range []string{"a..b", strings.Repeat("a", 64) + ".b", strings.Repeat("abcdefg.", 40)} {
		if _, err := AppendQuery(nil, 1, Question{name, A}); err == nil {
			t.Errorf("%q can be asked for", name)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	q := Question{"up.test", A}
	f.Add(message(f, q, nil, "up.test. 5 CNAME b.test.", "b.test. 5 A 10.0.0.1"))
	f.Add(message(f, q, nil, "up.test. 5 CNAME up.test."))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnswer(b, 7, q)
		if err == nil && !a.Truncated && a.Missing != (len(a.Addresses) == 0) || len(a.Addresses) > MaxAddresses {
			t.Errorf("%+v", a)
		}
		for _, x := range a.Addresses {
			if !x.IP.Is4() || x.TTL < 0 || x.TTL > (1<<31-1)*time.Second {
				t.Errorf("%+v", x)
			}
		}
	})
}
