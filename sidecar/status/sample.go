package status

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLabels bounds the labels of a sample.
const maxLabels = 256

// sample is what has to be known of a line with a number.
type sample struct {
	name         string
	end          int    // of the number, in the line
	le, quantile string // labels that have to be numbers in families of some types; one that is not there is 0
}

// parseSample reads a line of Prometheus' text format, or of OpenMetrics: a name, labels, a number, and what may be behind it. false: it is none.
func parseSample(line string, open bool) (s sample, ok bool) {
	if !utf8.ValidString(line) {
		return s, false
	}
	at := 0
	for at < len(line) && isNameByte(line[at], at == 0, true) {
		at++
	}
	s.le, s.quantile = "0", "0"
	if s.name = line[:at]; at == 0 {
		return s, false
	}
	space := func() {
		for at < len(line) && (line[at] == ' ' || line[at] == '\t' && !open) {
			at++
		}
	}
	if !open {
		space()
	}
	if at < len(line) && line[at] == '{' {
		n, le, quantile, is := parseLabels(line[at:], open)
		if !is {
			return s, false
		}
		at, s.le, s.quantile = at+n, le, quantile
		if !open {
			space()
		}
	}
	if open {
		if at == len(line) || line[at] != ' ' {
			return s, false
		}
		at++
	}
	word := func() string {
		start := at
		for at < len(line) && line[at] != ' ' && (open || line[at] != '\t') {
			at++
		}
		return line[start:at]
	}
	number := word()
	if s.end = at; !isNumber(number) {
		return s, false
	}
	if !open {
		space()
		if time := word(); time != "" {
			if _, err := strconv.ParseInt(time, 10, 64); err != nil {
				return s, false
			}
		}
		space()
		return s, at == len(line)
	}
	if at < len(line) && !strings.HasPrefix(line[at:], " # ") {
		at++
		if !isNumber(word()) { // a time
			return s, false
		}
	}
	if at == len(line) {
		return s, true
	}
	exemplar, is := strings.CutPrefix(line[at:], " # ")
	if !is || !strings.HasPrefix(exemplar, "{") {
		return s, false
	}
	n, _, _, is := parseLabels(exemplar, true)
	if !is || n == len(exemplar) || exemplar[n] != ' ' {
		return s, false
	}
	words := strings.Split(exemplar[n+1:], " ")
	if len(words) > 2 {
		return s, false
	}
	for _, w := range words {
		if !isNumber(w) {
			return s, false
		}
	}
	return s, true
}

// parseLabels reads labels in braces, and says how long they are. No two may have the same name.
func parseLabels(text string, open bool) (size int, le, quantile string, ok bool) {
	at := 1
	le, quantile = "0", "0"
	space := func() {
		for !open && at < len(text) && (text[at] == ' ' || text[at] == '\t') {
			at++
		}
	}
	var names []string
	for {
		if space(); at == len(text) {
			return 0, "", "", false
		}
		if text[at] == '}' && (!open || len(names) == 0) {
			return at + 1, le, quantile, true
		}
		start := at
		for at < len(text) && isNameByte(text[at], at == start, false) {
			at++
		}
		name := text[start:at]
		if name == "" || name == "__name__" || len(names) == maxLabels {
			return 0, "", "", false
		}
		for _, n := range names {
			if n == name {
				return 0, "", "", false
			}
		}
		names = append(names, name)
		if space(); at == len(text) || text[at] != '=' {
			return 0, "", "", false
		}
		at++
		if space(); at == len(text) || text[at] != '"' {
			return 0, "", "", false
		}
		at++
		start = at
		for ; at < len(text) && text[at] != '"'; at++ {
			if text[at] == '\\' {
				if at++; at == len(text) || strings.IndexByte(`\"n`, text[at]) < 0 {
					return 0, "", "", false
				}
			}
		}
		if at == len(text) {
			return 0, "", "", false
		}
		switch name {
		case "le":
			le = text[start:at]
		case "quantile":
			quantile = text[start:at]
		}
		at++
		if space(); at == len(text) {
			return 0, "", "", false
		}
		switch text[at] {
		case ',':
			at++
			if open && at < len(text) && text[at] == '}' {
				return 0, "", "", false
			}
		case '}':
			return at + 1, le, quantile, true
		default:
			return 0, "", "", false
		}
	}
}

// isNameByte tells whether something may be in the name of a metric, or of a label.
func isNameByte(c byte, first, metric bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' && metric || c >= '0' && c <= '9' && !first
}

func isName(text string, metric bool) bool {
	for i := range len(text) {
		if !isNameByte(text[i], i == 0, metric) {
			return false
		}
	}
	return text != ""
}

// isNumber tells whether something is a number, as the formats write them: Go's, but for those that are not of tens.
func isNumber(text string) bool {
	if strings.ContainsAny(text, "pPxX_") {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// helpful tells whether what is said of a family may be said so.
func helpful(text string, open bool) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			if i++; i == len(text) || text[i] != '\\' && text[i] != 'n' && !(open && text[i] == '"') {
				return false
			}
		}
	}
	return true
}
