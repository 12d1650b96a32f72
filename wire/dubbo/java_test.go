package dubbo

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/arguments.txt anew, without what Java makes of it")

// What is written is what Dubbo for Java was given, and it has made of it what was meant: testdata/arguments.txt has a line for each argument, of its type, its JSON, the body and what testdata/Generic.java says of it.
func TestArgumentsInJava(t *testing.T) {
	file, err := os.ReadFile("testdata/arguments.txt")
	if err != nil {
		t.Fatal(err)
	}
	var anew []string
	for line := range strings.Lines(string(file)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		i := Invocation{Interface: "org.example.Shop", Version: "1.2.0", Group: "blue", Method: "order", Types: []Type{typeOf(t, part[0])}}
		json := part[1]
		if before, n, is := strings.Cut(json, " times "); is { // 😀 times 40000
			count := 0
			fmt.Sscan(n, &count)
			json = `"` + strings.Repeat(before, count) + `"`
		}
		b, err := AppendArgument(i.AppendBegin(nil), i.Types[0], []byte(json))
		if err != nil {
			t.Fatalf("%s as %s: %v", part[1], part[0], err)
		}
		b = i.AppendEnd(b, [][2][]byte{{[]byte("x-user"), []byte("ann")}})
		anew = append(anew, part[0]+"\t"+part[1]+"\t"+hex.EncodeToString(b))
		if *update {
			continue
		}
		if len(part) != 4 {
			t.Fatalf("%s as %s: Java has not said what it makes of it", part[1], part[0])
		}
		if want, _ := hex.DecodeString(part[2]); !bytes.Equal(b, want) {
			t.Errorf("%s as %s: %q: Java has been given %q", part[1], part[0], b, want)
		}
		if strings.Contains(part[3], "Exception") {
			t.Errorf("%s as %s: %s", part[1], part[0], part[3])
		}
	}
	if *update {
		if err := os.WriteFile("testdata/arguments.txt", []byte(strings.Join(anew, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What providers answer to generic calls, and to others, is the JSON that it was: testdata/Generic.java has written it.
func TestAnswersOfJava(t *testing.T) {
	const (
		item  = `{"price":12.50,"name":"a \"b\" 😀"}`
		items = `"items":[` + item + `,` + item + `,null]`
		order = `{"small":0,"big":-123456789012345678901234567890,"color":"BLUE","count":2,"weight":1.25,"colors":["RED"],"longs":[1,-9223372036854775808],"at":1700000000123,"bytes":"AAEC","letter":"織","paid":null,` +
			`"id":9007199254740993,"byId":{"5":` + item + `},` + items + `}`
		object = `{"byId":{"5":` + item + `},` + items + `,"colors":["RED"],"longs":[1,-9223372036854775808],"bytes":"AAEC","color":"BLUE","at":1700000000123,"big":-123456789012345678901234567890,"weight":1.25,` +
			`"paid":null,"letter":"織","small":0,"count":2,"id":9007199254740993}`
	)
	want := map[string]string{
		"order": order, "orders": `[` + order + `,` + order + `]`, "plain": `[` + object + `,` + object + `,"RED","RED",{"class":"economy","name":"x"}]`,
		"bytes": `"` + base64.StdEncoding.EncodeToString(make([]byte, 9000)) + `"`, "few": `"` + base64.StdEncoding.EncodeToString(make([]byte, 500)) + `"`,
		"timestamp": `5`, "minutes": `60000`, "far": `9223372036854775807`, "local": `"2020-01-02T03:04:05"`,
		"nan": `[null,null,0.5,1e+300,12.345,0]`, "floats": `[1.5,0.10000000149011612]`, "integers": `[0,1,18446744073709551616,-1000000000000000000000000000000]`, "decimals": `[1E+3,0.00,123456789012345678901234567890.5]`, "atomic": `5`,
		"keys": `{"1":"a","2":"b"}`, "truths": `{"true":1}`, "listed": fail(BadName).Error(), "empty": `[[],{},[],""]`, "self": fail(SelfReference).Error(), "deep": strings.Repeat("[", 501) + strings.Repeat("]", 501),
		"null": "null", "null-attached": "null", "thrown": `{"exception":"java.lang.IllegalStateException","message":"boom \"織\""}`, "thrown-silently": `{"exception":"java.lang.IllegalStateException","message":null}`,
		"thrown-itself": `{"exception":"java.lang.IllegalArgumentException","message":"none"}`,
	}
	file, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(file)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		body, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		expected := want[name]
		if size, is := strings.CutPrefix(name, "text:"); is {
			fmt.Sscan(size, &n)
			expected = `"` + strings.Repeat("x", n) + `"`
		} else if expected == "" {
			t.Errorf("nothing is said of %s", name)
		}
		out, thrown, err := AppendJSON(nil, Hessian2, body, 1<<20)
		got := string(out)
		if err != nil {
			got = err.Error()
		}
		if got != expected || thrown != strings.HasPrefix(name, "thrown") || err == nil && !json.Valid(out) {
			t.Errorf("%s is %s, %v: want %s", name, got, thrown, expected)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("Java has not written %s", name)
	}
}
