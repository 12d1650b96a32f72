package main

import (
	"context"
	"flag"
	"net/url"
)

const resumeText = `Have weftd try again what it holds back of an object, from the first proxy on: once the proxies are others, say. It is for weftd on this host.

A change of the object is tried in any case.

Usage:
  weftctl rollout resume KIND NAME [flags]
  weftctl rollout resume KIND/NAME [flags]

Examples:
  weftctl rollout resume envoyfilter limits -n shop
  weftctl rollout resume vs/reviews`

const abortText = `Take a change back that goes to proxies step by step, or waits for its turn: those who have been told of it are told what was there before, and it is held
back until it is resumed or another. It is for weftd on this host.

Usage:
  weftctl rollout abort KIND NAME [flags]
  weftctl rollout abort KIND/NAME [flags]

Examples:
  weftctl rollout abort envoyfilter limits -n shop --reason 'half of the requests fail'
  weftctl rollout abort vs/reviews`

const (
	resumePage = "/rollout/resume"
	abortPage  = "/rollout/abort"
)

// rolloutCommands are the words behind "weftctl rollout".
func rolloutCommands() []*planeCommand {
	return []*planeCommand{
		{name: "rollout abort", about: "take a change back that is under way, and hold it back", text: abortText, most: 2, check: wantKey,
			flags: func(f *flag.FlagSet, o *planeOptions) {
				namespaceFlag(f, o)
				f.StringVar(&o.reason, "reason", "", "`text` that says why, for those who come later")
			},
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				return postedOf(ctx, p, abortPage, url.Values{"reason": {o.reason}}, o, s)
			}},
		{name: "rollout resume", about: "try again what is held back of an object", text: resumeText, most: 2, check: wantKey, flags: namespaceFlag,
			run: func(ctx context.Context, p *pages, o *planeOptions, s streams) error {
				return postedOf(ctx, p, resumePage, url.Values{}, o, s)
			}},
	}
}

// postedOf has weftd do something to an object.
func postedOf(ctx context.Context, p *pages, page string, form url.Values, o *planeOptions, s streams) error {
	key, err := o.oneKey()
	if err != nil {
		return err
	}
	form.Set("object", key.Path())
	return posted(ctx, p, page, form, s)
}

func runRollout(args []string, s streams) int {
	return runOneOf("rollout", "Have a say in changes that go to proxies step by step, as weftd --rollout cohorts has them go. weftctl status shows them.", `
Examples:
  weftctl rollout resume envoyfilter/limits -n shop
  weftctl rollout abort vs/reviews --reason 'half of the requests fail'
`, rolloutCommands(), args, s)
}
