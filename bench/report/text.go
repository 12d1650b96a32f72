package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is lines of cells under a line of headings. The first column is text, the others figures.
type table struct {
	heads []string
	lines [][]string
}

// measured is the table of all measures: a column for each contestant, and what is asked of ours.
func (r Run) measured() table {
	t := table{heads: []string{"scenario", "measure"}}
	for _, v := range r.Versions {
		t.heads = append(t.heads, v.Name)
	}
	t.heads = append(t.heads, "asked at most", "measured", "")
	for _, row := range r.rows() {
		line := []string{row.title, row.measure.Name + ", " + row.measure.Unit}
		for _, v := range r.Versions {
			line = append(line, row.text(v.Name))
		}
		verdicts := row.verdicts
		if len(verdicts) == 0 {
			verdicts = []verdict{{}}
		}
		for i, v := range verdicts {
			if i > 0 {
				line = make([]string, len(t.heads)-3)
			}
			t.lines = append(t.lines, append(line, v.asked, orDash(v.measured), v.mark()))
		}
	}
	return t
}

// text is a contestant's cell: "20.8 (20.1..22.0)", and the first word of what is wrong with it.
func (r row) text(rival string) string {
	for _, c := range r.cells {
		if c.rival == rival {
			word, _, _ := strings.Cut(c.note, ":")
			return strings.TrimSpace(c.spread() + " " + word)
		}
	}
	return "–"
}

// notes says in full what is wrong with which figure.
func (r Run) notes() []string {
	var notes []string
	for _, row := range r.rows() {
		for _, c := range row.cells {
			if c.note != "" {
				notes = append(notes, fmt.Sprintf("%s, %s, %s: %s", row.title, row.measure.Name, c.rival, c.note))
			}
		}
	}
	return notes
}

func (c cell) spread() string {
	switch c.N {
	case 0:
		return "–"
	case 1:
		return figure(c.Median)
	}
	return fmt.Sprintf("%s (%s..%s)", figure(c.Median), figure(c.Min), figure(c.Max))
}

func (v verdict) mark() string {
	switch {
	case v.measured == "":
		return ""
	case v.met:
		return "met"
	case v.floor != "":
		return "not met, nor by the floor: " + v.floor
	default:
		return "not met"
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// detail is the table of what the other one leaves out: ratios between all contestants, and the
// indicative figures of those that had traffic. The client's own lateness at a fixed rate belongs to
// them: requests that leave late leave in bursts, and a proxy serves bursts cheaply.
func (r Run) detail() table {
	t := table{heads: []string{"scenario", "contestant", "median"}}
	for _, v := range r.Versions {
		t.heads = append(t.heads, "× "+v.Name)
	}
	t.heads = append(t.heads, "requests/s", "p50 µs", "p99 µs", "client late p99 µs")
	for _, row := range r.rows() {
		title := row.title + ": " + row.measure.Name
		for _, c := range row.cells {
			if c.N == 0 {
				continue
			}
			line := []string{title, c.rival, figure(c.Median) + " " + row.measure.Unit}
			title = ""
			for _, v := range r.Versions {
				text := "–"
				if ratio, ok := row.ratio(c.rival, v.Name); ok {
					text = fmt.Sprintf("%.2f", ratio)
				}
				line = append(line, text)
			}
			if c.load {
				line = append(line, fmt.Sprintf("%.0f", c.rate), figure(c.p50), figure(c.p99), figure(c.late))
			} else {
				line = append(line, "", "", "", "")
			}
			t.lines = append(t.lines, line)
		}
	}
	return t
}

// WriteText writes the report for a terminal.
func (r Run) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, line := range r.header() {
		fmt.Fprintln(&b, line)
	}
	b.WriteString("\n")
	r.measured().aligned(&b)
	for _, note := range r.notes() {
		b.WriteString("  " + note + "\n")
	}
	b.WriteString("\n")
	r.detail().aligned(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (t table) aligned(b *strings.Builder) {
	widths := make([]int, len(t.heads))
	for _, line := range append([][]string{t.heads}, t.lines...) {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, line := range append([][]string{t.heads}, t.lines...) {
		var text strings.Builder
		for i, c := range line {
			text.WriteString(c)
			text.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
}

// WriteMarkdown writes the report as a page.
func (r Run) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Benchmark of " + r.Date.Format("2 January 2006") + "\n\n")
	for _, line := range r.header() {
		name, text, _ := strings.Cut(line, ": ")
		fmt.Fprintf(&b, "- **%s:** %s\n", name, text)
	}
	b.WriteString("\n## Measured beside asked\n\n")
	r.measured().markdown(&b)
	for _, note := range r.notes() {
		b.WriteString("\n" + note + "\n")
	}
	b.WriteString("\n## Ratios and indicative figures\n\n")
	r.detail().markdown(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (t table) markdown(b *strings.Builder) {
	bars := func(line []string) {
		b.WriteString("|")
		for _, c := range line {
			b.WriteString(" " + strings.ReplaceAll(c, "|", "\\|") + " |")
		}
		b.WriteString("\n")
	}
	bars(t.heads)
	b.WriteString("|" + strings.Repeat(" --- |", len(t.heads)) + "\n")
	for _, line := range t.lines {
		bars(line)
	}
}
