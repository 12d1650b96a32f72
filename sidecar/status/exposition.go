package status

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Several expositions become one by writing their lines one behind the other, but that a family may be declared once only, and that nothing follows the end of one in OpenMetrics. Who reads it
// turns all of it down for one line that he cannot read; so what an application says is looked at line by line, and what is no line of an exposition is left out and counted.

// maxLine bounds a line, in bytes. Longer ones are left out.
const maxLine = 64 << 10

// maxFamilies bounds the families that are kept in mind for the duration of a scrape: what comes beyond is left out.
const maxFamilies = 100_000

// exposition is what is written to whoever scrapes.
type exposition struct {
	w        *bufio.Writer
	open     bool              // OpenMetrics; else Prometheus' text format
	families map[string]string // that have been declared, with their types, by name
	helped   map[string]bool   // whose meaning has been said, or whose unit
}

// errWrite is that whoever scrapes does not read.
var errWrite = errors.New("whoever asks for the metrics does not read them")

func newExposition(w io.Writer, open bool) *exposition {
	return &exposition{w: bufio.NewWriterSize(w, 16<<10), open: open, families: map[string]string{}, helped: map[string]bool{}}
}

// close writes what is left, and the end.
func (e *exposition) close() error {
	if e.open {
		e.w.WriteString("# EOF\n")
	}
	return e.w.Flush()
}

// part is one of the expositions, as a writer.
type part struct {
	*exposition
	native  bool            // it is in the format that is written; else it is text, and OpenMetrics is written
	blocked map[string]bool // families that are something else before
	rest    []byte          // a line whose end has not come
	long    bool            // it is longer than may be
	whole   bool            // what is left has no end because there is none
	over    bool            // its end has been said
	dropped int
}

func (e *exposition) part(native bool) *part {
	return &part{exposition: e, native: native, blocked: map[string]bool{}, whole: true}
}

// Write takes a piece of it.
func (p *part) Write(b []byte) (int, error) {
	size := len(b)
	for len(b) > 0 {
		at := bytes.IndexByte(b, '\n')
		if at < 0 {
			if p.long = p.long || len(p.rest)+len(b) > maxLine; p.long {
				p.rest = p.rest[:0]
			} else {
				p.rest = append(p.rest, b...)
			}
			break
		}
		line := b[:at]
		if len(p.rest) > 0 {
			p.rest = append(p.rest, line...)
			line = p.rest
		}
		if p.long || len(line) > maxLine {
			p.dropped++
		} else if !p.line(string(line)) {
			p.dropped++
		}
		p.rest, p.long = p.rest[:0], false
		b = b[at+1:]
	}
	if _, err := p.w.Write(nil); err != nil {
		return size, errWrite
	}
	return size, nil
}

// end takes what is left. Of one that broke off that may be half a number.
func (p *part) end() {
	if len(p.rest) > 0 || p.long {
		if p.long || !p.whole || !p.line(string(p.rest)) {
			p.dropped++
		}
	}
	p.rest, p.long = nil, false
}

// line writes a line, or says that it is left out though it was meant to be something.
func (p *part) line(text string) bool {
	if text = strings.TrimSuffix(text, "\r"); !p.open || !p.native {
		text = strings.TrimRight(text, " \t") // behind a number, readers of the text format expect a time
	}
	if strings.TrimSpace(text) == "" {
		return true // which OpenMetrics has not, and nobody needs
	}
	if p.over {
		return false
	}
	if strings.HasPrefix(text, "#") {
		return p.comment(text)
	}
	one, ok := parseSample(text, p.open && p.native)
	if !ok {
		return false
	}
	family := p.familyOf(one.name)
	if p.blocked[family] {
		return false
	}
	switch kind, declared := p.families[family]; {
	case !declared && len(p.families) >= maxFamilies:
		return false
	case !declared:
		p.families[family] = undeclared
	case kind == "histogram" && !isNumber(one.le), kind == "summary" && !isNumber(one.quantile):
		return false
	}
	if !p.native {
		text = text[:one.end] // without its time, which is in another unit, and which nothing of ours has
	}
	p.w.WriteString(text)
	p.w.WriteByte('\n')
	return true
}

// undeclared is the type of a family that has samples without having been declared. It cannot be later.
const undeclared = ""

// endings are what samples of a family have behind its name.
var endings = []string{"_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"}

// familyOf is the family that a sample is of: one that has been declared, or one of its own.
func (p *part) familyOf(name string) string {
	if _, is := p.families[name]; is || p.blocked[name] {
		return name
	}
	for _, e := range endings {
		if base, is := strings.CutSuffix(name, e); is {
			if _, declared := p.families[base]; declared || p.blocked[base] {
				return base
			}
		}
	}
	return name
}

// Types of families, as each of the formats has them.
var (
	textTypes = map[string]bool{"counter": true, "gauge": true, "histogram": true, "summary": true, "untyped": true}
	openTypes = map[string]bool{"counter": true, "gauge": true, "histogram": true, "gaugehistogram": true, "stateset": true, "info": true, "summary": true, "unknown": true}
)

// comment writes what is said of a family. Other comments are for people, and are left out without a word: OpenMetrics has none.
func (p *part) comment(text string) bool {
	word, rest, _ := strings.Cut(strings.TrimLeft(text[1:], " \t"), " ")
	if word == "EOF" && rest == "" && p.open && p.native {
		p.over = true
		return true
	}
	if word != "TYPE" && word != "HELP" && !(word == "UNIT" && p.open && p.native) {
		return true
	}
	name, value, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	if !isName(name, true) || len(p.families) >= maxFamilies || len(p.helped) >= maxFamilies {
		return false
	}
	switch word {
	case "TYPE":
		kind := strings.TrimSpace(value)
		if types := p.types(); !types[kind] {
			return false
		}
		if !p.native {
			name, kind = p.opened(name, kind)
		}
		switch was, is := p.families[name]; {
		case is && was == undeclared:
			return false
		case is && was != kind: // of two that are called the same, the first stays
			p.blocked[name] = true
			return false
		case is:
			return true
		}
		p.families[name] = kind
		p.w.WriteString("# TYPE " + name + " " + kind + "\n")
	case "HELP":
		if !p.native || p.helped[name] { // ours has none, and what is said twice is turned down
			return true
		}
		if !helpful(value, p.open) {
			return false
		}
		p.helped[name] = true
		p.w.WriteString("# HELP " + name + " " + value + "\n")
	case "UNIT":
		key := "UNIT " + name
		if p.helped[key] {
			return true
		}
		if !isName(value, true) || !strings.HasSuffix(name, "_"+value) {
			return false
		}
		p.helped[key] = true
		p.w.WriteString("# UNIT " + name + " " + value + "\n")
	}
	return true
}

// types are those that the part's own format has.
func (p *part) types() map[string]bool {
	if p.open && p.native {
		return openTypes
	}
	return textTypes
}

// opened is what OpenMetrics calls a family of the text format. A counter there has a sample that ends in _total, and a family that does not.
func (p *part) opened(name, kind string) (string, string) {
	switch kind {
	case "untyped":
		return name, "unknown"
	case "counter":
		base, is := strings.CutSuffix(name, "_total")
		if was, declared := p.families[base]; is && isName(base, true) && (!declared || was == kind) {
			return base, kind
		}
		return name, "unknown"
	}
	return name, kind
}
