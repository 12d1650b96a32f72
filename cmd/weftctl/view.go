package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// frame is what a view shows at one moment. Rendering it is pure.
type frame struct {
	step, steps int // step counts from 1
	weights     weights
	state       string
	second      second
	sent, lost  uint64
	listener    string
	admin       string
	routes      string
	hint        string
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
)

// live is the frame as lines for a terminal of that many columns.
func live(f frame, columns int, p paint) []string {
	lines := []string{
		leftPad + p.as(bold, "weft demo") + p.as(dim, "  two versions of a service, weft between them, one watched file"),
		"",
		fmt.Sprintf("%sstep %d of %d   %s   %s", leftPad, f.step, f.steps, p.as(bold, f.weights.String()), f.state),
		"",
	}
	for line := range strings.Lines(snippet(f.weights)) {
		lines = append(lines, leftPad+leftPad+p.as(dim, strings.TrimRight(line, "\n")))
	}
	width := min(max(columns, narrow), widest) - labels
	total := f.second.v1 + f.second.v2
	lost := p.as(green, "lost 0")
	if f.lost > 0 {
		lost = p.as(red, "lost "+thousands(f.lost))
	}
	return append(lines,
		"",
		leftPad+"v1  "+bar(f.second.v1, total, width, blue, p),
		leftPad+"v2  "+bar(f.second.v2, total, width, pink, p),
		"",
		fmt.Sprintf("%s%3d requests/s    %s of %s    p50 %s   p99 %s", leftPad, total+f.second.lost, lost, thousands(f.sent),
			milliseconds(f.second.p50), milliseconds(f.second.p99)),
		"",
		leftPad+"try     curl http://"+f.listener+"/hello",
		leftPad+"admin   http://"+f.admin+"/",
		leftPad+"edit    "+f.routes,
		"",
		leftPad+p.as(dim, f.hint),
	)
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
	return fmt.Sprintf("step %d/%d  %6s  v1 %5.1f %%  v2 %5.1f %%  %d requests/s  lost %d of %d  p50 %s  p99 %s\n", f.step, f.steps, f.weights,
		percent(f.second.v1), percent(f.second.v2), total+f.second.lost, f.lost, f.sent, milliseconds(f.second.p50), milliseconds(f.second.p99))
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
