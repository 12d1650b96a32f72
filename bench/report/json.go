package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/weftmesh/weft/bench/scenarios"
)

// rawOutcome is a scenario with every round of it, as the JSON file has it.
type rawOutcome struct {
	Name     string              `json:"name"`
	Title    string              `json:"title"`
	Measures []scenarios.Measure `json:"measures"`
	Results  []scenarios.Result  `json:"results"`
}

// WriteJSON writes the raw rounds. Durations are nanoseconds.
func (r Run) WriteJSON(w io.Writer) error {
	raw := struct {
		Date     string       `json:"date"`
		Machine  Machine      `json:"machine"`
		Versions []Version    `json:"contestants"`
		Method   string       `json:"method"`
		Rounds   int          `json:"rounds"`
		Measure  float64      `json:"seconds"`
		Outcomes []rawOutcome `json:"scenarios"`
	}{
		r.Date.Format(time.DateOnly), r.Machine, r.Versions, r.method(), r.Rounds, r.Measure.Seconds(), nil,
	}
	for _, o := range r.Outcomes {
		raw.Outcomes = append(raw.Outcomes, rawOutcome{o.Scenario.Name, o.Scenario.Title, o.Scenario.Measures, o.Results})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(raw)
}
