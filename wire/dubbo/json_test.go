package dubbo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever JSON comes, it is refused, or what is written of it is read again as what it was; and what is JSON is never called none.
func FuzzJSON(f *testing.F) {
	file, err := os.ReadFile("testdata/arguments.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		part := strings.Split(line, "\t")
		f.Add(part[0], []byte(part[1]))
	}
	for _, text := range []string{`{"class":"a.B"}`, `["\ud83d\ude00\ud83d",-0,1E+2,0.1e-7]`, ` {"a" : [ ] , "a":{}}`, "[1,]", `"\u12`, "-", "1e", "\"\xff\"", `{"\u0063lass":{"class":1}}`, "18446744073709551616", strings.Repeat("[", 300)} {
		f.Add("java.lang.Object", []byte(text))
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		of, err := TypeOf(name)
		if err != nil {
			of = Type{}
		}
		i := Invocation{Interface: "a.B", Method: "m", Types: []Type{of}}
		begin := i.AppendBegin(nil)
		for _, write := range []func([]byte, Type, []byte) ([]byte, error){AppendArgument, AppendTextArgument} {
			b, err := write(begin, of, text)
			if err != nil {
				if err.Error() == "" || len(b) != len(begin) {
					t.Errorf("%q: %v, %d bytes", text, err, len(b))
				}
				continue
			}
			if len(b)-len(begin) > 16*len(text)+64 {
				t.Errorf("%q: %d bytes", text, len(b)-len(begin))
			}
			var c Call
			err = c.Read(Hessian2, i.AppendEnd(b, nil))
			if err == nil {
				_, err = c.Attachments()
			}
			if _, n, _ := c.Target(); err != nil || n != 1 {
				t.Errorf("%q: %d arguments, %v", text, n, err)
			}
		}

		found, object := map[string]json.RawMessage{}, map[string]json.RawMessage(nil)
		err = Members(text, func(name, value []byte) { found[string(name)] = bytes.Clone(value) })
		is := json.Unmarshal(text, &object) == nil && object != nil
		switch {
		case err == nil && (!is || !maps.EqualFunc(found, object, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })):
			t.Errorf("%q: members %q, want %q", text, found, object)
		case err != nil && is && utf8.Valid(text) && !strings.Contains(err.Error(), "256 deep"):
			t.Errorf("%q: %v", text, err)
		}

		b, err := AppendArgument(nil, Type{}, text)
		valid := json.Valid(text)
		if err != nil {
			if valid && utf8.Valid(text) && strings.Contains(err.Error(), "it is no JSON") && !strings.Contains(string(text), "it is no JSON") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		out, thrown, err := AppendJSON(nil, Hessian2, answerOf(b), 1<<20+8*len(text))
		if !valid || err != nil || thrown || !equalJSON(out, text) {
			t.Errorf("%q became %q, %v, %v; valid: %v", text, out, thrown, err, valid)
		}
	})
}

// Whatever answer comes, it becomes JSON that is no larger than may be, or an error.
func FuzzAnswer(f *testing.F) {
	file, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if _, digits, _ := strings.Cut(strings.TrimSpace(line), " "); len(digits) < 8000 {
			body, err := hex.DecodeString(digits)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
		}
	}
	f.Add([]byte("\x91\x7c\x7aC\x03a.P\x91\x01a`\x91\x71\x04[int\x92Q\x91`\x93\x71\x90\x94"))
	f.Add([]byte("\x91H\x05class\x03a.B\x91\x01aT\x01bZ"))
	f.Add([]byte("\x91\x79Q\x90"))
	f.Fuzz(func(t *testing.T, body []byte) {
		const most = 1 << 16
		out, _, err := AppendJSON([]byte("x"), Hessian2, body, most)
		if err != nil {
			if _, is := err.(*Error); !is || string(out) != "x" {
				t.Errorf("%v: %q", err, out)
			}
			return
		}
		if out = out[1:]; !json.Valid(out) || !utf8.Valid(out) || len(out) > most {
			t.Errorf("%q, %d bytes", out, len(out))
		}
		// What is read here is read by what passes values over, too.
		h := hessian{b: body}
		kind, err := h.value()
		if err == nil && kind.Int%answerKinds != answerNull {
			_, err = h.value()
		}
		if err != nil {
			t.Errorf("%q: %v", out, err)
		}
	})
}
