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

const breakRoutingText = `Have sidecars send requests where their hosts are, and nowhere else: VirtualServices, of a namespace or of all, do not hold for them. What they have for gateways holds, since nothing else says what a gateway lets in; so do
DestinationRules, and who may talk to whom. Every weftd on the store obeys at once, and says it in its log, in weftctl status and in metrics, until --for is over or weftctl mend routing ends it. It takes the role admin everywhere.

Usage:
  weftctl break routing [-n NAMESPACE] --reason TEXT [flags]

Examples:
  weftctl break routing -n shop --reason 'the canary sends everything to nobody'
  weftctl break routing --reason 'nobody knows which of them it is' --for 10m`

const mendRoutingText = `Have VirtualServices hold for sidecars again. Of which namespace has to be said as it was with weftctl break routing.

Usage:
  weftctl mend routing [-n NAMESPACE] [flags]

Examples:
  weftctl mend routing -n shop
  weftctl mend routing`

const breakWorkloadText = `Take workloads out of the mesh, those that there are and those that come, by their labels: others speak plain text to them, and their sidecars pass on what comes and goes and know nothing of the mesh, its policies included. Nothing is lost
meanwhile. A workload that keeps others out (STRICT, AuthorizationPolicies) lets everybody in while it is outside, and others who are STRICT do not let it in. Every weftd on the store obeys at once, and says it in its log, in weftctl status and in metrics, until --for is over or
weftctl mend workload ends it. It takes the role admin everywhere. Gateways, and proxies that nobody redirects traffic to, keep what they have.

A sidecar that does not run at all passes nothing on: then it is the capture that has to go, by weft capture clean in the pod's network.

Usage:
  weftctl break workload -n NAMESPACE -l LABEL=VALUE[,LABEL=VALUE] --reason TEXT [flags]

Examples:
  weftctl break workload -n shop -l app=web --reason 'does it work without the mesh?' --for 10m
  weftctl break workload -n shop -l app=web,version=v2 --reason 'requests hang in its sidecar'`

const mendWorkloadText = `Take workloads back into the mesh. Others speak mTLS to them at once, and some seconds later their own policies hold again, so that nothing is lost. Which ones has to be said as it was with weftctl break workload.

Usage:
  weftctl mend workload -n NAMESPACE -l LABEL=VALUE[,LABEL=VALUE] [flags]

Examples:
  weftctl mend workload -n shop -l app=web`

// What is to be done about pods that came while injection was off.
const mendedText = " Pods that came meanwhile have no sidecar until they are made anew: those of injected namespaces without the annotation sidecar.istio.io/status."

func breakFlags(f *flag.FlagSet, o *planeOptions) {
	f.StringVar(&o.as, "as", "", "`author` of the change: on weftd's own host any word (default the user's name); over https who the token is for, or that and more behind a slash")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` that says how the API server is reached: weftd is not asked")
	f.StringVar(&o.context, "context", "", "`name` of the context in that file; empty: its current one")
}

// partFlags are those of a part that weftd alone can switch.
func partFlags(f *flag.FlagSet, o *planeOptions) {
	f.StringVar(&o.as, "as", "", "`author` of the change: on weftd's own host any word (default the user's name); over https who the token is for, or that and more behind a slash")
	f.StringVar(&o.namespace, "n", "", "`namespace`")
}

func reasonFlags(f *flag.FlagSet, o *planeOptions) {
	f.StringVar(&o.reason, "reason", "", "`text` that says why; it has to be said")
	f.DurationVar(&o.life, "for", 0, fmt.Sprintf("how `long`, at most %v; %v if nothing is said", console.MaxBreak, console.UsualBreak))
}

func workloadFlags(f *flag.FlagSet, o *planeOptions) {
	partFlags(f, o)
	f.StringVar(&o.labels, "l", "", "`labels` that they have, each LABEL=VALUE, with commas between")
}

// reasonGiven says what is wrong with why, and how long.
func reasonGiven(o *planeOptions) error {
	switch {
	case strings.TrimSpace(o.reason) == "":
		return errors.New("why? want --reason TEXT, for those who come later")
	case o.life < 0 || o.life > console.MaxBreak:
		return fmt.Errorf("--for is %v: want more than nothing and at most %v", o.life, console.MaxBreak)
	}
	return nil
}

// switchOf is what is to be switched.
func (o *planeOptions) switchOf(part string) (console.Switch, error) {
	s := console.Switch{Part: part, Namespace: o.namespace}
	if part == console.Workload {
		var err error
		if o.namespace == "" || o.labels == "" {
			return s, errors.New("which workloads? want -n NAMESPACE and -l LABEL=VALUE")
		}
		if s.Labels, err = console.ReadLabels(o.labels); err != nil {
			return s, err
		}
	}
	return console.ReadSwitch(s.Name())
}

// breaking and mending are the commands of a part that weftd alone can switch.
func breaking(part, about, text string, flags func(*flag.FlagSet, *planeOptions)) *planeCommand {
	return &planeCommand{name: "break " + part, about: about, text: text, remote: true,
		flags: func(f *flag.FlagSet, o *planeOptions) {
			flags(f, o)
			reasonFlags(f, o)
		},
		check: func(o *planeOptions) error {
			if _, err := o.switchOf(part); err != nil {
				return err
			}
			return reasonGiven(o)
		},
		run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
			off, err := o.switchOf(part)
			if err == nil {
				err = switchOff(ctx, p, o, off, "", s)
			}
			return err
		}}
}

func mending(part, about, follows, text string, flags func(*flag.FlagSet, *planeOptions)) *planeCommand {
	return &planeCommand{name: "mend " + part, about: about, text: text, remote: true, flags: flags,
		check: func(o *planeOptions) error {
			_, err := o.switchOf(part)
			return err
		},
		run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
			on, err := o.switchOf(part)
			if err == nil {
				err = switchOn(ctx, p, o, on, follows, s)
			}
			return err
		}}
}

// switchOff asks weftd to, and says what has come of it and what follows.
func switchOff(ctx context.Context, p *pages, o *planeOptions, what console.Switch, follows string, s streams) error {
	asked := console.BrokenAsked{Reason: o.reason}
	if o.life != 0 {
		asked.For = o.life.String()
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	var done console.BrokenResult
	if err := p.api(ctx, asking{method: http.MethodPut, path: "/api/broken/" + what.Name(), query: o.manner(p), body: body}, &done); err != nil {
		return err
	}
	if done.Warning != "" {
		fmt.Fprintln(s.err, "warning:", done.Warning)
	}
	_, err = fmt.Fprintf(s.out, "Off until %s: %s%s. %s switches it on.\n", done.Until.Format(time.RFC3339), what.What(), follows, what.Mend())
	return err
}

// switchOn asks weftd to, and says what is to be done still.
func switchOn(ctx context.Context, p *pages, o *planeOptions, what console.Switch, follows string, s streams) error {
	var done console.BrokenResult
	if err := p.api(ctx, asking{method: http.MethodDelete, path: "/api/broken/" + what.Name(), query: o.manner(p)}, &done); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "On again: %s.%s\n", what.What(), follows)
	return err
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
				reasonFlags(f, o)
			},
			check: func(o *planeOptions) error {
				if err := reasonGiven(o); err != nil {
					return err
				}
				if o.life != 0 && o.kubeconfig != "" {
					return errors.New("--for is weftd's to keep, and with --kubeconfig it is not asked: nobody would take it back")
				}
				return breakContext(o)
			}},
		breaking(console.Routing, "have VirtualServices not hold for sidecars", breakRoutingText, partFlags),
		breaking(console.Workload, "take workloads out of the mesh", breakWorkloadText, workloadFlags),
	}
}

// mendCommands are the words behind "weftctl mend".
func mendCommands() []*planeCommand {
	return []*planeCommand{
		{name: "mend injection", about: "put sidecars into pods again", text: mendInjectionText, remote: true, alone: ofCluster, run: mendInjection, flags: breakFlags, check: breakContext},
		mending(console.Routing, "have VirtualServices hold for sidecars again", "", mendRoutingText, partFlags),
		mending(console.Workload, "take workloads back into the mesh", " Whom they do not let in they keep out again in some seconds.", mendWorkloadText, workloadFlags),
	}
}

// ofCluster says that not weftd is asked, but an API server.
func ofCluster(o *planeOptions) bool { return o.kubeconfig != "" }

func runBreak(args []string, s streams) int {
	return runOneOf("break", "Switch a part of the mesh off, when it does harm. weftctl mend switches it on again.", `
Examples:
  weftctl break injection --reason 'the new image does not start'
  weftctl break routing -n shop --reason 'the canary sends everything to nobody'
  weftctl break workload -n shop -l app=web --reason 'does it work without the mesh?' --for 10m
`, breakCommands(), args, s)
}

func runMend(args []string, s streams) int {
	return runOneOf("mend", "Switch on again what weftctl break has switched off. weftctl status says what is.", `
Examples:
  weftctl mend injection
  weftctl mend workload -n shop -l app=web
`, mendCommands(), args, s)
}

func breakInjection(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	if o.kubeconfig != "" {
		return silenced(ctx, o, true, s)
	}
	return switchOff(ctx, p, o, console.Switch{Part: console.Injection}, ", pods get no sidecars", s)
}

func mendInjection(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	if o.kubeconfig != "" {
		return silenced(ctx, o, false, s)
	}
	return switchOn(ctx, p, o, console.Switch{Part: console.Injection}, mendedText, s)
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
		fmt.Fprintln(s.out, strings.TrimSpace(mendedText))
	}
	return nil
}
