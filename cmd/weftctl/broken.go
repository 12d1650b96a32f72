package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source/kube"
)

const breakInjectionText = `Let pods through without sidecars, where weftd itself has them fail, or must not touch them now. Every weftd on the store does so within moments, and says it in its log, in weftctl status and in metrics, until --for is over or
weftctl mend injection ends it. It takes the role admin everywhere. Pods that have a sidecar keep it; those that come meanwhile have none, keep no policy, and are refused by who wants mTLS, until they are made anew.

When weftd does not answer, --kubeconfig has the API server itself not ask it about pods any more. That has no end of its own, and nobody but weftctl mend injection --kubeconfig takes it back.

Usage:
  weftctl break injection --reason TEXT [flags]
  weftctl break injection --reason TEXT --kubeconfig FILE [--context NAME]

Examples:
  weftctl break injection --reason 'the new image does not start'
  weftctl break injection --reason 'a large rollout' --for 15m
  weftctl break injection --reason 'weftd does not answer' --kubeconfig ~/.kube/config`

const mendInjectionText = `Have sidecars be put into pods again. With --kubeconfig that is taken back which weftctl break injection --kubeconfig has done, and nothing else.

Usage:
  weftctl mend injection [flags]
  weftctl mend injection --kubeconfig FILE [--context NAME]

Examples:
  weftctl mend injection
  weftctl mend injection --kubeconfig ~/.kube/config`

// What is to be done about pods that came while injection was off.
const mendedText = "Pods that came meanwhile have no sidecar until they are made anew: those of injected namespaces without the annotation sidecar.istio.io/status.\n"

func breakFlags(f *flag.FlagSet, o *planeOptions) {
	f.StringVar(&o.as, "as", "", "`author` of the change: on weftd's own host any word (default the user's name); over https who the token is for, or that and more behind a slash")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` that says how the API server is reached: weftd is not asked")
	f.StringVar(&o.context, "context", "", "`name` of the context in that file; empty: its current one")
}

func breakContext(o *planeOptions) error {
	if o.context != "" && o.kubeconfig == "" {
		return errors.New("--context is of a --kubeconfig: name that")
	}
	return nil
}

// breakCommands are the words behind "weftctl break".
func breakCommands() []*planeCommand {
	return []*planeCommand{
		{name: "break injection", about: "let pods through without sidecars", text: breakInjectionText, remote: true, alone: ofCluster, run: breakInjection,
			flags: func(f *flag.FlagSet, o *planeOptions) {
				breakFlags(f, o)
				f.StringVar(&o.reason, "reason", "", "`text` that says why; it has to be said")
				f.DurationVar(&o.life, "for", 0, fmt.Sprintf("how `long`, at most %v; %v if nothing is said", console.MaxBreak, console.UsualBreak))
			},
			check: func(o *planeOptions) error {
				switch {
				case strings.TrimSpace(o.reason) == "":
					return errors.New("why? want --reason TEXT, for those who come later")
				case o.life != 0 && o.kubeconfig != "":
					return errors.New("--for is weftd's to keep, and with --kubeconfig it is not asked: nobody would take it back")
				case o.life < 0 || o.life > console.MaxBreak:
					return fmt.Errorf("--for is %v: want more than nothing and at most %v", o.life, console.MaxBreak)
				}
				return breakContext(o)
			}},
	}
}

// mendCommands are the words behind "weftctl mend".
func mendCommands() []*planeCommand {
	return []*planeCommand{
		{name: "mend injection", about: "put sidecars into pods again", text: mendInjectionText, remote: true, alone: ofCluster, run: mendInjection, flags: breakFlags, check: breakContext},
	}
}

// ofCluster says that not weftd is asked, but an API server.
func ofCluster(o *planeOptions) bool { return o.kubeconfig != "" }

func runBreak(args []string, s streams) int {
	return runOneOf("break", "Switch a part of the mesh off, when it does harm. weftctl mend switches it on again.", `
Examples:
  weftctl break injection --reason 'the new image does not start'
`, breakCommands(), args, s)
}

func runMend(args []string, s streams) int {
	return runOneOf("mend", "Switch on again what weftctl break has switched off. weftctl status says what is.", `
Examples:
  weftctl mend injection
`, mendCommands(), args, s)
}

func breakInjection(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	if o.kubeconfig != "" {
		return silenced(ctx, o, true, s)
	}
	asked := console.BrokenAsked{Reason: o.reason}
	if o.life != 0 {
		asked.For = o.life.String()
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	var done console.BrokenResult
	if err := p.api(ctx, asking{method: http.MethodPut, path: "/api/broken/" + console.Injection, query: o.manner(p), body: body}, &done); err != nil {
		return err
	}
	if done.Warning != "" {
		fmt.Fprintln(s.err, "warning:", done.Warning)
	}
	_, err = fmt.Fprintf(s.out, "Injection is off until %s: pods get no sidecars. weftctl mend injection switches it on.\n", done.Until.Format(time.RFC3339))
	return err
}

func mendInjection(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	if o.kubeconfig != "" {
		return silenced(ctx, o, false, s)
	}
	var done console.BrokenResult
	if err := p.api(ctx, asking{method: http.MethodDelete, path: "/api/broken/" + console.Injection, query: o.manner(p)}, &done); err != nil {
		return err
	}
	_, err := fmt.Fprint(s.out, "Injection is on again. ", mendedText)
	return err
}

// silenceTime is how long an API server is waited for.
const silenceTime = 30 * time.Second

// silenced has an API server not ask weftd about pods, or ask it again.
func silenced(ctx context.Context, o *planeOptions, off bool, s streams) error {
	ctx, cancel := context.WithTimeout(ctx, silenceTime)
	defer cancel()
	server, err := kube.Connect(o.kubeconfig, o.context, "weftctl")
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	who := o.as
	if u, err := user.Current(); err == nil {
		who = cmp.Or(who, u.Username)
	}
	host, _ := os.Hostname()
	changed, err := server.Silence(ctx, off, fmt.Sprintf("since %s, by %s at %s: %s", time.Now().UTC().Format(time.RFC3339), who, host, o.reason))
	for _, name := range changed {
		fmt.Fprintln(s.out, "MutatingWebhookConfiguration", name, map[bool]string{true: "asks nobody any more", false: "asks again"}[off])
	}
	switch {
	case err != nil:
		return err
	case len(changed) == 0:
		fmt.Fprintln(s.out, "It is so already: nothing is changed.")
	case off:
		fmt.Fprintln(s.out, "Pods get no sidecars until weftctl mend injection --kubeconfig FILE takes that back: it has no end of its own.")
	default:
		fmt.Fprint(s.out, mendedText)
	}
	return nil
}
