package main

import (
	"fmt"
	"io"
	"os"

	"github.com/weftmesh/weft/cmd/weftctl/demo"
)

// version is set by the build.
var version = "dev"

// streams are what a command reads and writes; tests give it others than the process's own.
type streams struct {
	in       *os.File
	out, err io.Writer
}

// command is one word of weftctl. Its run answers --help itself and returns the exit code: 0 done, 1 failed, 2 asked for wrongly.
type command struct {
	name, about string
	run         func(args []string, s streams) int
}

var commands = []command{
	{"analyze", "what is wrong with a mesh's objects in files, before weftd has them", runAnalyze},
	{"apply", "have weftd's objects be as manifests say", runApply},
	{"assess", "what weft would make of the configuration of a running Envoy", runAssess},
	{"break", "switch a part of the mesh off that does harm: injection", runBreak},
	{"ca", "the authority of the mesh: what is trusted, another root, and what is taken back", runCA},
	{"cluster", "the clusters that weftd follows: attach another one, detach it, list them", runCluster},
	{"completion", "what has a shell complete the words of weftctl", runCompletion},
	{"delete", "take objects away that were applied", runDelete},
	{"demo", "a mesh on this machine, walked through: canary, mutual TLS, policies, failures", func(args []string, s streams) int { return demo.Run(args, s.in, s.out, s.err) }},
	{"diff", "how manifests differ from the objects that weftd has", runDiff},
	{"get", "show objects that weftd has", runGet},
	{"history", "the versions of an object that are kept, of each author", runHistory},
	{"inject", "put sidecars into what pods are made from, in files", runInject},
	{"manifests", "what a Kubernetes API server has to have before weftd follows it", runManifests},
	{"mend", "switch on again what weftctl break has switched off", runMend},
	{"proxy", "look into one proxy: its configuration, routes, clusters, and what a request would meet", runProxy},
	{"rollback", "have an object be again what a version of it was", runRollback},
	{"rollout", "take a change back that goes step by step, or have it tried again", runRollout},
	{"status", "how weftd stands: its proxies, what they refuse, and what is wrong with objects", runStatus},
	{"token", "a token with which a machine joins the mesh, once", runToken},
	{"version", "print the version", runVersion},
	{"vm", "what a host outside of Kubernetes needs to be in the mesh: unit, settings, token", runVM},
}

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

func run(args []string, s streams) int {
	if len(args) == 0 {
		usage(s.err)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(s.out)
		return exitDone
	}
	if args[0] == completeWord {
		return runComplete(args[1:], s)
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(args[1:], s)
		}
	}
	fmt.Fprintf(s.err, "weftctl: there is no command %q: did you mean %q? (weftctl --help lists them)\n", args[0], nearest(args[0]))
	return exitUsage
}

func usage(w io.Writer) {
	io.WriteString(w, "weftctl works on a Weft mesh and its proxies.\n\nUsage:\n  weftctl COMMAND [flags]\n\nCommands:\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.about)
	}
	io.WriteString(w, `
Examples:
  weftctl demo             a mesh on this machine, walked through, live
  weftctl demo --once      the same unattended; exit code 0 if every step held and nothing was lost
  weftctl demo --help      what else it can do
  weftctl proxy routes     what the proxy on this host routes, and where
  weftctl analyze mesh     what is wrong with the objects in a directory
  weftctl apply -f mesh    have weftd's objects be as a directory says
  weftctl history vs/shop  what an object was, and who has written that
  weftctl status           which proxies weftd has, and whether they have answered all
  weftctl assess dump.json what would run of an Envoy's configuration, and what would not
`)
}

func runVersion(args []string, s streams) int {
	if len(args) > 0 {
		if args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
			io.WriteString(s.out, "Print the version of weftctl.\n\nExample:\n  weftctl version\n")
			return exitDone
		}
		fmt.Fprintf(s.err, "weftctl version: unexpected argument %q: it takes none\n", args[0])
		return exitUsage
	}
	fmt.Fprintln(s.out, "weftctl", version)
	return exitDone
}

// nearest is the command whose name takes the fewest changes of a letter to reach.
func nearest(word string) string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return nearestOf(word, names)
}

func nearestOf(word string, names []string) string {
	// A word is as long as its writer likes, and the table below grows with it; what is longer than any name is far from all of them.
	if len(word) > 32 {
		word = word[:32]
	}
	best, least := "", len(word)+32
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and changes of single bytes from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
