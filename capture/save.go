package capture

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// state is what iptables-save says: rules by table and chain, each without its chain.
type state map[string]tableState

type tableState map[string][]string

// names are the chains of ours that are there.
func (t tableState) names() []string {
	var list []string
	for _, name := range chains {
		if _, ok := t[name]; ok {
			list = append(list, name)
		}
	}
	return list
}

// ours says that something of ours is there.
func (t tableState) ours() bool {
	return len(t.names()) > 0 || slices.ContainsFunc(t[prerouting], isOurs) || slices.ContainsFunc(t[output], isOurs)
}

// ours says that something of ours is in a table.
func (s state) ours() bool {
	for _, table := range tables {
		if s[table].ours() {
			return true
		}
	}
	return false
}

// readSave reads what iptables-save writes.
func readSave(text string) state {
	s, table := state{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = strings.TrimSpace(line[1:])
			s[table] = tableState{}
		case table == "" || line == "" || line[0] == '#':
		case line[0] == ':':
			name, _, _ := strings.Cut(line[1:], " ")
			s[table][name] = []string{}
		case strings.HasPrefix(line, "-A "):
			name, rule, _ := strings.Cut(line[3:], " ")
			s[table][name] = append(s[table][name], rule)
		}
	}
	return s
}

// isOurs says that a rule in a chain of everybody is ours: it goes on to one of our chains, or has our signature.
func isOurs(line string) bool {
	words := strings.Fields(line)
	for i, w := range words[:max(len(words)-1, 0)] {
		switch next := words[i+1]; w {
		case "-j", "-g":
			return slices.Contains(chains, next)
		case "--comment":
			if strings.Trim(next, `"`) == signature {
				return true
			}
		}
	}
	return false
}

// normal is a rule so that two which mean the same are equal: versions of iptables write it in different orders, name modules or not, and write
// masks that hide nothing or not.
func normal(line string) string {
	var parts []string
	part := ""
	not := false
	end := func() {
		if part != "" {
			parts = append(parts, part)
		}
		part = ""
	}
	words := strings.Fields(line)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "!":
			not = true
		case w == "-m" || w == "--on-ip" || w == "--nfmask" || w == "--ctmask": // says nothing that the rest does not
			i++
		case strings.HasPrefix(w, "-"):
			end()
			if part = w; not {
				part, not = "! "+w, false
			}
		default:
			part += " " + number(strings.Trim(w, `"`))
		}
	}
	end()
	sort.Strings(parts)
	return strings.NewReplacer("--set-mark ", "--set-xmark ", "--to-port ", "--to-ports ", "/4294967295", "").Replace(strings.Join(parts, " ") + " ")
}

// number writes a hexadecimal number, with or without its mask, as a decimal one.
func number(word string) string {
	parts := strings.Split(word, "/")
	for i, p := range parts {
		if n, err := strconv.ParseUint(p, 0, 32); err == nil && strings.HasPrefix(p, "0x") {
			parts[i] = strconv.FormatUint(n, 10)
		}
	}
	return strings.Join(parts, "/")
}

// Difference is what is not as planned, each with its table and chain.
type Difference struct {
	Missing []string `json:"missing,omitempty"` // planned, and not there
	Surplus []string `json:"surplus,omitempty"` // ours, and not planned
}

func (d Difference) none() bool { return len(d.Missing) == 0 && len(d.Surplus) == 0 }

// compare holds a table against the plan.
func (p Plan) compare(f Family, table string, is state) Difference {
	var d Difference
	want := p.of(f, table)
	there := is[table]
	where := func(chain string) string { return fmt.Sprintf("IPv%d %s %s: ", f, table, chain) }
	for _, chain := range append([]string{prerouting, output}, chains...) {
		var planned []Rule
		for _, r := range want {
			if r.Chain == chain {
				planned = append(planned, r)
			}
		}
		lines, ours := there[chain], slices.Contains(chains, chain)
		if !ours { // others have theirs beside
			lines = slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !isOurs(l) })
		}
		if _, ok := there[chain]; ok && ours && len(planned) == 0 && !slices.Contains(chainsOf(want), chain) {
			d.Surplus = append(d.Surplus, where(chain)+"the chain")
		}
		missing, surplus := planned, lines
		for i := range planned { // what is as planned in its place
			if i >= len(lines) || normal(lines[i]) != normal(planned[i].iptables(f)) {
				break
			}
			missing, surplus = planned[i+1:], lines[i+1:]
		}
		for _, r := range missing {
			d.Missing = append(d.Missing, where(chain)+r.iptables(f))
		}
		for _, line := range surplus {
			d.Surplus = append(d.Surplus, where(chain)+line)
		}
	}
	return d
}

// passing are targets after which a packet goes on to the next rule.
var passing = []string{"LOG", "NFLOG", "TRACE", "MARK", "CONNMARK", "CT", "SET", "TOS", "DSCP", "TCPMSS", "AUDIT", "CLASSIFY", "CONNSECMARK", "SECMARK"}

// before are the rules of others before the first of ours that may decide where traffic goes. What a chain of others does is not looked into.
func before(where string, lines []string) []string {
	first := slices.IndexFunc(lines, isOurs)
	var list []string
	for _, line := range lines[:max(first, 0)] {
		words := strings.Fields(line)
		if i := slices.Index(words, "-j"); i >= 0 && i+1 < len(words) && !slices.Contains(passing, words[i+1]) || slices.Contains(words, "-g") {
			list = append(list, where+line)
		}
	}
	return list
}
