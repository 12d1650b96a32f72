package http2

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/weftmesh/weft/wire/http"
)

var loose = &Options{MaxHeadBytes: 1 << 20, MaxHeaders: 1 << 20, StreamErrors: true}

func newDecoder(size uint32) *decoder {
	return &decoder{table: table{max: size}, limit: size}
}

// tableText is a dynamic table, the newest entry first.
func tableText(t *table) string {
	var b strings.Builder
	for n := t.next; n != t.first; n-- {
		e := t.at(n - 1)
		fmt.Fprintf(&b, "%s: %s\n", t.name(e), t.valueOf(e))
	}
	fmt.Fprintf(&b, "%d", t.size)
	return b.String()
}

// RFC 7541 appendix C.
func TestVectors(t *testing.T) {
	type block struct{ in, head, table string }
	for name, c := range map[string]struct {
		size   uint32
		answer bool
		blocks []block
	}{
		"C.2.1": {size: 4096, blocks: []block{{"400a637573746f6d2d6b65790d637573746f6d2d686561646572", "trailers custom-key=custom-header", "custom-key: custom-header\n55"}}},
		"C.2.3": {size: 4096, blocks: []block{{"100870617373776f726406736563726574", "trailers password=secret", "0"}}},
		"C.3": {size: 4096, blocks: []block{
			{"828684410f7777772e6578616d706c652e636f6d", "GET http www.example.com /", ":authority: www.example.com\n57"},
			{"828684be58086e6f2d6361636865", "GET http www.example.com / cache-control=no-cache", "cache-control: no-cache\n:authority: www.example.com\n110"},
			{"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", "GET https www.example.com /index.html custom-key=custom-value",
				"custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n164"},
		}},
		"C.4": {size: 4096, blocks: []block{
			{"828684418cf1e3c2e5f23a6ba0ab90f4ff", "GET http www.example.com /", ":authority: www.example.com\n57"},
			{"828684be5886a8eb10649cbf", "GET http www.example.com / cache-control=no-cache", "cache-control: no-cache\n:authority: www.example.com\n110"},
			{"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", "GET https www.example.com /index.html custom-key=custom-value",
				"custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n164"},
		}},
		"C.5": {size: 256, answer: true, blocks: []block{
			{"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
				"302 cache-control=private date=Mon, 21 Oct 2013 20:13:21 GMT location=https://www.example.com",
				"location: https://www.example.com\ndate: Mon, 21 Oct 2013 20:13:21 GMT\ncache-control: private\n:status: 302\n222"},
			{"4803333037c1c0bf", "307 cache-control=private date=Mon, 21 Oct 2013 20:13:21 GMT location=https://www.example.com",
				":status: 307\nlocation: https://www.example.com\ndate: Mon, 21 Oct 2013 20:13:21 GMT\ncache-control: private\n222"},
			{"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
				"200 cache-control=private date=Mon, 21 Oct 2013 20:13:22 GMT location=https://www.example.com content-encoding=gzip" +
					" set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
				"set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\ncontent-encoding: gzip\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n215"},
		}},
		"C.6": {size: 256, answer: true, blocks: []block{
			{"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
				"302 cache-control=private date=Mon, 21 Oct 2013 20:13:21 GMT location=https://www.example.com",
				"location: https://www.example.com\ndate: Mon, 21 Oct 2013 20:13:21 GMT\ncache-control: private\n:status: 302\n222"},
			{"4883640effc1c0bf", "307 cache-control=private date=Mon, 21 Oct 2013 20:13:21 GMT location=https://www.example.com",
				":status: 307\nlocation: https://www.example.com\ndate: Mon, 21 Oct 2013 20:13:21 GMT\ncache-control: private\n222"},
			{"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
				"200 cache-control=private date=Mon, 21 Oct 2013 20:13:22 GMT location=https://www.example.com content-encoding=gzip" +
					" set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
				"set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\ncontent-encoding: gzip\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n215"},
		}},
	} {
		d := newDecoder(c.size)
		var r http.Request
		var p http.Response
		var h http.Header
		for i, b := range c.blocks {
			in, err := hex.DecodeString(b.in)
			if err != nil {
				t.Fatal(err)
			}
			d.late = false
			m := newHead(loose)
			var text func() string
			switch {
			case c.answer:
				p.Reset()
				m.response, m.h = &p, &p.Header
				text = func() string { return showResponse(&p) }
			case c.size == 4096 && strings.HasPrefix(b.head, "trailers"):
				m.h = &h
				text = func() string { return "trailers" + showFields(&h) }
			default:
				r.Reset()
				m.request, m.h = &r, &r.Header
				text = func() string { return showRequest(&r) }
			}
			if _, code := d.decode(in, &m, true); code != none || m.finish() != none {
				t.Errorf("%s.%d: %v %v", name, i+1, code.err(), m.finish().err())
			}
			if got := text(); got != b.head {
				t.Errorf("%s.%d: %q, want %q", name, i+1, got, b.head)
			}
			if got := tableText(&d.table); got != b.table {
				t.Errorf("%s.%d: the table is %q, want %q", name, i+1, got, b.table)
			}
		}
	}
}

func TestHuffman(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		b := make([]byte, random.IntN(40))
		for j := range b {
			if b[j] = byte(random.IntN(256)); i%2 == 0 {
				b[j] = " %-./3456789=A_bdfghlmnpru012aceiost:BCDEF&#'"[random.IntN(45)]
			}
		}
		in := hpack.AppendHuffmanString(nil, string(b))
		got, ok := appendHuffman(make([]byte, 0, huffmanRoom(len(in))), in)
		if !ok || !bytes.Equal(got, b) {
			t.Fatalf("%q is %q, %v", b, got, ok)
		}
		// Whatever else it is, it is what it is to others.
		for range 4 {
			if len(in) > 0 {
				in[random.IntN(len(in))] ^= 1 << random.IntN(8)
			}
			want, err := hpack.HuffmanDecodeToString(in)
			got, ok := appendHuffman(make([]byte, 0, huffmanRoom(len(in))), in)
			if ok != (err == nil) || ok && string(got) != want {
				t.Fatalf("%x is %q, %v; to others %q, %v", in, got, ok, want, err)
			}
		}
	}
}

func TestStaticTable(t *testing.T) {
	d := hpack.NewDecoder(4096, nil)
	for i := 1; i < len(staticTable); i++ {
		f, err := d.DecodeFull([]byte{0x80 | byte(i)})
		k := &staticTable[i]
		if err != nil || string(k.name) != f[0].Name || string(k.value) != f[0].Value {
			t.Errorf("%d is %s: %s, want %v", i, k.name, k.value, f)
		}
		if k.id == http.Other && k.name[0] != ':' && staticOther(k.name) != uint8(i) {
			t.Errorf("%s is found at %d, not %d", k.name, staticOther(k.name), i)
		}
		if k.id != http.Other && string(staticTable[staticNames[k.id]].name) != string(k.name) {
			t.Errorf("%s is found at %d", k.name, staticNames[k.id])
		}
	}
}

// theirs is what x/net makes of a block.
type theirs struct {
	d      *hpack.Decoder
	fields []hpack.HeaderField
}

func newTheirs(size uint32) *theirs {
	x := &theirs{}
	x.d = hpack.NewDecoder(size, func(f hpack.HeaderField) { x.fields = append(x.fields, f) })
	return x
}

// decode gives the fields, read as trailers, as far as they are good.
func (x *theirs) decode(in []byte) (text string, err error) {
	x.fields = nil
	if _, err = x.d.Write(in); err == nil {
		err = x.d.Close()
	}
	var b strings.Builder
	bad := func(f hpack.HeaderField) bool {
		for _, c := range []byte(f.Name) {
			if !strings.ContainsRune("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", rune(c)) {
				return true
			}
		}
		for i, c := range []byte(f.Value) {
			if c == ' ' || c == '\t' {
				if i == 0 || i == len(f.Value)-1 {
					return true
				}
			} else if c < ' ' || c == 0x7f {
				return true
			}
		}
		switch f.Name {
		case "", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			return true
		case "te":
			return f.Value != "trailers"
		}
		return false
	}
	for _, f := range x.fields {
		if bad(f) {
			fmt.Fprintf(&b, " bad")
			break
		}
		if id := http.LookupFold(f.Name); id != http.Host && id != http.ContentLength && !http.NotInTrailers(id, []byte(f.Name)) {
			fmt.Fprintf(&b, " %s=%s", f.Name, f.Value)
			if f.Sensitive {
				b.WriteString("!")
			}
		}
	}
	return b.String(), err
}

// ours is the same by us, the block being cut at some point.
func ours(d *decoder, in []byte, cut int) (string, Code) {
	var h http.Header
	m := newHead(loose)
	m.h = &h
	d.late = false
	rest, code := d.decode(in[:cut:cut], &m, cut == len(in))
	if code == none && cut < len(in) {
		_, code = d.decode(append(bytes.Clone(rest), in[cut:]...), &m, true)
	}
	var b strings.Builder
	for i := range h.Len() {
		fmt.Fprintf(&b, " %s=%s", h.Name(i), h.Value(i))
		if h.Secret(i) {
			b.WriteString("!")
		}
	}
	if m.code != none {
		b.WriteString(" bad")
	}
	return b.String(), code
}

// FuzzDecode reads blocks with our decoder and theirs: the same fields, the same table, or both refuse.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"828684410f7777772e6578616d706c652e636f6d", "400a637573746f6d2d6b65790d637573746f6d2d686561646572be7e", "3fe11f20bf", "ff80808080",
		"408825a849e95ba97d7f8925a849e95bb8e8b4bfbebebe7e0178", "0f0d0131", "3f00400161016240016301647fff00", "5f0a62"} {
		b, _ := hex.DecodeString(s)
		f.Add(b, b, uint16(300), uint8(3))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, size uint16, at uint8) {
		d, x := newDecoder(uint32(size)), newTheirs(uint32(size))
		for _, in := range [][]byte{first, second, first} {
			if len(in) > 4096 {
				return
			}
			cut := min(int(at), len(in))
			if at&1 == 0 {
				cut = len(in)
			}
			got, code := ours(d, in, cut)
			want, err := x.decode(in)
			if late := err != nil && strings.Contains(err.Error(), "size update MUST"); code == LateTableUpdate && err == nil || code == none && late {
				return // they let an update pass anywhere while the table is empty, and otherwise none but the first
			}
			if (code == none) != (err == nil) {
				t.Fatalf("%x: %v, they say %v", in, code.err(), err)
			}
			if err != nil {
				return
			}
			if got != want {
				t.Fatalf("%x: %q, they say %q", in, got, want)
			}
			var entries uint32
			for n := d.first; n != d.next; n++ {
				e := d.at(n)
				entries += e.name + e.value + entryCost
			}
			if entries != d.size || d.size > d.max || len(d.bytes) > 2*int(d.max)+8192 {
				t.Fatalf("the table has %d bytes, says %d, may have %d, holds %d", entries, d.size, d.max, len(d.bytes))
			}
		}
	})
}

// FuzzEncode writes blocks, between which the peer changes its mind about the table, and reads them with our decoder and theirs.
func FuzzEncode(f *testing.F) {
	f.Add(uint64(1), uint16(4096))
	f.Add(uint64(2), uint16(100))
	f.Add(uint64(3), uint16(0))
	f.Fuzz(func(t *testing.T, seed uint64, size uint16) { checkEncode(t, seed, size) })
}

func TestEncode(t *testing.T) {
	for seed := range uint64(400) {
		checkEncode(t, seed, uint16(seed*37))
	}
}

func checkEncode(t *testing.T, seed uint64, size uint16) {
	random := rand.New(rand.NewPCG(seed, 1))
	names := []string{"accept-encoding", "user-agent", "x-own", "x-own2", "accept-language", "etag", "grpc-status", "x-request-id", "authorization", "www-authenticate"}
	values := []string{"", "a", "gzip, deflate", "some value", strings.Repeat("long", 100), " bad", "b\r\nad", "tab\tbed", "\xff"}
	e := encoder{ours: uint32(size)}
	e.max = min(DefaultHeaderTableSize, e.ours)
	e.least, e.resize = e.max, e.max < DefaultHeaderTableSize
	d, x := newDecoder(DefaultHeaderTableSize), newTheirs(DefaultHeaderTableSize)
	d.limit = 65536
	x.d.SetAllowedMaxDynamicTableSize(65536)
	for range 40 {
		for random.IntN(6) == 0 {
			e.announced(uint32(random.IntN(8000)))
		}
		var h http.Header
		var want strings.Builder
		for range random.IntN(12) {
			name, value := names[random.IntN(len(names))], values[random.IntN(len(values))]
			if random.IntN(2) == 0 {
				value = fmt.Sprint(value, random.IntN(30))
			}
			h.AddNamed([]byte(name), []byte(value))
			secret := ""
			if name == "authorization" || random.IntN(10) == 0 {
				h.MarkSecret()
				secret = "!"
			}
			value = strings.Trim(strings.NewReplacer("\r", " ", "\n", " ").Replace(value), " ")
			if !http.NotInTrailers(http.Lookup(name), []byte(name)) {
				fmt.Fprintf(&want, " %s=%s%s", name, value, secret)
			}
		}
		b := e.trailers(nil, &h)
		if len(b) > room(h.Size(), h.Len()) {
			t.Fatalf("%d bytes for %d", len(b), room(h.Size(), h.Len()))
		}
		got, code := ours(d, b, len(b))
		if theirs, err := x.decode(b); code != none || err != nil || got != want.String() || theirs != got {
			t.Fatalf("seed %d: %v %v:\n%q, want\n%q, they say\n%q", seed, code.err(), err, got, want.String(), theirs)
		}
		if tableText(&d.table) != tableText(&e.table) {
			t.Fatalf("seed %d: the tables differ:\n%s\n\n%s", seed, tableText(&d.table), tableText(&e.table))
		}
	}
}

// What comes again is an index, what is of one request is not remembered.
func TestIndexing(t *testing.T) {
	e := encoder{ours: 4096, table: table{max: 4096}}
	var n []int
	for i := range 4 {
		r := request("GET", "https", "a.example", fmt.Sprintf("/item/%d", i), "user-agent", "tester/1.0", "authorization", "Bearer secret", "cookie", "a=b",
			"x-request-id", fmt.Sprint(i), "x-own", "always the same", "x-number", fmt.Sprint(i))
		n = append(n, len(e.request(nil, r)))
	}
	if want := "x-own: always the same\nuser-agent: tester/1.0\n:authority: a.example\n"; !strings.HasPrefix(tableText(&e.table), want) {
		t.Errorf("the table is %s", tableText(&e.table))
	}
	if n[2] >= n[1]/2+20 || n[3] != n[2] {
		t.Errorf("heads of %v bytes", n)
	}
}

// A table that is asked to be large and small by turns does no more than what it is filled with.
func TestTableSizes(t *testing.T) {
	d := newDecoder(4096)
	var in []byte
	for range 1000 {
		in = append(in, 0x20)
		in = append(in, 0x3f, 0xe1, 0x1f) // 4096
	}
	m := newHead(loose)
	if _, code := d.decode(in, &m, true); code != none || d.bytes != nil || d.ring != nil {
		t.Error(code.err(), cap(d.bytes), cap(d.ring))
	}
	if n := testing.AllocsPerRun(10, func() { d.late = false; d.decode(in, &m, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is kept of a table that turns over all the time is bounded by twice what it may hold.
func TestTableMemory(t *testing.T) {
	d := newDecoder(4096)
	value := bytes.Repeat([]byte("v"), 100)
	for i := range 10000 {
		d.insert(fmt.Appendf(nil, "name-%d", i), value[:i%100], 0, false)
	}
	if cap(d.bytes) > 8192 || len(d.ring) > 128 {
		t.Errorf("%d bytes, %d entries", cap(d.bytes), len(d.ring))
	}
	if n := testing.AllocsPerRun(1000, func() { d.insert(value[:20], value, 0, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// huffmanHead is a request's head all of which is spelled in Huffman's code, without indexing.
func huffmanHead() []byte {
	var b []byte
	put := func(index byte, name, value string) {
		if b = append(b, index); name != "" {
			b = append(b, 0x80|byte(hpack.HuffmanEncodeLength(name)))
			b = hpack.AppendHuffmanString(b, name)
		}
		b = append(b, 0x80|byte(hpack.HuffmanEncodeLength(value)))
		b = hpack.AppendHuffmanString(b, value)
	}
	b = append(b, 0x80|staticGET, 0x80|staticHTTPS)
	put(4, "", "/api/b1k/items?id=1")
	put(1, "", "service.example:8443")
	put(0, "user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36")
	put(0, "x-request-id", "7f2b1f0e-93a7-4c86-a1f2-4b5c07f7a9d1")
	put(0, "x-tenant", "blue")
	return b
}
