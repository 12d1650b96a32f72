package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// table writes rows in columns, the first row in capitals being their names.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				io.WriteString(t, "\t")
			}
			if cell == "" {
				cell = "-"
			}
			io.WriteString(t, strings.Map(harmless, cell))
		}
		io.WriteString(t, "\n")
	}
	return t.Flush()
}

// harmless is what of a text reaches a terminal: much of it comes from others, and a control character could be an order to the terminal.
func harmless(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// printed writes a value in a format for programs.
func printed(w io.Writer, format string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	if format == "yaml" {
		plain, err := decoded(b.Bytes())
		if err != nil {
			return err
		}
		y := yaml.NewEncoder(w)
		y.SetIndent(2)
		if err := y.Encode(withNumbers(plain)); err != nil {
			return err
		}
		return y.Close()
	}
	_, err := w.Write(b.Bytes())
	return err
}

// decoded is JSON without loss: numbers stay as they are written.
func decoded(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// withNumbers makes numbers of what decoded keeps as text.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		if math.IsInf(f, 0) {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	}
	return v
}

const hidden = "[redacted]"

// secretFields are those below which nothing is shown, should a proxy show it.
var secretFields = map[string]bool{"private_key": true, "privateKey": true, "password": true, "pkcs12": true, "session_ticket_keys": true, "sessionTicketKeys": true}

// hide takes out of a dump what nobody is to see. Proxies do so themselves; this is for the one that does not.
func hide(v any, within bool) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = hide(v[i], within)
		}
	case map[string]any:
		for k := range v {
			v[k] = hide(v[k], within || secretFields[k])
		}
	default:
		if within && v != nil {
			return hidden
		}
	}
	return v
}

// at goes down a value by the names of fields; nil: there is none.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func textAt(v any, path ...string) string {
	switch v := at(v, path...).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool, float64:
		return fmt.Sprint(v)
	}
	return ""
}

func listAt(v any, path ...string) []any {
	list, _ := at(v, path...).([]any)
	return list
}

// shortList is a list in one cell.
func shortList(list []string, most int) string {
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" +%d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}
