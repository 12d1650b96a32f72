package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"syscall"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	wire "github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/xds/decode"
)

// What routing's policies cost, and whether they keep what they promise.

const localRateLimit = `{name: limit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, ` +
	`stat_prefix: limit, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, token_bucket: {%s}}}`

// every are policies that let all of this benchmark's traffic through: what is measured is having them.
var every = rivals.Policies{
	Route:   "retry_policy: {retry_on: '5xx,reset,connect-failure', num_retries: 2}",
	Cluster: "outlier_detection: {consecutive_5xx: 5, interval: 10s}",
	Filter:  fmt.Sprintf(localRateLimit, "max_tokens: 1000000, tokens_per_fill: 1000000, fill_interval: 0.1s"),
}

// withPolicies measures what a request costs with all policies as a multiple of what it costs without. The two are measured in turn,
// several times, since their difference is smaller than the machine's moods.
type withPolicies struct {
	envoyish
	spec load.Spec
}

const turns = 3

func (w withPolicies) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	var cost [2]float64
	for range turns {
		for i, p := range []rivals.Policies{{}, every} {
			us, invalid, err := w.cost(ctx, s, c, p)
			if err != nil || invalid != "" {
				return Sample{Invalid: invalid}, err
			}
			cost[i] += us
		}
	}
	return Sample{Values: []float64{cost[1] / cost[0]}}, nil
}

func (w withPolicies) cost(ctx context.Context, s *Stage, c rivals.Contestant, p rivals.Policies) (us float64, invalid string, err error) {
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, Policies: p}, s.proxyCPU)
	if err != nil {
		return 0, "", err
	}
	defer proxy.Stop()
	spec := w.spec
	spec.Port, spec.Warm, spec.Measure, spec.Watch = plan.Listen, s.Warm, s.Measure/turns, proxy.PIDs()
	r, err := s.load(ctx, spec)
	if err != nil {
		return 0, "", err
	}
	return float64(r.Cost.Nanoseconds()) / float64(r.Requests) / 1e3, judge(spec, r, proxy.Ended()), nil
}

// limited measures by how much a local rate limit is missed when ten times as much is asked for.
type limited struct {
	envoyish
	limit   float64 // a second
	seconds time.Duration
}

func (l limited) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	tokens := l.limit / 10
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, Policies: rivals.Policies{
		Filter: fmt.Sprintf(localRateLimit, fmt.Sprintf("max_tokens: %.0f, tokens_per_fill: %.0f, fill_interval: 0.1s", tokens, tokens)),
	}}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	spec := hello(plan.Listen, 64)
	spec.Rate, spec.Refusals, spec.Warm, spec.Measure, spec.Watch = 10*l.limit, true, s.Warm, l.seconds, proxy.PIDs()
	r, err := s.load(ctx, spec)
	if err != nil {
		return Sample{}, err
	}
	admitted := float64(r.Requests-r.Refused) / r.Elapsed.Seconds()
	return Sample{Values: []float64{100 * math.Abs(admitted/l.limit-1)}, Load: &r, Invalid: judge(spec, r, proxy.Ended())}, nil
}

// killed counts the requests that fail while one of two endpoints is killed, with retries.
type killed struct {
	envoyish
	rate float64
}

func (k killed) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	said := make(chan []byte, 1)
	victim, err := s.play(ctx, UpstreamRole, nil, said)
	if err != nil {
		return Sample{}, err
	}
	defer victim.Stop(nil)
	line, err := s.hear(ctx, victim, said, childLimit)
	if err != nil {
		return Sample{}, err
	}
	var ports upstream.Ports
	if err := json.Unmarshal(line, &ports); err != nil {
		return Sample{}, fmt.Errorf("scenarios: second upstream: %w", err)
	}
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, Policies: rivals.Policies{
		// As Istio has it by default, and with reset: another endpoint is asked for up to five times.
		Route: `retry_policy: {retry_on: 'reset,connect-failure', num_retries: 2, host_selection_retry_max_attempts: 5, retry_host_predicate: [{name: previous_hosts, ` +
			`typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}`,
		Endpoints: []int{ports.HTTP},
	}}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	spec := hello(plan.Listen, 64)
	spec.Rate, spec.Refusals, spec.Warm, spec.Measure, spec.Watch = k.rate, true, s.Warm, s.Measure, proxy.PIDs()
	kill := time.AfterFunc(s.Warm+s.Measure/2, func() { syscall.Kill(victim.PID(), syscall.SIGKILL) })
	defer kill.Stop()
	r, err := s.load(ctx, spec)
	if err != nil {
		return Sample{}, err
	}
	failed := r.Refused + r.Faults.Total()
	spec.Rate, r.Faults = 0, load.Faults{} // what failed is the measure, and a pause is not a failure
	return Sample{Values: []float64{float64(failed)}, Load: &r, Invalid: judge(spec, r, proxy.Ended())}, nil
}

// budgeted measures how many attempts a request takes when all of them fail, with a retry budget.
type budgeted struct {
	envoyish
	percent int
}

func (b budgeted) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, Policies: rivals.Policies{
		Route:    "retry_policy: {retry_on: 5xx, num_retries: 3}",
		Breakers: fmt.Sprintf("retry_budget: {budget_percent: {value: %d}}", b.percent),
	}}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	spec := hello(plan.Listen, 64)
	spec.Path, spec.Refusals, spec.Warm, spec.Measure, spec.Watch = upstream.PathFails, true, s.Warm, s.Measure, proxy.PIDs()
	r, err := s.load(ctx, spec)
	if err != nil {
		return Sample{}, err
	}
	attempts, err := counter(ctx, plan.Admin, "cluster.up.upstream_rq_total")
	if err != nil {
		return Sample{}, err
	}
	requests, err := counter(ctx, plan.Admin, "http.down.downstream_rq_total")
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{attempts / requests}, Load: &r, Invalid: judge(spec, r, proxy.Ended())}, nil
}

// counter asks the admin endpoint for a number.
func counter(ctx context.Context, admin int, name string) (float64, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/stats?format=json&filter=^%s$", admin, name), nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, fmt.Errorf("scenarios: %s: %w", name, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("scenarios: %s: %w", name, err)
	}
	var said struct {
		Stats []struct{ Value *float64 } `json:"stats"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return 0, fmt.Errorf("scenarios: %s: %w", name, err)
	}
	for _, s := range said.Stats {
		if s.Value != nil {
			return *s.Value, nil
		}
	}
	return 0, errors.New("scenarios: there is no counter " + name)
}

// manyRoutes measures what finding one of many routes adds to finding one of ten, in this process: the difference would be lost in what
// a request costs otherwise.
type manyRoutes struct{ routes int }

func (manyRoutes) fits(r rivals.Rival) bool { return r.Name == "weft" }

func (m manyRoutes) measure(context.Context, *Stage, rivals.Contestant) (Sample, error) {
	many, err := timeToFind(m.routes)
	if err != nil {
		return Sample{}, err
	}
	few, err := timeToFind(10)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{(many - few) / 1e3}}, nil
}

// timeToFind is the nanoseconds that it takes to find a route, over requests that are spread over all of them.
func timeToFind(n int) (float64, error) {
	table, paths, err := tableOf(n)
	if err != nil {
		return 0, err
	}
	t := route.Compile(table)
	var in route.Input
	var request wire.Request
	request.SetMethod([]byte("GET"))
	request.SetAuthority([]byte("bench.example"))
	missed := 0
	result := testing.Benchmark(func(b *testing.B) {
		for i := range b.N {
			request.SetPath(paths[i%len(paths)])
			in.Reset(&request, 0)
			if t.Match(&in).Route == nil {
				missed++
			}
			if i%1000 == 999 {
				request.Reset() // or its arena would grow for ever
				request.SetMethod([]byte("GET"))
				request.SetAuthority([]byte("bench.example"))
			}
		}
	})
	if missed > 0 {
		return 0, fmt.Errorf("scenarios: %d requests met no route", missed)
	}
	return float64(result.T.Nanoseconds()) / float64(result.N), nil
}

// tableOf makes a table of n routes as a control plane would send it: a third exact, a third prefixes, a third regular expressions with a
// literal prefix; and, where there are many, 20 expressions without one.
func tableOf(n int) (*config.RouteConfiguration, [][]byte, error) {
	v := &routev3.VirtualHost{Name: "all", Domains: []string{"*"}}
	add := func(m *routev3.RouteMatch) {
		v.Routes = append(v.Routes, &routev3.Route{Match: m, Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}}})
	}
	regex := func(pattern string) *routev3.RouteMatch {
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}}}
	}
	var paths [][]byte
	for i := range n {
		path := fmt.Sprintf("/service-%d/items", i)
		switch i % 3 {
		case 0:
			add(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path}})
		case 1:
			add(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: path + "/"}})
			path += "/42"
		default:
			add(regex(path + "/[0-9]+"))
			path += "/42"
		}
		paths = append(paths, []byte(path))
	}
	if n >= 1000 {
		for i := range 20 {
			add(regex(fmt.Sprintf("/[a-z]+/unbound-%d", i)))
		}
	}
	table, err := decode.New(nil, decode.Options{}).RouteConfiguration(&routev3.RouteConfiguration{Name: "bench", VirtualHosts: []*routev3.VirtualHost{v}})
	return table, paths, err
}
