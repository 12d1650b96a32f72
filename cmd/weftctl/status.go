package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	weftd "github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/push"
)

const statusText = `Say how weftd stands: its proxies and whether they have answered all that they were told, what they refuse, why and of which objects it was made,
changes that go step by step, what is held back, and what is wrong with objects. With PROXY, all that is known of the proxies with that in their name.

Exit code: 0 if weftd has answered, whatever it says; 1 if it has not, or knows no such proxy; 2 if asked wrongly.

Usage:
  weftctl status [PROXY] [flags]

Examples:
  weftctl status
  weftctl status reviews-7c9.default
  weftctl status -o json                        what weftd says, as it says it`

func statusCommand() *planeCommand {
	return &planeCommand{name: "status", text: statusText, most: 1, formats: tables, flags: onlyServer, run: planeStatus, remote: true}
}

func runStatus(args []string, s streams) int { return statusCommand().do(args, s) }

func planeStatus(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	const path = "/api/status"
	b, err := p.get(ctx, path)
	if err != nil {
		return err
	}
	var all push.Status
	if err := p.understand(b, path, &all); err != nil {
		return err
	}
	if len(o.names) > 0 {
		return oneProxy(p, b, &all, o, s)
	}
	switch o.format {
	case "json":
		_, err := s.out.Write(b)
		return err
	case "yaml":
		v, err := decoded(b)
		if err != nil {
			return err
		}
		return printed(s.out, o.format, v)
	}
	var beside struct {
		Clusters []weftd.ClusterStatus
		Broken   []console.Broken
	}
	if err := p.understand(b, path, &beside); err != nil {
		return err
	}
	for _, one := range beside.Broken {
		off := one.Switch()
		fmt.Fprintf(s.out, "OFF until %s: %s, by %s: %s (%s switches it on)\n\n", one.Until.UTC().Format(time.RFC3339), off.What(), one.Author, one.Reason, off.Mend())
	}
	if all := beside.Clusters; len(all) > 1 || len(all) == 1 && all[0].Type != weftd.FirstCluster { // of one API server alone nothing is to be told apart
		if err := table(s.out, clusterRows(beside.Clusters)); err != nil {
			return err
		}
		fmt.Fprintln(s.out)
	}
	return printStatus(s.out, &all)
}

func printStatus(w io.Writer, all *push.Status) error {
	if len(all.Awaits) > 0 {
		fmt.Fprintf(w, "not ready: nobody is told anything before these have said what they have: %s\n\n", strings.Join(all.Awaits, ", "))
	}
	synced, objects := 0, 0
	if len(all.Proxies) > 0 {
		kinds := kindsOf(all.Proxies)
		head := []string{"PROXY", "NAMESPACE", "PEER", "SINCE"}
		for _, k := range kinds {
			head = append(head, strings.ToUpper(k))
		}
		rows := [][]string{append(head, "STATE")}
		for i := range all.Proxies {
			one := &all.Proxies[i]
			if one.Synced {
				synced++
			}
			row := []string{one.ID, one.Namespace, one.Peer, one.Since.UTC().Format(time.RFC3339)}
			for _, k := range kinds {
				row = append(row, kindState(one, k))
			}
			rows = append(rows, append(row, proxyState(one)))
		}
		if err := table(w, rows); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if err := printRefused(w, all.Refused); err != nil {
		return err
	}
	if err := printRefusedObjects(w, all.RefusedObjects); err != nil {
		return err
	}
	if err := printRollouts(w, all); err != nil {
		return err
	}
	if err := printWithheld(w, slices.DeleteFunc(slices.Clone(all.Proxies), func(one push.Proxy) bool { return one.Identity == "" })); err != nil {
		return err // of who has shown no identity it says nothing, since they are told no secret at all
	}
	warnings := 0
	if len(all.Problems) > 0 {
		rows := [][]string{{"IS", "WHERE AND WHAT"}}
		for _, one := range all.Problems {
			is := "wrong"
			if one.Warning {
				is = "warning"
				warnings++
			}
			rows = append(rows, []string{is, one.Text})
		}
		if err := table(w, rows); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, n := range all.Objects {
		objects += n
	}
	_, err := fmt.Fprintf(w, "%d objects, %d problems, %d warnings; %d proxies, %d synced, %d refused\n", objects, len(all.Problems)-warnings, warnings, len(all.Proxies), synced, len(all.Refused))
	return err
}

// kindsOf are the kinds that any of them has asked for, in weftd's order.
func kindsOf(proxies []push.Proxy) (kinds []string) {
	for _, one := range proxies {
		at := 0
		for _, k := range one.Kinds {
			if i := slices.Index(kinds, k.Kind); i >= 0 {
				at = i + 1
				continue
			}
			kinds = slices.Insert(kinds, at, k.Kind)
			at++
		}
	}
	return kinds
}

// kindState says in a word or two whether a proxy has answered all of a kind; empty: it has not asked for any.
func kindState(one *push.Proxy, kind string) string {
	i := slices.IndexFunc(one.Kinds, func(k push.Kind) bool { return k.Kind == kind })
	if i < 0 {
		return ""
	}
	switch k := &one.Kinds[i]; {
	case k.Waits > 0:
		return "waits " + short(k.Waits)
	case k.Refused != "":
		return "refused"
	case one.Synced || k.Version != "" && k.Version == one.View:
		return "answered"
	}
	return "to come"
}

// proxyState says whether a proxy has answered all, or how long it has not.
func proxyState(one *push.Proxy) string {
	var waits time.Duration
	for _, k := range one.Kinds {
		waits = max(waits, k.Waits)
	}
	switch {
	case one.Synced:
		return "synced"
	case one.View == "":
		return "no view yet"
	case waits > 0:
		return "waits " + short(waits)
	}
	return "to come"
}

// short is a time as people need it: what is under a millisecond is one.
func short(d time.Duration) string {
	if d > time.Minute {
		return d.Round(time.Second).String()
	}
	return max(d.Round(time.Millisecond), time.Millisecond).String()
}

func printRefused(w io.Writer, list []push.Refusal) error {
	if len(list) == 0 {
		return nil
	}
	rows := [][]string{{"REFUSED BY", "KIND", "NAME", "AT", "BECAUSE"}}
	for _, r := range list {
		rows = append(rows, []string{r.Proxy, r.Kind, r.Name, r.At.UTC().Format(time.RFC3339), r.Because})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// printRefusedObjects says what refused resources were made of.
func printRefusedObjects(w io.Writer, list []push.RefusedObject) error {
	if len(list) == 0 {
		return nil
	}
	rows := [][]string{{"REFUSED OBJECT", "PROXIES", "IN", "AT", "BECAUSE"}}
	for _, r := range list {
		rows = append(rows, []string{r.Object, strconv.Itoa(r.Proxies), strings.TrimSpace(r.Kind + " " + r.Name), r.At.UTC().Format(time.RFC3339), r.Because})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// printRollouts says what goes step by step, and what is held back.
func printRollouts(w io.Writer, all *push.Status) error {
	rows := [][]string{{"UNDER WAY", "STEP", "FIRST", "WAITS FOR", "SINCE"}}
	for _, r := range all.Rollouts {
		step, since := r.Step, ""
		switch {
		case r.Because != "":
			step += ", since " + r.Because
		case r.Step == "zone" && r.Zone != "":
			step += " " + r.Zone
		}
		if !r.Since.IsZero() {
			since = r.Since.UTC().Format(time.RFC3339)
		}
		waits := few(r.Waits)
		if len(r.Missed) > 0 {
			waits = strings.TrimPrefix(waits+"; no longer for "+few(r.Missed), "; ")
		}
		rows = append(rows, []string{few(r.Objects), step, r.First, waits, since})
	}
	held := [][]string{{"HELD BACK", "AT", "BECAUSE"}}
	for _, h := range all.HeldBack {
		object, because := h.Object, h.Because
		if h.Gone {
			object += " (that it is gone)"
		}
		if h.Proxy != "" {
			because = h.Proxy + " refuses " + because
		}
		held = append(held, []string{object, h.At.UTC().Format(time.RFC3339), because})
	}
	for _, rows := range [][][]string{rows, held} {
		if len(rows) == 1 {
			continue
		}
		if err := table(w, rows); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	return nil
}

// few are names in a cell of a table: the first three.
func few(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// printWithheld says which secrets proxies are not told that their configuration names.
func printWithheld(w io.Writer, proxies []push.Proxy) error {
	rows := [][]string{{"WITHHELD FROM", "SECRET", "BECAUSE"}}
	for _, one := range proxies {
		for _, s := range one.Withheld {
			rows = append(rows, []string{one.ID, s.Name, s.Because})
		}
	}
	if len(rows) == 1 {
		return nil
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// identityShown is who a proxy has shown to be, and how.
func identityShown(one *push.Proxy) string {
	if one.Identity == "" {
		return "none shown"
	}
	return one.Identity + " by " + one.By
}

// oneProxy says all that weftd says of the proxies with some text in their name.
func oneProxy(p *pages, b []byte, all *push.Status, o *planeOptions, s streams) error {
	wanted := func(id string) bool { return strings.Contains(id, o.names[0]) }
	count := len(all.Proxies)
	all.Proxies = slices.DeleteFunc(all.Proxies, func(one push.Proxy) bool { return !wanted(one.ID) })
	all.Refused = slices.DeleteFunc(all.Refused, func(r push.Refusal) bool { return !wanted(r.Proxy) })
	if len(all.Proxies) == 0 {
		return fmt.Errorf("no proxy with %q in its name is connected to weftd at %s, of %d that are: weftctl status lists them", o.names[0], p.address, count)
	}
	if o.format != "table" {
		v, err := decoded(b)
		if err != nil {
			return err
		}
		of := func(list, name string) []any {
			return slices.DeleteFunc(listAt(v, list), func(one any) bool { return !wanted(textAt(one, name)) })
		}
		return printed(s.out, o.format, map[string]any{"proxies": of("proxies", "id"), "refused": of("refused", "proxy")})
	}
	for i := range all.Proxies {
		one := &all.Proxies[i]
		if err := table(s.out, [][]string{
			{"proxy", one.ID}, {"namespace", one.Namespace}, {"peer", one.Peer}, {"since", one.Since.UTC().Format(time.RFC3339)},
			{"identity", identityShown(one)}, {"view", one.View}, {"state", proxyState(one)},
		}); err != nil {
			return err
		}
		if len(one.Unknown) > 0 {
			fmt.Fprintf(s.out, "asks for types that weftd does not tell of: %s\n", strings.Map(harmless, strings.Join(one.Unknown, ", ")))
		}
		rows := [][]string{{"KIND", "ASKED FOR", "TOLD", "STATE", "LAST REFUSAL"}}
		for _, k := range one.Kinds {
			asked := fmt.Sprintf("%d names", k.Names)
			switch {
			case k.All && k.Names > 0:
				asked = "all, and " + asked
			case k.All:
				asked = "all"
			}
			rows = append(rows, []string{k.Kind, asked, k.Version, kindState(one, k.Kind), k.Refused})
		}
		fmt.Fprintln(s.out)
		if err := table(s.out, rows); err != nil {
			return err
		}
		fmt.Fprintln(s.out)
	}
	if err := printWithheld(s.out, all.Proxies); err != nil {
		return err
	}
	return printRefused(s.out, all.Refused)
}
