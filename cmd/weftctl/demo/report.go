package demo

import (
	"fmt"
	"html/template"
	"os"
	"strings"
	"time"
)

// Sizes of the plot, in its own units.
const (
	plotWidth, plotHeight = 1000, 220
)

// report writes a page: what each step has shown, and what there was of requests all along.
func report(path string, s *stage, results []outcome) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("demo: the report: %w", err)
	}
	type line struct {
		Number                    int
		Title, About, Apply, Took string
		Lost                      uint64
		Verdict, Seen, Wrong      string
	}
	var lines []line
	for i, r := range results {
		l := line{Number: i + 1, Title: steps[i].title, About: steps[i].about, Apply: strings.TrimSpace(steps[i].apply), Took: "-", Lost: r.lost, Verdict: r.verdict(), Seen: r.seen}
		if r.took > 0 {
			l.Took = milliseconds(r.took)
		}
		if r.err != nil {
			l.Wrong = r.err.Error()
		}
		lines = append(lines, l)
	}
	lost, _ := s.lost()
	past := s.mesh.history()
	err = page.Execute(f, map[string]any{
		"Where": s.where(), "When": time.Now().UTC().Format("2006-01-02 15:04 UTC"), "Lines": lines, "Sent": thousands(s.sent()), "Lost": thousands(lost),
		"Shares": template.HTML(sharesPlot(past)), "Slowest": template.HTML(slowestPlot(past)), "Seconds": fmt.Sprintf("%.0f s", (time.Duration(len(past)) * momentSpan).Seconds()),
	})
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("demo: the report: %w", err)
	}
	return nil
}

// sharesPlot stacks what each version has answered, moment by moment; what was lost stands in red.
func sharesPlot(past []moment) string {
	most := 1
	for _, m := range past {
		most = max(most, m.versions[0]+m.versions[1]+m.lost)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="requests by version over time">`, plotWidth, plotHeight)
	wide := float64(plotWidth) / float64(max(len(past), 1))
	high := func(n int) float64 { return float64(plotHeight) * float64(n) / float64(most) }
	for i, m := range past {
		at := float64(plotHeight)
		for k, n := range []int{m.versions[0], m.versions[1], m.lost} {
			if n > 0 {
				at -= high(n)
				fmt.Fprintf(&b, `<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" class="%s"/>`, float64(i)*wide, at, wide+0.1, high(n), [...]string{"v1", "v2", "lost"}[k])
			}
		}
	}
	return b.String() + "</svg>"
}

// slowestPlot has the slowest answer of each moment.
func slowestPlot(past []moment) string {
	most := time.Millisecond
	for _, m := range past {
		most = max(most, m.slowest)
	}
	var points []string
	for i, m := range past {
		points = append(points, fmt.Sprintf("%.2f,%.2f", float64(plotWidth)*float64(i)/float64(max(len(past)-1, 1)), float64(plotHeight)*(1-float64(m.slowest)/float64(most))))
	}
	return fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="slowest answer over time"><polyline points="%s" class="line"/><text x="4" y="14">%s</text></svg>`, plotWidth, plotHeight, strings.Join(points, " "), milliseconds(most))
}

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>weft demo</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd}
svg{width:100%;height:auto;background:#f7f7f7;border:1px solid #ddd}.v1{fill:#3b6fb6}.v2{fill:#c6579a}.lost{fill:#d11}.line{fill:none;stroke:#3b6fb6;stroke-width:1.5}
text{font:12px system-ui,sans-serif;fill:#444}pre{background:#f7f7f7;padding:.6rem;overflow:auto;font-size:13px}.held{color:#1a7f37}.failed,.lossy{color:#d11}
.key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}td,th{border-color:#333}svg,pre{background:#1f1f1f;border-color:#333}text{fill:#aaa}}
</style>
<h1>weft demo</h1>
<p>{{.When}}. {{.Sent}} requests in {{.Seconds}}, {{.Lost}} lost. sleep, hello v1, hello v2 and a gateway, each with its sidecar, under weftd; {{.Where}}.</p>
<h2>Who answered</h2>
<p class="key"><span style="background:#3b6fb6"></span>v1<span style="background:#c6579a"></span>v2<span style="background:#d11"></span>lost</p>
{{.Shares}}
<h2>The slowest answer of each 200 ms</h2>
{{.Slowest}}
<h2>Steps</h2>
<table><tr><th>step<th>in force after<th>lost<th>verdict<th>seen</tr>
{{range .Lines}}<tr><td>{{.Number}}. {{.Title}}<td>{{.Took}}<td>{{.Lost}}<td class="{{.Verdict}}">{{.Verdict}}<td>{{.Seen}}{{with .Wrong}} <b class="failed">{{.}}</b>{{end}}{{with .About}}<br><small>{{.}}</small>{{end}}</tr>
{{end}}</table>
{{range .Lines}}{{if .Apply}}<details><summary>what step {{.Number}} applied</summary><pre>{{.Apply}}</pre></details>
{{end}}{{end}}</html>
`))
