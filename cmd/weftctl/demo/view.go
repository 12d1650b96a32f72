package demo

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// frame is what a view shows at one moment. Rendering it is pure.
type frame struct {
	results    []outcome // of the steps that are over
	step       int       // that goes on, from 0
	state      string
	second     second
	sent, lost uint64
	hints      []string
	where      string // it all stands
}

// outcome is what became of a step.
type outcome struct {
	took time.Duration // until all proxies had what was applied; 0: nothing was
	lost uint64        // requests, from the first change on
	seen string
	err  error // nil: it is as it should be
}

func (o outcome) verdict() string {
	switch {
	case o.err != nil:
		return "failed"
	case o.lost > 0:
		return "lossy"
	}
	return "held"
}

// paint is how text is coloured; without colour it is left as it is.
type paint bool

const (
	bold  = "1"
	dim   = "2"
	red   = "1;31"
	green = "32"
	blue  = "34"
	pink  = "35"
)

func (p paint) as(code, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	narrow  = 40 // columns below which a bar is as short as it gets
	widest  = 100
	labels  = 22 // columns beside a bar
	leftPad = "  "
	shown   = 14 // lines of a manifest
)

// live is the frame as lines for a terminal of that many columns.
func live(f frame, columns int, p paint) []string {
	lines := []string{leftPad + p.as(bold, "weft demo") + p.as(dim, "  a mesh on this machine, "+f.where+": sleep asks hello, v1 and v2; each has its sidecar"), ""}
	for i, s := range steps {
		mark, text := " ", p.as(dim, s.title)
		switch {
		case i < len(f.results):
			mark, text = p.as(green, "✓"), fmt.Sprintf("%-22s %s", s.title, p.as(dim, f.results[i].seen))
			if f.results[i].verdict() != "held" {
				mark = p.as(red, "✗")
			}
		case i == f.step:
			mark, text = p.as(bold, "▶"), fmt.Sprintf("%s %s", p.as(bold, fmt.Sprintf("%-22s", s.title)), f.state)
		}
		lines = append(lines, fmt.Sprintf("%s%s %d  %s", leftPad, mark, i+1, text))
	}
	lines = append(lines, "")
	if f.step < len(steps) {
		s := steps[f.step]
		if s.about != "" {
			lines = append(lines, leftPad+s.about, "")
		}
		for i, line := range strings.Split(strings.TrimSpace(s.apply), "\n") {
			if i == shown {
				lines = append(lines, leftPad+leftPad+p.as(dim, "…"))
				break
			}
			if line != "" {
				lines = append(lines, leftPad+leftPad+p.as(dim, line))
			}
		}
	}
	width := min(max(columns, narrow), widest) - labels
	total := f.second.v1 + f.second.v2
	lost := p.as(green, "lost 0")
	if f.lost > 0 {
		lost = p.as(red, "lost "+thousands(f.lost))
	}
	lines = append(lines,
		"",
		leftPad+"v1  "+bar(f.second.v1, total, width, blue, p),
		leftPad+"v2  "+bar(f.second.v2, total, width, pink, p),
		"",
		fmt.Sprintf("%s%3d requests/s    %s of %s    p50 %s   p99 %s", leftPad, total+f.second.lost, lost, thousands(f.sent),
			milliseconds(f.second.p50), milliseconds(f.second.p99)),
		"")
	for _, hint := range f.hints {
		lines = append(lines, leftPad+p.as(dim, hint))
	}
	return lines
}

// bar shows part of total in width columns, eighths of a column included, and says it in percent.
func bar(part, total, width int, colour string, p paint) string {
	if total == 0 {
		return strings.Repeat(" ", width) + "       -"
	}
	eighths := int(math.Round(float64(part) / float64(total) * float64(width) * 8))
	filled := strings.Repeat("█", eighths/8)
	columns := eighths / 8
	if rest := eighths % 8; rest > 0 {
		filled += string([]rune("▏▎▍▌▋▊▉")[rest-1])
		columns++
	}
	return p.as(colour, filled) + strings.Repeat(" ", width-columns) + fmt.Sprintf("  %5.1f %%", 100*float64(part)/float64(total))
}

// plain is the frame as one line, for what is not a terminal.
func plain(f frame) string {
	total := f.second.v1 + f.second.v2
	percent := func(part int) float64 { return 100 * float64(part) / float64(max(total, 1)) }
	title := "done"
	if f.step < len(steps) {
		title = steps[f.step].title
	}
	return fmt.Sprintf("step %d/%d  %-22s  v1 %5.1f %%  v2 %5.1f %%  %d requests/s  lost %d of %d  p50 %s  p99 %s\n", min(f.step+1, len(steps)), len(steps), title,
		percent(f.second.v1), percent(f.second.v2), total+f.second.lost, f.lost, f.sent, milliseconds(f.second.p50), milliseconds(f.second.p99))
}

const tableHead = "step                        in force after  lost  verdict  seen\n"

// row is the step's line under tableHead.
func (o outcome) row(step int) string {
	took, seen := "-", o.seen
	if o.took > 0 {
		took = milliseconds(o.took)
	}
	if o.err != nil {
		seen = strings.TrimPrefix(seen+": "+o.err.Error(), ": ")
	}
	return fmt.Sprintf("%2d  %-22s  %14s  %4d  %-7s  %s\n", step+1, steps[step].title, took, o.lost, o.verdict(), seen)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// thousands writes n in groups of three digits.
func thousands(n uint64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
