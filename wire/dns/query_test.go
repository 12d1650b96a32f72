package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// query is a message that asks for a name, and says that so many bytes may answer it if that is not 0.
func query(t testing.TB, name string, kind dnsmessage.Type, room int) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 77, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	if room > 0 {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(room, 0, false); err != nil {
			t.Fatal(err)
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestQueriesRead(t *testing.T) {
	plain, extended := query(t, "Reviews.ns.", dnsmessage.TypeA, 0), query(t, "a.b.", dnsmessage.TypeAAAA, 1400)
	change := func(b []byte, at int, v ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"plain", plain, "Reviews.ns. 1 512 false"},
		{"with EDNS", extended, "a.b. 28 1400 true"},
		{"with room for much", query(t, "a.", dnsmessage.TypeTXT, 65000), "a. 16 4096 true"},
		{"with room for little", query(t, "a.", dnsmessage.TypeTXT, 100), "a. 16 512 true"},
		{"the root", query(t, ".", dnsmessage.TypeNS, 0), ". 2 512 false"},
		{"of another class", change(plain, len(plain)-2, 0, 3), "Reviews.ns. 0 512 false"},
		{"an answer", change(plain, 2, 0x81), "not a question"},
		{"a header alone", plain[:5], "not a question"},
		{"an update", change(plain, 2, 5<<3), "an operation that is not a question"},
		{"no question", change(plain, 4, 0, 0), "0 questions in a message: want one"},
		{"two questions", change(plain, 4, 0, 2), "2 questions in a message: want one"},
		{"cut", plain[:len(plain)-3], "unpacking Question.Type"},
		{"a name that points at itself", change(plain, 12, 0xc0, 12), "too many"},
		{"with an answer", change(plain, 6, 0, 1), "a question with an answer in it"},
		{"with much beside it", change(plain, 10, 0, 200), "200 records beside it"},
		{"with less beside it than it says", change(plain, 10, 0, 1), "insufficient data"},
	} {
		q, err := ParseQuery(c.b)
		got := fmt.Sprint(q.Name, " ", uint16(q.Type), " ", q.Room, " ", q.Extended)
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// shown is a message as a text: name, type, data and TTL of its answers.
func shown(t testing.TB, b []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("no message: %v", err)
	}
	out := fmt.Sprintf("%d %v", m.ID, m.RCode)
	for _, flag := range []struct {
		name string
		is   bool
	}{{"AA", m.Authoritative}, {"TC", m.Truncated}, {"RA", m.RecursionAvailable}, {"QR", m.Response}} {
		if flag.is {
			out += " " + flag.name
		}
	}
	for _, q := range m.Questions {
		out += " " + q.Name.String() + "?"
	}
	for _, r := range m.Answers {
		switch v := r.Body.(type) {
		case *dnsmessage.AResource:
			out += fmt.Sprintf(" %s A %s %d", r.Header.Name, netip.AddrFrom4(v.A), r.Header.TTL)
		case *dnsmessage.AAAAResource:
			out += fmt.Sprintf(" %s AAAA %s %d", r.Header.Name, netip.AddrFrom16(v.AAAA), r.Header.TTL)
		case *dnsmessage.CNAMEResource:
			out += fmt.Sprintf(" %s CNAME %s %d", r.Header.Name, v.CNAME, r.Header.TTL)
		}
	}
	for _, r := range m.Additionals {
		out += fmt.Sprintf(" %v %d", r.Header.Type, r.Header.Class)
	}
	return out
}

func TestReplies(t *testing.T) {
	many := func(n int) (out []netip.Addr) {
		for i := range n {
			out = append(out, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		query []byte
		reply Reply
		room  int
		want  string
	}{
		{"addresses, from one on", query(t, "A.b.", dnsmessage.TypeA, 0), Reply{Addresses: many(3), First: 2}, 512,
			"77 RCodeSuccess AA RA QR A.b.? A.b. A 10.0.0.2 30 A.b. A 10.0.0.0 30 A.b. A 10.0.0.1 30"},
		{"none of this family", query(t, "a.b.", dnsmessage.TypeAAAA, 0), Reply{}, 512, "77 RCodeSuccess AA RA QR a.b.?"},
		{"by another name", query(t, "a.b.c.d.", dnsmessage.TypeAAAA, 900), Reply{Alias: "a.b.", Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")}}, 900,
			"77 RCodeSuccess AA RA QR a.b.c.d.? a.b.c.d. CNAME a.b. 30 a.b. AAAA fd00::1 30 TypeOPT 1232"},
	} {
		q, err := ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(t, AppendReply(nil, c.query, &q, &c.reply, c.room)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	// What does not fit is left out, and said.
	for _, room := range []int{512, 600, 1232, MaxMessage} {
		b := query(t, "a.b.", dnsmessage.TypeA, 600)
		q, _ := ParseQuery(b)
		got := AppendReply(nil, b, &q, &Reply{Addresses: many(1000)}, room)
		if len(got) > room || room < MaxMessage && len(got) < room-16-11 || strings.Contains(shown(t, got), "TC") != (room < MaxMessage) {
			t.Errorf("of 1000 addresses there are %d bytes in room for %d: %.60s", len(got), room, shown(t, got))
		}
	}
}

func TestRefusals(t *testing.T) {
	b := query(t, "a.b.", dnsmessage.TypeA, 600)
	if got, want := shown(t, AppendRefusal(nil, b, Failed)), "77 RCodeServerFailure RA QR a.b.?"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := shown(t, AppendRefusal(nil, b[:15], Malformed)), "77 RCodeFormatError RA QR"; got != want {
		t.Errorf("of a part: got %s, want %s", got, want)
	}
	if got := AppendRefusal(nil, b[:11], Malformed); len(got) > 0 {
		t.Errorf("of less than a header: %x", got)
	}
	if got, want := shown(t, Short(AppendRefusal(nil, b, 0), b)), "77 RCodeSuccess TC RA QR a.b.?"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnswersAreMatched(t *testing.T) {
	asked := query(t, "a.b.", dnsmessage.TypeA, 0)
	answer := AppendRefusal(nil, asked, 0)
	refused := AppendRefusal(nil, asked[:12], Refused)
	for _, c := range []struct {
		name  string
		reply []byte
		id    uint16
		want  bool
	}{
		{"the answer", answer, 77, true},
		{"with another id", answer, 78, false},
		{"the question itself", asked, 77, false},
		{"in other letters", AppendRefusal(nil, query(t, "A.B.", dnsmessage.TypeA, 0), 0), 77, true},
		{"of another name", AppendRefusal(nil, query(t, "a.c.", dnsmessage.TypeA, 0), 0), 77, false},
		{"of another type", AppendRefusal(nil, query(t, "a.b.", dnsmessage.TypeAAAA, 0), 0), 77, false},
		{"a refusal without its question", refused, 77, true},
		{"an answer without its question", AppendRefusal(nil, asked[:12], 0), 77, false},
		{"a part", answer[:14], 77, false},
	} {
		if got := Answers(c.reply, asked, c.id); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// FuzzQuery has whatever is a question get an answer that others can read, of the same question, in the room that it has.
func FuzzQuery(f *testing.F) {
	f.Add(query(f, "a.b.", dnsmessage.TypeA, 0))
	f.Add(query(f, "www.example.com.", dnsmessage.TypeAAAA, 1232))
	f.Add(query(f, ".", dnsmessage.TypeNS, 512))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseQuery(b)
		if errors.Is(err, ErrNoQuery) {
			return
		}
		if refusal := AppendRefusal(nil, b, Failed); len(refusal) > len(b) || binary.BigEndian.Uint16(refusal) != binary.BigEndian.Uint16(b) {
			t.Errorf("a refusal of %x: %x", b, refusal)
		}
		if err != nil || q.Type != A && q.Type != AAAA {
			return
		}
		r := Reply{Alias: "a.b.", First: 1}
		for i := range 40 {
			if q.Type == A {
				r.Addresses = append(r.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
			} else {
				r.Addresses = append(r.Addresses, netip.AddrFrom16([16]byte{15: byte(i)}))
			}
		}
		reply := AppendReply(nil, b, &q, &r, q.Room)
		if len(reply) > q.Room || !Answers(reply, b, q.ID) {
			t.Errorf("an answer to %x: %x", b, reply)
		}
		shown(t, reply)
	})
}
