package dubbo

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// Walk is what Match does with a call, told step by step: it asks the same conditions. It is for people, and may take its time.
type Walk struct {
	Table    string        `json:"table"`
	Services []ServiceStep `json:"services,omitempty"`
	More     int           `json:"services_left_out,omitempty"`    // that are not listed
	After    int           `json:"services_not_reached,omitempty"` // behind the one that has the route
	Service  int           `json:"service"`                        // that has the route, by its index; -1: none
	Route    int           `json:"route"`                          // its index there; -1: none
	Why      string        `json:"why,omitempty"`                  // there is none
}

// ServiceStep is a service that was looked at. The call is one of its own if it is met, though it may have no route for it.
type ServiceStep struct {
	Index  int    `json:"index"`
	Rule   string `json:"rule"`
	Met    bool   `json:"met"`
	Near   bool   `json:"near,omitempty"` // its interface is right, and something else is not
	Why    string `json:"why,omitempty"`  // the first thing that is not right
	Routes []Step `json:"routes,omitempty"`
	More   int    `json:"routes_left_out,omitempty"`
	After  int    `json:"routes_not_reached,omitempty"`
}

// Step is a route that was looked at.
type Step struct {
	Index int    `json:"index"`
	Rule  string `json:"rule"`
	Met   bool   `json:"met"`
	Near  bool   `json:"near,omitempty"` // its method is right, and something else is not
	Why   string `json:"why,omitempty"`
}

// walk judges services and routes one by one, up to the route that Match finds. wrong is why a value could not be read that somebody has asked for.
func walk(t *config.DubboRoutes, call *wire.Call) (w *Walk, found *config.DubboRoute, wrong error) {
	w = &Walk{Table: t.Name, Service: -1, Route: -1}
	defer w.end()
	q := question{call: call}
	own := 0
	for i := range t.Services {
		s := &t.Services[i]
		m := q.judgeService(s)
		step := ServiceStep{Index: i, Rule: nameWords(s), Met: m == missNothing, Near: m == missVersion || m == missGroup}
		if !step.Met {
			step.Why = q.serviceWords(m, s)
			w.Services = append(w.Services, step)
			continue
		}
		own++
		for k := range s.Routes {
			r := &s.Routes[k]
			m := q.judge(r)
			one := Step{Index: k, Rule: inWords(r), Met: m == missNothing}
			if one.Met {
				found, w.Service, w.Route = r, i, k
				step.After, w.After = len(s.Routes)-k-1, len(t.Services)-i-1
			} else {
				one.Near, one.Why = m != missName && q.meetsMethod(r.Method), q.words(m, r)
			}
			step.Routes = append(step.Routes, one)
			if one.Met {
				break
			}
		}
		if w.Services = append(w.Services, step); found != nil {
			return w, found, nil
		}
	}
	switch {
	case len(t.Services) == 0:
		w.Why = "the table has no routes"
	case own == 0:
		w.Why = "no service of the table is for the call"
	default:
		w.Why = "no route is for the call"
	}
	return w, nil, q.wrong
}

// end leaves out what is more than anybody reads.
func (w *Walk) end() {
	w.Services, w.More = route.Nearest(w.Services, func(s *ServiceStep) int { return rank(s.Met, s.Near) })
	for i := range w.Services {
		s := &w.Services[i]
		s.Routes, s.More = route.Nearest(s.Routes, func(r *Step) int { return rank(r.Met, r.Near) })
	}
}

func rank(met, near bool) int {
	switch {
	case met:
		return 2
	case near:
		return 1
	}
	return 0
}
