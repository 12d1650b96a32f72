package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
)

const completionText = `Print what has a shell complete the words of weftctl: commands, flags, kinds, and the names of objects that weftd has.

Usage:
  weftctl completion bash|zsh|fish

Examples:
  weftctl completion bash > /etc/bash_completion.d/weftctl
  source <(weftctl completion zsh)
  weftctl completion fish > ~/.config/fish/completions/weftctl.fish
`

// shells are what is printed for each. They ask weftctl itself, by a word that is for them alone.
var shells = map[string]string{
	"bash": `_weftctl() {
  local IFS=$'\n'
  COMPREPLY=($(weftctl ` + completeWord + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _weftctl weftctl
`,
	"zsh": `#compdef weftctl
_weftctl() {
  local -a found
  found=("${(@f)$(weftctl ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _weftctl weftctl
`,
	"fish": `complete -c weftctl -a '(weftctl ` + completeWord + ` (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

// completeWord is what shells ask by.
const completeWord = "__complete"

// completeTime is how long somebody who has pressed a key waits for names of objects.
const completeTime = 2 * time.Second

func runCompletion(args []string, s streams) int {
	if len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		io.WriteString(s.out, completionText)
		return exitDone
	}
	if len(args) != 1 || shells[args[0]] == "" {
		fmt.Fprintf(s.err, "weftctl completion: for which shell? want bash, zsh or fish\n")
		return exitUsage
	}
	io.WriteString(s.out, shells[args[0]])
	return exitDone
}

// runComplete prints what the last of some words may become, a line each. What goes wrong is nobody's to see.
func runComplete(args []string, s streams) int {
	if len(args) == 0 {
		return exitDone
	}
	word := args[len(args)-1]
	for _, one := range candidates(args[:len(args)-1], word) {
		if strings.HasPrefix(one, word) {
			fmt.Fprintln(s.out, one)
		}
	}
	return exitDone
}

// candidates are what may come behind some words.
func candidates(before []string, word string) (out []string) {
	if len(before) == 0 {
		for _, c := range commands {
			out = append(out, c.name)
		}
		return out
	}
	switch at := before[0]; {
	case at == "completion":
		return []string{"bash", "fish", "zsh"}
	case len(before) == 1 && at == "proxy" && !strings.HasPrefix(word, "-"):
		for _, c := range proxyCommands() {
			out = append(out, c.name)
		}
		return out
	case len(before) == 1 && at == "ca" && !strings.HasPrefix(word, "-"):
		for _, c := range caCommands() {
			out = append(out, strings.TrimPrefix(c.name, "ca "))
		}
		return out
	case len(before) == 1 && (at == "break" || at == "mend") && !strings.HasPrefix(word, "-"):
		for _, c := range map[string][]*planeCommand{"break": breakCommands(), "mend": mendCommands()}[at] {
			out = append(out, strings.TrimPrefix(c.name, at+" "))
		}
		return out
	case len(before) == 1 && at == "cluster" && !strings.HasPrefix(word, "-"):
		for _, c := range clusterCommands() {
			out = append(out, strings.TrimPrefix(c.name, "cluster "))
		}
		return out
	case len(before) == 1 && at == "rollout" && !strings.HasPrefix(word, "-"):
		for _, c := range rolloutCommands() {
			out = append(out, strings.TrimPrefix(c.name, "rollout "))
		}
		return out
	}
	if strings.HasPrefix(word, "-") {
		return flagsBehind(before)
	}
	if before[0] == "rollout" {
		return objectsBehind(before[2:], false, word)
	}
	if slices.Contains([]string{"get", "delete", "history", "rollback"}, before[0]) {
		return objectsBehind(before[1:], before[0] == "get", word)
	}
	return nil
}

var flagLine = regexp.MustCompile(`(?m)^  -(\w[\w-]*)`)

// flagsBehind are those of a command, as its help has them.
func flagsBehind(before []string) (out []string) {
	words := before[:1]
	if slices.Contains([]string{"proxy", "ca", "cluster", "rollout", "break", "mend"}, before[0]) {
		words = before[:min(2, len(before))]
	}
	var help bytes.Buffer
	run(append(slices.Clone(words), "--help"), streams{out: &help, err: io.Discard})
	for _, m := range flagLine.FindAllStringSubmatch(help.String(), -1) {
		if len(m[1]) == 1 {
			out = append(out, "-"+m[1])
		} else {
			out = append(out, "--"+m[1])
		}
	}
	return out
}

// objectsBehind are kinds, or the names of a kind's objects as weftd has them.
func objectsBehind(before []string, all bool, word string) (out []string) {
	o := &planeOptions{}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	remoteFlags(set, o)
	namespaceFlag(set, o)
	changeFlags(set, o)
	filesFlag(set, o)
	set.Bool("A", false, "")
	set.Bool("ignore-not-found", false, "")
	set.String("reason", "", "")
	set.String("o", "", "")
	set.Int("to", 0, "")
	set.Int("version", 0, "")
	if parseAnywhere(set, before, &o.names) != nil {
		return nil
	}
	prefix := ""
	name, _, slash := strings.Cut(word, "/")
	switch {
	case slash:
		prefix = name + "/"
	case len(o.names) == 0:
		for kind := range source.Forms {
			if f := &source.Forms[kind]; f.Versions != nil {
				out = append(out, strings.ToLower(f.Name))
			}
		}
		if all {
			out = append(out, "all")
		}
		return out
	default:
		name = o.names[0]
	}
	kind, known := source.KindOf(name)
	p, err := openPlane(o, true)
	if !known || err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	q := url.Values{"kind": {kind.Resource()}}
	if !source.Forms[kind].Cluster {
		q.Set("namespace", o.namespace)
	}
	var found console.Objects
	if p.api(ctx, asking{method: http.MethodGet, path: "/api/objects", query: q}, &found) != nil {
		return nil
	}
	for _, one := range found.Objects {
		out = append(out, prefix+one.Name)
	}
	return out
}
