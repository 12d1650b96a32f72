package capture

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// String is the rule in the words of nftables, where chains are named as in the plan.
func (r Rule) String() string {
	text := r.nft()
	if r.Family != 0 {
		text = strings.SplitN(text, " ", 4)[3]
	}
	match, target, _ := strings.Cut(" "+text, " counter ")
	if r.Target.Kind == Jump {
		target = "jump " + r.Target.Chain
	}
	return strings.TrimSpace(match + " → " + target)
}

// String is a report as a person reads it.
func (r Report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "BACKEND\t%s\n", r.Why)
	state := "as planned"
	if !r.OK() {
		state = "not as planned"
	}
	fmt.Fprintf(w, "RULES\t%s\n\n", state)
	row := func(kind, what string) { fmt.Fprintf(w, "%s\t%s\n", kind, what) }
	for _, x := range r.Missing {
		row("missing", x)
	}
	for _, x := range r.Surplus {
		row("surplus", x)
	}
	for _, x := range r.Foreign {
		row("foreign", x+" (comes before ours)")
	}
	for _, x := range r.Elsewhere {
		row("twice", "rules of ours by "+x+", too: weft capture apply takes them away")
	}
	if r.Held != "" {
		row("port", r.Held)
	}
	if !r.OK() {
		row("", "")
		row("", "weft capture apply mends what is missing and surplus; foreign rules are their owners' to move.")
		row("", "")
	}
	for _, e := range r.Escapes {
		row("escapes", e.What+" ("+e.Why+")")
	}
	for _, c := range r.Connections {
		row("escapes", "the connection "+c+" (there before the capture: close it, so that it is made anew)")
	}
	if r.More > 0 {
		row("escapes", fmt.Sprintf("%d connections more", r.More))
	}
	w.Flush()
	return b.String()
}
