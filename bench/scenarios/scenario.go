package scenarios

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
)

// A Scenario is one way of using a proxy and what is measured in it.
type Scenario struct {
	Name     string
	Title    string
	Measures []Measure
	probe    probe
}

// A Measure is one number of a scenario. Less is better in all of them. One without targets is only reported.
type Measure struct {
	Name    string   `json:"name"`
	Unit    string   `json:"unit"`
	Targets []Target `json:"targets,omitempty"`
}

// A Target is what is asked of weft: at most AtMost times the median of the rival Of in the same
// run, or at most AtMost units where Of is empty.
type Target struct {
	AtMost float64 `json:"at_most"`
	Of     string  `json:"of,omitempty"`
}

// A Sample is what one round gave for one contestant.
type Sample struct {
	Values []float64    `json:"values,omitempty"` // one for each Measure
	Load   *load.Result `json:"load,omitempty"`   // where there was traffic
	// Invalid says why Values must not be used, as far as there are any.
	Invalid string `json:"invalid,omitempty"`
	// Absent says why the machine could not measure this at all.
	Absent string `json:"absent,omitempty"`
}

// probe measures one contestant once.
type probe interface {
	fits(rivals.Rival) bool
	measure(context.Context, *Stage, rivals.Contestant) (Sample, error)
}

// Fits reports whether the contestant can take part.
func (s Scenario) Fits(r rivals.Rival) bool { return s.probe.fits(r) }

// A Result holds the samples of one contestant in one scenario, a sample a round.
type Result struct {
	Rival   string   `json:"rival"`
	Samples []Sample `json:"samples"`
}

// An Outcome is a measured scenario.
type Outcome struct {
	Scenario Scenario
	Results  []Result
}

// A Step tells what is about to be measured, or, with an Err, what went wrong with it.
type Step struct {
	Scenario      Scenario
	Rival         string
	Number, Of    int // of the scenarios
	Round, Rounds int
	Err           error
}

// Run measures the scenarios one after the other. Within one, every round takes each contestant in
// turn (A B C, A B C, …), so that what disturbs the machine for a while disturbs all of them; each
// time the contestant is a fresh process. A contestant that fails leaves an invalid sample and a
// Step with the reason; only the end of ctx ends the run.
func Run(ctx context.Context, stage *Stage, list []Scenario, contestants []rivals.Contestant, rounds int, tell func(Step)) ([]Outcome, error) {
	var outcomes []Outcome
	for i, scenario := range list {
		outcome := Outcome{Scenario: scenario}
		var fit []rivals.Contestant
		for _, c := range contestants {
			if scenario.Fits(c.Rival) {
				fit = append(fit, c)
				outcome.Results = append(outcome.Results, Result{Rival: c.Name})
			}
		}
		for round := range rounds {
			for k, c := range fit {
				step := Step{Scenario: scenario, Rival: c.Name, Number: i + 1, Of: len(list), Round: round + 1, Rounds: rounds}
				tell(step)
				sample, err := scenario.probe.measure(ctx, stage, c)
				switch {
				case ctx.Err() != nil:
					return outcomes, ctx.Err()
				case errors.Is(err, proc.ErrNoQuota):
					sample = Sample{Absent: err.Error()}
				case err != nil:
					step.Err = err
					tell(step)
					sample = Sample{Invalid: "did not run"}
				case sample.Invalid != "":
					step.Err = errors.New(sample.Invalid)
					tell(step)
				}
				outcome.Results[k].Samples = append(outcome.Results[k].Samples, sample)
			}
		}
		if len(fit) > 0 {
			outcomes = append(outcomes, outcome)
		}
	}
	return outcomes, nil
}

// judge returns why a traffic sample is worthless, or "".
func judge(spec load.Spec, r load.Result, ended bool) string {
	switch {
	case r.Faults.Total() > 0:
		return "errors: " + r.Faults.String()
	case ended:
		return "the proxy ended"
	case r.Requests == 0:
		return "no request was answered"
	case spec.Rate > 0 && r.Rate() < 0.98*spec.Rate:
		return fmt.Sprintf("only %.0f of %.0f requests a second", r.Rate(), spec.Rate)
	}
	return ""
}

// everyone (the floor, which does no work, is nobody) and envoyish say who can take part; probes embed one of them.
type everyone struct{}

func (everyone) fits(r rivals.Rival) bool { return !r.Floor }

type envoyish struct{}

func (envoyish) fits(r rivals.Rival) bool { return r.Envoyish }

// Names lists the scenarios' names.
func Names(list []Scenario) []string {
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}
