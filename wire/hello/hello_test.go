package hello

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// extension is one of a ClientHello.
type extension struct {
	kind  uint16
	value string
}

func named(name string) extension {
	return extension{extensionName, string(two(len(name)+3)) + "\x00" + string(two(len(name))) + name}
}

func protocols(names ...string) extension {
	var list strings.Builder
	for _, n := range names {
		list.WriteByte(byte(len(n)))
		list.WriteString(n)
	}
	return extension{extensionALPN, string(two(list.Len())) + list.String()}
}

func two(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// message is a ClientHello.
func message(extensions ...extension) []byte {
	var list []byte
	for _, e := range extensions {
		list = append(list, two(int(e.kind))...)
		list = append(append(list, two(len(e.value))...), e.value...)
	}
	body := slices.Concat([]byte{3, 3}, bytes.Repeat([]byte{'r'}, 32), []byte{0, 0, 2, 0x13, 1, 1, 0}, two(len(list)), list)
	return append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// records cuts a message up.
func records(m []byte, size int) (b []byte) {
	for part := range slices.Chunk(m, size) {
		b = append(append(append(b, 22, 3, 1), two(len(part))...), part...)
	}
	return b
}

func hello(extensions ...extension) string { return string(records(message(extensions...), maxRecord)) }

func TestTLS(t *testing.T) {
	a := named("a.example")
	for _, c := range []struct {
		name, bytes string
		limit       int
		want        string // "" for More
	}{
		{"nothing", "", 0, ""},
		{"a byte", "\x16", 0, ""},
		{"text", "hello", 0, "not"},
		{"a greeting of a server", "220 ready\r\n", 0, "not"},
		{"an alert", "\x15\x03\x01\x00\x02\x01\x00", 0, "not"},
		{"SSL 2", "\x16\x02", 0, "not"},
		{"nobody", hello(), 0, "tls []"},
		{"a name", hello(a), 0, "tls a.example []"},
		{"a name in upper case", hello(named("A.Example")), 0, "tls a.example []"},
		{"protocols", hello(extension{43, "\x02\x03\x04"}, protocols("h2", "http/1.1"), a), 0, "tls a.example [h2 http/1.1]"},
		{"what follows", hello(a) + "xyz", 0, "tls a.example []"},
		{"a byte a record", string(records(message(a), 1)), 0, "tls a.example []"},
		{"an empty record before", "\x16\x03\x01\x00\x00" + hello(a), 0, "tls a.example []"},
		{"records of two kinds", string(records(message(a), 20)[:25]) + "\x17\x03\x01\x00\x01a", 0, "not"},
		{"not all of it", hello(a)[:60], 0, ""},
		{"two names", hello(a, a), 0, "not"},
		{"two names in one", hello(extension{0, "\x00\x08\x00\x00\x01b\x00\x00\x01c"}), 0, "not"},
		{"no name", hello(named("")), 0, "not"},
		{"a zero in a name", hello(named("a\x00b")), 0, "not"},
		{"a name of another kind", hello(extension{0, "\x00\x04\x01\x00\x01b"}), 0, "not"},
		{"a long name", hello(named(strings.Repeat("a", 256))), 0, "not"},
		{"broken protocols", hello(a, extension{16, "\x00\x02\x05a"}), 0, "tls a.example []"},
		{"an empty protocol", hello(a, extension{16, "\x00\x03\x00\x01a"}), 0, "tls a.example []"},
		{"not a hello", "\x16\x03\x01\x00\x05\x02\x00\x00\x00\x00", 0, "not"},
		{"an empty hello", "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 0, "not"},
		{"a record too long", "\x16\x03\x01\x40\x01\x01", 0, "not"},
		{"just fits", hello(a, extension{21, strings.Repeat("x", 15000)}), 0, "tls a.example []"},
		{"too large", "\x16\x03\x01\x40\x00\x01\x00\x40\x00", 0, "large"},
		{"larger than allowed", hello(a, extension{21, strings.Repeat("x", 300)}), 256, "large"},
		{"in more records than allowed", string(records(message(a), 1)), 256, "large"},
		{"of sixteen megabytes", "\x16\x03\x01\x40\x00\x01\xff\xff\xff", 0, "large"},
	} {
		limit := c.limit
		if limit == 0 {
			limit = MaxClientHello
		}
		var h ClientHello
		v, _ := TLS([]byte(c.bytes), limit, &h)
		got := [...]string{More: "", NotFound: "not", TooLarge: "large", Found: strings.Join(strings.Fields(fmt.Sprint("tls ", h.ServerName, " ", h.Protocols)), " ")}[v]
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A peer that sends bytes one by one does not make us read all of them again each time.
func TestLooksAreFew(t *testing.T) {
	b := records(message(extension{21, strings.Repeat("x", 2500)}), 1)
	looks, need := 0, 1
	for n := range b {
		if n+1 < need {
			continue
		}
		looks++
		var v Verdict
		if v, need = TLS(b[:n+1], MaxClientHello, &ClientHello{}); v != More && n+1 < len(b) {
			t.Fatalf("verdict %d after %d bytes of %d", v, n+1, len(b))
		}
	}
	if looks > 60 {
		t.Errorf("%d looks at %d bytes", looks, len(b))
	}
}

// What is said of some bytes stays true whatever comes behind them, and no ClientHello is found before as many are there as were asked for.
func FuzzTLS(f *testing.F) {
	f.Add([]byte(hello(named("a.example"), protocols("h2"))), 512)
	f.Add(records(message(named("a.example")), 1), 512)
	f.Add(records(message(named("a.example")), 7), 100)
	f.Add([]byte("GET / HTTP/1.1\r\n"), 300)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		if limit < 0 || limit > MaxClientHello || len(b) > 2048 {
			return
		}
		var h ClientHello
		last, need := TLS(nil, limit, &h)
		for n := range b {
			v, next := TLS(b[:n+1], limit, &h)
			switch {
			case last != More && v != last:
				t.Fatalf("%d bytes: %d, one more: %d", n, last, v)
			case v == Found && last == More && n+1 < need:
				t.Fatalf("%d bytes were asked for and %d are enough", need, n+1)
			case v == More && next <= n+1:
				t.Fatalf("of %d bytes, %d are asked for", n+1, next)
			}
			last, need = v, next
		}
	})
}

func TestHTTP(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"G":                                    "",
		"GET / HTTP/1.1":                       "",
		"hello":                                "",
		"1234":                                 "",
		"GET / HTTP/1.1\r\n":                   "http/1.1",
		"GET / HTTP/1.1\n":                     "http/1.1",
		"get / HTTP/1.1\r\nhost: a\r\n":        "http/1.1",
		"F!O-BAR / HTTP/1.1\r\n":               "http/1.1",
		"GET  / HTTP/1.1 \r\n":                 "http/1.1",
		"CONNECT a:1 HTTP/1.1\r\n":             "http/1.1",
		"OPTIONS * HTTP/1.1\r\n":               "http/1.1",
		"GET http://a/ HTTP/1.1\r\n":           "http/1.1",
		"GET / HTTP/1.0\r\n":                   "http/1.0",
		"GET / HTTP/0.9\r\n":                   "http/1.0",
		"GET / HTTP/1.2\r\n":                   "http/1.0",
		"GET / HTTP/2.0\r\n":                   "http/1.0",
		"GET /\r\n":                            "http/1.0",
		"PRI * HTTP/2.0\r\n":                   "",
		"PRI * HTTP/2.0\r\n\r\n":               "",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":     "h2c",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00": "h2c",
		"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n":     "http/1.0",
		"hello\r\n":                            "not",
		"GET / HTTP/1.1x\r\n":                  "not",
		"GET / http/1.1\r\n":                   "not",
		"GET x HTTP/1.1\r\n":                   "not",
		"\r\nGET / HTTP/1.1\r\n":               "not",
		"\x16\x03":                             "not",
		"\x00":                                 "not",
		" GET":                                 "not",
		"220 ":                                 "",
		"(a":                                   "not",
		strings.Repeat("a", maxMethod+1):       "not",
		"GET /" + strings.Repeat("a", maxRequestLine): "large",
	} {
		v, version, _ := HTTP([]byte(text))
		if got := [...]string{More: "", NotFound: "not", TooLarge: "large", Found: version.String()}[v]; got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

func TestDubbo(t *testing.T) {
	for text, want := range map[string]Verdict{
		"":                     More,
		"\xda":                 More,
		"\xda\xbb":             Found,
		"\xda\xbb\xc2\x00\x00": Found,
		"\xbb\xda":             NotFound,
		"\xda\xda":             NotFound,
		"GET / HTTP/1.1\r\n":   NotFound,
		"\x16\x03\x01":         NotFound,
	} {
		v, need := IsDubbo([]byte(text))
		if v != want || (v == More) != (need == len(text)+1) {
			t.Errorf("%q: %d, %d needed: want %d", text, v, need, want)
		}
	}
}

func FuzzHTTP(f *testing.F) {
	for _, text := range []string{"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hello", "\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1024 {
			return
		}
		last, was, _ := HTTP(nil)
		for n := range b {
			v, version, next := HTTP(b[:n+1])
			if last != More && (v != last || version != was) || v == More && next <= n+1 {
				t.Fatalf("%q: %d %v, one byte less: %d %v", b[:n+1], v, version, last, was)
			}
			last, was = v, version
		}
	})
}
