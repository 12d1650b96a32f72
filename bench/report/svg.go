package report

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Sizes of a plot, in its own units; the page scales it to the width it has.
const (
	plotWidth = 340
	barsLeft  = 66  // names stand left of it
	barsRight = 286 // figures stand right of the bars
	barStep   = 26
	barHeight = 16
)

// plot writes the row as horizontal bars from zero, in the order of the contestants.
func (r row) plot(b *strings.Builder, versions []Version) {
	height := barStep*len(r.cells) + 4
	fmt.Fprintf(b, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s: %s\">\n",
		plotWidth, height, html.EscapeString(r.title), html.EscapeString(r.measure.Name))
	asked := r.asked()
	top := r.top(asked)
	at := func(v float64) float64 { return barsLeft + (barsRight-barsLeft)*v/top }
	line := 0
	for _, v := range versions {
		i := slices.IndexFunc(r.cells, func(c cell) bool { return c.rival == v.Name })
		if i < 0 {
			continue
		}
		bar(b, r.cells[i], float64(2+barStep*line), at)
		line++
	}
	fmt.Fprintf(b, "<line class=\"axis\" x1=\"%d\" y1=\"0\" x2=\"%d\" y2=\"%d\"/>\n", barsLeft, barsLeft, height)
	for _, v := range asked {
		fmt.Fprintf(b, "<line class=\"asked\" x1=\"%.1f\" y1=\"0\" x2=\"%.1f\" y2=\"%d\"/>\n", at(v), at(v), height)
	}
	b.WriteString("</svg>\n")
}

func bar(b *strings.Builder, c cell, y float64, at func(float64) float64) {
	middle := y + barHeight/2
	text := func(x float64, class, anchor, s string) {
		fmt.Fprintf(b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", class, x, middle+4, anchor, html.EscapeString(s))
	}
	text(barsLeft-8, "", "end", c.rival)
	if c.N == 0 || c.note != "" {
		word, _, _ := strings.Cut(c.note, ":")
		text(barsLeft+6, "note", "start", word)
		return
	}
	class := "other"
	if c.rival == us {
		class = "ours"
	}
	fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class, barsLeft, y, at(max(c.Median, 0))-barsLeft, barHeight)
	if c.N > 1 {
		fmt.Fprintf(b, "<line class=\"whisker\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", at(max(c.Min, 0)), middle, at(max(c.Max, 0)), middle)
	}
	text(max(at(c.Median), at(c.Max))+6, "", "start", figure(c.Median))
}

// asked returns where the targets stand on the row's axis, as far as the run can tell.
func (r row) asked() []float64 {
	var at []float64
	for _, t := range r.measure.Targets {
		if t.Of == "" {
			at = append(at, t.AtMost)
		} else if c, ok := r.good(t.Of); ok {
			at = append(at, t.AtMost*c.Median)
		}
	}
	return at
}

// top is the value at the right end of the bars: the largest shown, and never zero.
func (r row) top(asked []float64) float64 {
	top := 0.0
	for _, c := range r.cells {
		if c.note == "" {
			top = max(top, c.Max)
		}
	}
	for _, v := range asked {
		top = max(top, v)
	}
	if top == 0 {
		return 1
	}
	return top
}
