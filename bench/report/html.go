package report

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// WriteHTML writes the report as one page that needs nothing else: style and plots are inside.
func (r Run) WriteHTML(w io.Writer) error {
	var b strings.Builder
	date := r.Date.Format("2 January 2006")
	fmt.Fprintf(&b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>weft: benchmark of %s</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n", date, style)
	fmt.Fprintf(&b, "<h1>Benchmark of %s</h1>\n<dl>\n", date)
	for _, line := range r.header()[1:] {
		name, text, _ := strings.Cut(line, ": ")
		fmt.Fprintf(&b, "<dt>%s</dt><dd>%s</dd>\n", html.EscapeString(name), html.EscapeString(text))
	}
	b.WriteString("</dl>\n<p class=\"key\">Less is better everywhere. A bar is the median, its whisker min to max; a dashed line is what is asked of weft.</p>\n<div class=\"plots\">\n")
	for _, row := range r.rows() {
		row.figure(&b, r.Versions)
	}
	b.WriteString("</div>\n<h2>Measured beside asked</h2>\n")
	r.measured().html(&b)
	for _, note := range r.notes() {
		fmt.Fprintf(&b, "<p class=\"key\">%s</p>\n", html.EscapeString(note))
	}
	b.WriteString("<h2>Ratios and indicative figures</h2>\n")
	r.detail().html(&b)
	b.WriteString("</main>\n</body>\n</html>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// figure writes a plot with its title above and the verdicts below.
func (r row) figure(b *strings.Builder, versions []Version) {
	fmt.Fprintf(b, "<figure>\n<figcaption><strong>%s</strong> %s, %s</figcaption>\n",
		html.EscapeString(r.title), html.EscapeString(r.measure.Name), html.EscapeString(r.measure.Unit))
	r.plot(b, versions)
	for _, v := range r.verdicts {
		class, text := "open", "asked: at most "+v.asked
		if v.measured != "" {
			class = map[bool]string{true: "met", false: "missed"}[v.met]
			text += "; measured: " + v.measured + ", " + v.mark()
		}
		fmt.Fprintf(b, "<p class=\"%s\">%s</p>\n", class, html.EscapeString(text))
	}
	b.WriteString("</figure>\n")
}

func (t table) html(b *strings.Builder) {
	b.WriteString("<div class=\"wide\"><table>\n<thead><tr>")
	for _, h := range t.heads {
		fmt.Fprintf(b, "<th>%s</th>", html.EscapeString(h))
	}
	b.WriteString("</tr></thead>\n<tbody>\n")
	for _, line := range t.lines {
		b.WriteString("<tr>")
		for _, c := range line {
			fmt.Fprintf(b, "<td>%s</td>", html.EscapeString(c))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table></div>\n")
}

// style follows the reader's choice of light or dark. Ours is the only bar in colour.
const style = `
:root { color-scheme: light dark; --page: #fbfaf7; --card: #ffffff; --ink: #22252b; --faint: #69707c; --line: #e2dfd8;
  --ours: #0b7a75; --other: #b3b9c4; --whisker: #4a505b; --asked: #b4531a; --met: #1c7c43; --missed: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --card: #1c1f25; --ink: #e6e7ea; --faint: #98a0ad; --line: #2e323a;
  --ours: #39b8ad; --other: #555d6b; --whisker: #c3c8d1; --asked: #f0a266; --met: #6bcf8e; --missed: #ff8a80; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 0 1rem; }
dt { color: var(--faint); } dd { margin: 0; } .key { color: var(--faint); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 1rem; }
figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
figcaption { font-size: .85rem; color: var(--faint); margin-bottom: .6rem; } figcaption strong { display: block; color: var(--ink); font-size: .95rem; }
figure p { margin: .3rem 0 0; font-size: .82rem; color: var(--faint); } figure .met { color: var(--met); } figure .missed { color: var(--missed); }
svg { display: block; width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .note { fill: var(--faint); } svg .ours { fill: var(--ours); } svg .other { fill: var(--other); }
svg .whisker { stroke: var(--whisker); stroke-width: 1.5; } svg .axis { stroke: var(--line); } svg .asked { stroke: var(--asked); stroke-width: 1.5; stroke-dasharray: 4 3; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); } th { color: var(--faint); font-weight: 500; }
`
