package dns

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// encode writes a table: names with what is said of them, as "registry short namespace address...", "-" for none.
func encode(entries ...string) (out []byte) {
	field := func(b []byte, number byte, v string) []byte {
		b = binary.AppendUvarint(append(b, number<<3|2), uint64(len(v)))
		return append(b, v...)
	}
	for _, e := range entries {
		words := strings.Fields(e)
		var info []byte
		for i, number := range []byte{ofInfoRegistry, ofInfoShort, ofInfoNamespace} {
			if w := words[1+i]; w != "-" {
				info = field(info, number, w)
			}
		}
		for _, a := range words[4:] {
			if other, is := strings.CutPrefix(a, "also:"); is {
				info = field(info, ofInfoOthers, other)
				continue
			}
			info = field(info, ofInfoAddresses, a)
		}
		out = field(out, ofTableEntries, string(field(field(nil, ofEntryName, words[0]), ofEntryInfo, string(info))))
	}
	return out
}

var mesh = encode(
	"Reviews.ns.svc.cluster.local Kubernetes reviews ns 10.96.0.1",
	"ratings.other.svc.cluster.local Kubernetes ratings other 10.96.0.2 fd00::2 also:alias.example",
	"mysql.ns.svc.cluster.local Kubernetes mysql ns 10.0.0.1 10.0.0.2 10.0.0.3",
	"mysql-0.mysql.ns.svc.cluster.local Kubernetes mysql-0.mysql ns 10.0.0.1",
	"api.far.svc.other.domain Kubernetes api far 10.97.0.1",
	"www.example.com External - - 240.240.0.1",
	"*.wild.example External - - 240.240.0.2",
	"*.deep.wild.example External - - 240.240.0.3",
	"six.example External - - fd00::6",
	"none.example External - - 10.0.0.0/8",
	"bad..example External - - 10.0.0.1",
)

func TestNames(t *testing.T) {
	table, err := parseTable(mesh, newOwn("ns", "ns.svc.cluster.local"))
	if err != nil {
		t.Fatal(err)
	}
	if table.names != 10 || table.cut != 1 {
		t.Errorf("%d names, and %d were cut: want 10 and 1", table.names, table.cut)
	}
	for _, c := range []struct{ name, want string }{
		{"reviews.ns.svc.cluster.local", "10.96.0.1"},
		{"reviews", "10.96.0.1"},
		{"reviews.ns", "10.96.0.1"},
		{"reviews.ns.svc", "10.96.0.1"},
		{"reviews.ns.svc.cluster", ""},
		{"ratings", ""}, // of another namespace
		{"ratings.other", "10.96.0.2 fd00::2"},
		{"ratings.other.svc", "10.96.0.2 fd00::2"},
		{"alias.example", "10.96.0.2 fd00::2"},
		{"mysql-0.mysql", "10.0.0.1"},
		{"mysql-0.mysql.ns", "10.0.0.1"},
		{"mysql-0.mysql.ns.svc", "10.0.0.1"},
		{"api.far.svc.other.domain", "10.97.0.1"},
		{"api.far", ""}, // of another domain
		{"www.example.com", "240.240.0.1"},
		{"www.example.com.ns.svc.cluster.local", "www.example.com 240.240.0.1"},
		{"www.example.com.svc.cluster.local", ""}, // of the second domain: what is asked first was answered
		{"reviews.ns.svc.cluster.local.ns.svc.cluster.local", "reviews.ns.svc.cluster.local 10.96.0.1"},
		{"ratings.other.ns.svc.cluster.local", "ratings.other 10.96.0.2 fd00::2"},
		{"a.wild.example", "240.240.0.2"},
		{"a.b.wild.example", "240.240.0.2"},
		{"a.deep.wild.example", "240.240.0.3"},
		{"deep.wild.example", "240.240.0.2"},
		{"wild.example", ""},
		{"a.wild.example.ns.svc.cluster.local", "a.wild.example 240.240.0.2"},
		{"six.example", "fd00::6"},
		{"none.example", ""},
		{"example.com", ""},
		{"ns.svc.cluster.local", ""},
		{strings.Repeat("a.", 126) + "a", ""},
	} {
		r, alias, is := table.lookup(c.name, "ns.svc.cluster.local")
		var words []string
		if alias != "" {
			words = append(words, alias)
		}
		for _, a := range append(r.addresses(1), r.addresses(28)...) {
			words = append(words, a.String())
		}
		if got := strings.Join(words, " "); got != c.want || is != (c.want != "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for name, b := range map[string][]byte{"a tag": {0xff}, "a length": {0x0a, 9}, "an entry": {0x0a, 1, 0x0a}, "a group": {0x0b}} {
		if _, err := parseTable(b, own{}); err == nil {
			t.Errorf("what breaks off at %s is a table", name)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	s := play(t)
	var out strings.Builder
	if err := s.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"mysql-0.mysql.ns.svc.cluster.local":{"ips":["10.0.0.1"],"registry":"Kubernetes","shortname":"mysql-0.mysql","namespace":"ns"}`,
		`"www.example.com":{"ips":["240.240.0.1"]}`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %s in %s", want, out.String())
		}
	}
}

// FuzzTable has whatever is a table answer for each name that it says, and for what only looks like one.
func FuzzTable(f *testing.F) {
	f.Add(mesh, "reviews.ns")
	f.Add(mesh, "www.example.com.ns.svc.cluster.local")
	f.Add(encode("a.b External - - 10.0.0.1"), "*.a.b")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		table, err := parseTable(b, newOwn("ns", "ns.svc.cluster.local"))
		if err != nil {
			return
		}
		table.lookup(name, "ns.svc.cluster.local")
		there := 0
		for _, slot := range table.slots {
			if slot == 0 {
				continue
			}
			there++
			if r := table.at(slot - 1); !valid(r.name) || len(r.v4)+len(r.v6) == 0 {
				t.Errorf("there is %+v", r)
			} else if found, is := table.find(r.name); !is || found.name != r.name {
				t.Errorf("%q is not found", r.name)
			}
		}
		if there != table.names {
			t.Errorf("%d names, and %d are said", there, table.names)
		}
	})
}

// services is a table of so many services.
func services(n int) []byte {
	var entries []string
	for i := range n {
		entries = append(entries, fmt.Sprintf("service-%d.namespace-%d.svc.cluster.local Kubernetes service-%d namespace-%d 10.96.%d.%d", i, i%50, i, i%50, i>>8&255, i&255))
	}
	return encode(entries...)
}

// BenchmarkTable tells what a table costs: of memory while it stands, and of time to read.
func BenchmarkTable(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			message := services(n)
			var table *table
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if table, err = parseTable(message, newOwn("ns", "ns.svc.cluster.local")); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(table.records)+4*len(table.slots)), "bytes")
			b.ReportMetric(float64(len(message)), "sent")
		})
	}
}

// BenchmarkAnswer tells what an answer costs without a socket, of ten thousand names.
func BenchmarkAnswer(b *testing.B) {
	p, err := Listen(Options{Namespace: "namespace-1", Domain: "namespace-1.svc.cluster.local"})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	if err := p.Tell(services(10000)); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"service-51.", "service-4711.namespace-11.svc.cluster.local.", "nobody.example."} {
		b.Run(name, func(b *testing.B) {
			m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
			message, _ := m.Pack()
			out := make([]byte, 0, maxQuery)
			b.ReportAllocs()
			for b.Loop() {
				p.answer(out, message, 1, false)
			}
		})
	}
}
