package dubbo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	hessian2 "github.com/apache/dubbo-go-hessian2"
	"github.com/apache/dubbo-go-hessian2/java_exception"
)

// Forms that no encoder of ours writes, and those that are bad.
func TestAnswersByHand(t *testing.T) {
	const decimal = "C\x14java.math.BigDecimal\x91\x05value"
	const integer = "C\x14java.math.BigInteger\x92\x06signum\x03mag"
	for _, one := range []struct{ name, body, want string }{
		{"an answer of nothing", "", fail(BodyCut).Error()},
		{"a kind that there is not", "\x96", fail(BadAnswer).Error()},
		{"a kind that is a text", "\x01a", fail(BadTag).Error()},
		{"no value", "\x91", fail(BodyCut).Error()},
		{"no tag", "\x91G", fail(BadTag).Error()},
		{"what stands behind a value", "\x91\x90\x91", "0"},
		{"ints", "\x91W\x8f\xc7\xff\xd3\xff\xffI\x80\x00\x00\x00Z", "[-1,-1,-1,-2147483648]"},
		{"longs", "\x91W\xdf\xf7\xff\x3f\xff\xffY\x80\x00\x00\x00L\x80\x00\x00\x00\x00\x00\x00\x00Z", "[-1,-1,262143,-2147483648,-9223372036854775808]"},
		{"doubles", "\x91W\x5b\x5c\x5d\xff\x5e\x80\x00\x5f\x00\x00\x30\x39D\x80\x00\x00\x00\x00\x00\x00\x00Z", "[0,1,-1,-32768,12.345,-0]"},
		{"dates", "\x91\x7aJ\xff\xff\xff\xff\xff\xff\xff\xffK\xff\xff\xff\xff", `[-1,-60000]`},
		{"the first date", "\x91J\x80\x00\x00\x00\x00\x00\x00\x00", `-9223372036854775808`},
		{"texts in pieces", "\x91R\x00\x02abS\x00\x01c", `"abc"`},
		{"half of a pair ends a piece", "\x91R\x00\x01\xed\xa0\xbd\x01\xed\xb8\x80", `"` + "\ufffd\ufffd" + `"`},
		{"a pair", "\x91\x04a\xed\xa0\xbd\xed\xb8\x80b", `"a😀b"`},
		{"halves of pairs", "\x91\x03\xed\xb8\x80\xed\xa0\xbdb", `"` + "\ufffd\ufffdb" + `"`},
		{"a character that is written too long", "\x91\x04\xc0\x80\xc0\xa2\xe0\x80\x8a\xe0\x81\x81", `"\u0000\"\nA"`},
		{"all that is escaped", "\x91\x06\x00\x1f\"\\\x7f\t", `"\u0000\u001f\"\\` + "\x7f" + `\t"`},
		{"a text that ends early", "\x91\x05ab", fail(BodyCut).Error()},
		{"a piece that no text follows", "\x91R\x00\x01a\x91", fail(BadText).Error()},
		{"bytes in pieces", "\x91A\x00\x01xA\x00\x02yzB\x00\x01!", `"eHl6IQ=="`},
		{"bytes that end early", "\x91\x23ab", fail(BodyCut).Error()},
		{"no bytes", "\x91\x20", `""`},
		{"lists of all forms", "\x91W\x71\x04[int\x91U\x90\x92ZV\x90\x91\x93X\x91\x94\x78Z", "[[1],[2],[3],[4],[]]"},
		{"a list that says it is long", "\x91XI\x7f\xff\xff\xff", fail(BadCount).Error()},
		{"a list that does not end", "\x91W\x91", fail(BodyCut).Error()},
		{"a type that has not been there", "\x91\x71\x90\x90", fail(BadReference).Error()},
		{"a map of a type", "\x91M\x11java.util.TreeMap\x01a\x91Z", `{"a":1}`},
		{"keys that are no texts", "\x91H\x91\x01aT\x01b\xe2\x01c\x5c\x01dJ\x00\x00\x00\x00\x00\x00\x00\x00\x01eZ", `{"1":"a","true":"b","2":"c","1":"d","0":"e"}`},
		{"a key that is null", "\x91HN\x91Z", fail(BadName).Error()},
		{"a key that is a list", "\x91H\x78\x91Z", fail(BadName).Error()},
		{"a key that is an enum", "\x91HC\x03a.E\x91\x04name`\x01A\x91Z", `{"A":1}`},
		{"an enum, and again", "\x91\x7aC\x03a.E\x91\x04name`\x01AQ\x91", `["A","A"]`},
		{"the class of what a map stands for", "\x91H\x05class\x0bx.y.Order_1\x02id\x91Z", `{"id":1}`},
		{"a class alone", "\x91H\x05class\x03a.BZ", `{}`},
		{"a class between", "\x91H\x01a\x90\x05class\x03a.B\x01b\x91Z", `{"a":0,"b":1}`},
		{"classes that are none", "\x91\x7cH\x05class\x01aZH\x05class\x03a bZH\x05class\x02a.ZH\x05class\x91Z", `[{"class":"a"},{"class":"a b"},{"class":"a."},{"class":1}]`},
		{"an object", "\x91C\x03a.P\x92\x01x\x02\"yO\x90\x91\x78", `{"x":1,"\"y":[]}`},
		{"an object that is only a name, which is none", "\x91C\x03a.P\x91\x04name`\x91", `{"name":1}`},
		{"an object around a value", "\x91\x7aC\x03a.P\x91\x05value`\x91C\x08java.x.P\x91\x05valuea\x91", `[{"value":1},1]`},
		{"an object of no class", "\x91O\x90", fail(BadReference).Error()},
		{"a class within a list", "\x91\x7aC\x03a.P\x91\x01a`C\x03a.Q\x91\x01ba\x91a\x92", `[{"a":{"b":1}},{"b":2}]`},
		{"decimals", "\x91\x7c" + decimal + "`\x0412.5`\x041E-3`\x03abc`\x0501.25", `[12.5,1E-3,"abc","01.25"]`},
		{"a decimal of nothing", "\x91" + decimal + "`N", "null"},
		{"integers", "\x91\x7b" + integer + "`\x8f\x72\x04[int\x91\x8f`\x90\x70\x90`\x91X\x91\x8f", "[-8589934591,0,4294967295]"},
		{"an integer of too many ints", "\x91" + integer + "`\x91X\xcc\x01" + strings.Repeat("\x91", 1025), fail(NumberTooLong).Error()},
		{"an integer of texts", "\x91" + integer + "`\x91\x79\x01a", fail(BadTag).Error()},
		{"a reference", "\x91\x7a\x79\x91Q\x91", "[[1],[1]]"},
		{"a reference to what has references", "\x91\x7b\x78\x7aQ\x91Q\x91Q\x92", "[[],[[],[]],[[],[]]]"},
		{"a reference to what defines and names", "\x91\x7c\x7aC\x03a.P\x91\x01a`\x91\x71\x04[int\x92Q\x91`\x93\x71\x90\x94", `[[{"a":1},[2]],[{"a":1},[2]],{"a":3},[4]]`},
		{"a reference behind one that has brought others", "\x91\x7c\x79\x79\x78Q\x91\x79\x91Q\x94", "[[[[]]],[[[]]],[1],[1]]"},
		{"a reference to nothing", "\x91\x79Q\x91", fail(BadReference).Error()},
		{"a list in itself", "\x91\x79Q\x90", fail(SelfReference).Error()},
		{"a map in itself", "\x91\x79H\x01aQ\x91Z", fail(SelfReference).Error()},
		{"an object in itself", "\x91C\x03a.P\x91\x01a`\x79Q\x90", fail(SelfReference).Error()},
		{"lists as deep as is read", "\x91" + strings.Repeat("\x79", maxDepth-1) + "\x78", strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)},
		{"lists that are deeper", "\x91" + strings.Repeat("\x79", maxDepth) + "\x78", fail(TooDeep).Error()},
		{"more classes than anybody has", "\x91" + strings.Repeat("C\x01A\x90", maxClasses+1) + "\x91", fail(TooManyClasses).Error()},
		{"thrown is a text", "\x90\x01a", fail(BadAnswer).Error()},
		{"thrown is null", "\x90N", fail(BadAnswer).Error()},
		{"thrown has a message that is no text", "\x90C\x03a.E\x91\x0ddetailMessage`\x91", fail(BadText).Error()},
		{"thrown says nothing", "\x90C\x03a.E\x90`", `{"exception":"a.E","message":null}`},
		{"thrown refers to itself", "\x93C\x03a.E\x92\x05cause\x0ddetailMessage`Q\x90\x01x", `{"exception":"a.E","message":"x"}`},
		{"thrown ends early", "\x90C\x03a.E\x91\x0ddetailMessage`", fail(BodyCut).Error()},
	} {
		out, thrown, err := AppendJSON([]byte("before"), Hessian2, []byte(one.body), 1<<20)
		got := strings.TrimPrefix(string(out), "before")
		if err != nil {
			if got != "" || thrown {
				t.Errorf("%s: %q is written", one.name, got)
			}
			got = err.Error()
		} else if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is no JSON", one.name, got)
		}
		if got != one.want || err == nil && thrown != strings.HasPrefix(one.name, "thrown") {
			t.Errorf("%s: %s, %v: want %s", one.name, got, thrown, one.want)
		}
	}
	if _, _, err := AppendJSON(nil, Fastjson2, []byte("\x91\x91"), 100); err != fail(NotHessian) {
		t.Error(err)
	}
}

// No answer is larger than it may be, however it swells, and how it swells costs no more than that.
func TestAnswersAreBounded(t *testing.T) {
	const most = 4095
	twice := "\x91X\xa1\x78" // an empty list, and behind it lists of the one before, twice
	for i := range 16 {
		twice += "\x7aQ" + string([]byte{byte(0x91 + i)}) + "Q" + string([]byte{byte(0x91 + i)})
	}
	for name, body := range map[string]string{
		"what swells":    twice,
		"a text":         "\x91S\x40\x00" + strings.Repeat("a", 1<<14),
		"escapes":        "\x91S\x04\x00" + strings.Repeat("\x00", 1<<10),
		"bytes":          "\x91B\x10\x00" + strings.Repeat("\x00", 1<<12),
		"lists":          "\x91X\xd4\x08\x00" + strings.Repeat("\x78", 1<<11),
		"a name":         "\x91C\x03a.P\x91S\x20\x00" + strings.Repeat("a", 1<<13) + "`\x91",
		"what is thrown": "\x90C\x03a.P\x91\x0ddetailMessage`S\x20\x00" + strings.Repeat("a", 1<<13),
	} {
		if _, _, err := AppendJSON(make([]byte, 100), Hessian2, []byte(body), most); err != fail(AnswerTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// References to what is short as JSON and long in the body: a list of an object whose class has a long name.
	long := "\x91X\xcf\xe8\x79CS\x75\x30" + strings.Repeat("c", 30_000) + "\x90`" + strings.Repeat("Q\x91", 2023)
	if out, _, err := AppendJSON(nil, Hessian2, []byte(long), 1<<30); err != nil || len(out) != 2024*len("[{}],")+1 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if _, _, err := AppendJSON(nil, Hessian2, []byte(long), 1<<20); err != fail(AnswerTooLarge) {
		t.Error(err)
	}
	b := []byte("\x91\x05abcde")
	if out, _, err := AppendJSON([]byte("x"), Hessian2, b, 7); err != nil || string(out) != `x"abcde"` {
		t.Errorf("%s, %v", out, err)
	}
	if _, _, err := AppendJSON([]byte("x"), Hessian2, b, 6); err != fail(AnswerTooLarge) {
		t.Error(err)
	}
}

// What dubbo-go has thrown is told as what Java has.
func TestThrownByGo(t *testing.T) {
	for want, v := range map[string]any{
		`{"exception":"java.lang.Throwable","message":"boom"}`:   java_exception.NewThrowable("boom"),
		`{"exception":"org.example.Sold","message":"all \"織\""}`: java_exception.NewDubboGenericException("org.example.Sold", "all \"織\""),
	} {
		if out, thrown, err := AppendJSON(nil, Hessian2, answered(t, int32(0), v), 1000); err != nil || !thrown || string(out) != want {
			t.Errorf("%s, %v, %v: want %s", out, thrown, err, want)
		}
	}
}

// answerOf is the body of an answer that is a value which was written.
func answerOf(b []byte) []byte { return append([]byte{0x90 + answerValue}, b...) }

// equalJSON tells whether two JSON texts are equal, numbers as they are.
func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// randomJSON is a JSON text in which no object has a name twice.
func randomJSON(r *rand.Rand, depth int) any {
	texts := []string{"", "a", "naïve \"q\" \\ \n\x01", "a😀织", strings.Repeat("x", 40), strings.Repeat("é", 3000), strings.Repeat("y😀", 12_000), "class", "9"}
	switch n := r.IntN(9); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return int64(r.Uint64()) >> r.IntN(64)
	case n == 3:
		return r.NormFloat64() * float64(int64(1)<<r.IntN(60))
	case n <= 5 || depth == 0:
		return texts[r.IntN(len(texts))]
	case n == 6:
		m := map[string]any{}
		for range r.IntN(5) {
			m[texts[r.IntN(len(texts)-2)]] = randomJSON(r, depth-1)
		}
		return m
	}
	list := []any{}
	for range r.IntN(12) {
		list = append(list, randomJSON(r, depth-1))
	}
	return list
}

// JSON that is written as an argument and read as an answer is the JSON that it was.
func TestThereAndBack(t *testing.T) {
	for round := range 400 {
		v := randomJSON(rand.New(rand.NewPCG(uint64(round), 3)), 4)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b, err := AppendArgument(nil, Type{}, text)
		if err != nil {
			t.Fatalf("%.300s: %v", text, err)
		}
		out, thrown, err := AppendJSON(nil, Hessian2, answerOf(b), 1<<24)
		if err != nil || thrown || !equalJSON(out, text) {
			t.Fatalf("%.300s became %.300s, %v, %v", text, out, thrown, err)
		}
		// Integers are the digits that they were.
		d := json.NewDecoder(bytes.NewReader(out))
		d.UseNumber()
		var got any
		if n, is := v.(int64); is && (d.Decode(&got) != nil || got.(json.Number).String() != string(text)) {
			t.Fatalf("%d became %v", n, got)
		}
		if _, err := hessian2.NewDecoder(b).Decode(); err != nil {
			t.Fatalf("%.300s: dubbo-go says %v", text, err)
		}
	}
}

// answered is a body that dubbo-go writes.
func answered(t testing.TB, values ...any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return e.Buffer()
}

func random(r *rand.Rand, depth int) (written, want any) {
	texts := []string{"", "a", "naïve \"q\" \\ \n\x01", "a😀织", strings.Repeat("x", 40), strings.Repeat("é", 3000), strings.Repeat("y", 33_000)}
	switch n := r.IntN(11); {
	case n == 0:
		return nil, nil
	case n == 1:
		is := r.IntN(2) == 0
		return is, is
	case n == 2:
		i := int32(r.Uint32()) >> r.IntN(32)
		return i, float64(i)
	case n == 3:
		i := int64(r.Uint64()) >> (11 + r.IntN(53))
		return i, float64(i)
	case n == 4:
		f := r.NormFloat64() * math.Pow10(r.IntN(40)-20)
		return f, f
	case n <= 6 || depth == 0:
		s := texts[r.IntN(len(texts))]
		return s, s
	case n == 7:
		at := time.UnixMilli(r.Int64N(4e12)).UTC()
		return at, float64(at.UnixMilli())
	case n == 8:
		m, want := map[any]any{}, map[string]any{}
		for i := range r.IntN(4) {
			v, w := random(r, depth-1)
			m[fmt.Sprint("k", i)], want[fmt.Sprint("k", i)] = v, w
		}
		return m, want
	case n == 9:
		v, w := random(r, depth-1)
		return &Box{V: v, N: 5}, map[string]any{"v": w, "n": 5.0}
	}
	list, want2 := []any{}, []any{}
	for range r.IntN(12) {
		v, w := random(r, depth-1)
		list, want2 = append(list, v), append(want2, w)
	}
	return list, want2
}

// Box is an object of a class of Java's.
type Box struct {
	V any
	N int32
}

func (*Box) JavaClassName() string { return "org.example.Box" }

// What another implementation writes is the JSON that was meant.
func TestAnswersAtRandom(t *testing.T) {
	for round := range 600 {
		r := rand.New(rand.NewPCG(uint64(round), 7))
		v, want := random(r, 4)
		b := answered(t, int32(1), v)
		out, thrown, err := AppendJSON([]byte("x"), Hessian2, b, 1<<24)
		if err != nil || thrown {
			t.Fatalf("%.300v: %v", v, err)
		}
		var got any
		if err := json.Unmarshal(out[1:], &got); err != nil {
			t.Fatalf("%.300v: %v: %.300s", v, err, out)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%.300v: %.300s", v, out)
		}
	}
}
