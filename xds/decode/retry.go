package decode

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"

	"github.com/weftmesh/weft/config"
)

// Envoy's defaults of trying again.
const (
	defaultBackoff  = 25 * time.Millisecond
	defaultMaxReset = 300 * time.Second
	maxBackoffTimes = 10 // of the base, if max_interval says nothing else
)

// retry reads a retry policy; nil if there is none.
func (s *session) retry(m *routev3.RetryPolicy, p *at) *config.Retry {
	if m == nil {
		return nil
	}
	r := &config.Retry{
		On:          s.retryOn(m.GetRetryOn(), p.field("retry_on")),
		Max:         u32(m.GetNumRetries(), 1),
		PerTry:      s.duration(m.GetPerTryTimeout(), 0, p.field("per_try_timeout")),
		PerTryIdle:  s.duration(m.GetPerTryIdleTimeout(), 0, p.field("per_try_idle_timeout")),
		ChooseAgain: 1,
		BaseBackoff: defaultBackoff,
		MaxReset:    defaultMaxReset,
	}
	for _, h := range m.GetRetryHostPredicate() {
		if in[*previoushostsv3.PreviousHostsPredicate](s, h.GetTypedConfig()) != nil {
			r.AvoidTried = true
		}
	}
	if a := m.GetRetryPriority().GetTypedConfig(); a != nil {
		r.SpendPriorities = uint32(in[*previousprioritiesv3.PreviousPrioritiesConfig](s, a).GetUpdateFrequency())
	}
	if n := m.GetHostSelectionRetryMaxAttempts(); n > 0 {
		r.ChooseAgain = uint32(min(n, maxChooseAgain))
	}
	for i, code := range m.GetRetriableStatusCodes() {
		if code < 100 || code > 599 {
			s.problem(p.field("retriable_status_codes").item(i), "%d is no status of a response: want 100 to 599", code)
		}
		r.Statuses = append(r.Statuses, uint16(code))
	}
	for i, h := range m.GetRetriableHeaders() {
		p := p.field("retriable_headers").item(i)
		if strings.HasPrefix(h.GetName(), ":") {
			s.problem(p.field("name"), "%q is no field of a response: for :status use retriable_status_codes", h.GetName())
		}
		r.Headers = append(r.Headers, s.headerMatch(h, p))
	}
	for i, h := range m.GetRetriableRequestHeaders() {
		r.RequestHeaders = append(r.RequestHeaders, s.headerMatch(h, p.field("retriable_request_headers").item(i)))
	}
	s.backoff(r, m, p)
	return r
}

// maxChooseAgain bounds how often a choice is asked for again, since each costs one.
const maxChooseAgain = 100

// backoffOf reads the first of growing pauses and the longest.
func (s *session) backoffOf(first, longest *durationpb.Duration, p *at) (base, most time.Duration) {
	if base = s.duration(first, 0, p.field("base_interval")); base < time.Millisecond {
		s.problem(p.field("base_interval"), "%v: want 1ms or more", base)
	}
	if most = s.duration(longest, maxBackoffTimes*base, p.field("max_interval")); most < base {
		s.problem(p.field("max_interval"), "%v is less than the base_interval of %v", most, base)
	}
	return base, most
}

func (s *session) backoff(r *config.Retry, m *routev3.RetryPolicy, p *at) {
	if b := m.GetRetryBackOff(); b != nil {
		r.BaseBackoff, r.MaxBackoff = s.backoffOf(b.GetBaseInterval(), b.GetMaxInterval(), p.field("retry_back_off"))
	} else {
		r.MaxBackoff = maxBackoffTimes * r.BaseBackoff
	}
	if b := m.GetRateLimitedRetryBackOff(); b != nil {
		p := p.field("rate_limited_retry_back_off")
		r.MaxReset = s.duration(b.GetMaxInterval(), defaultMaxReset, p.field("max_interval"))
		for _, h := range b.GetResetHeaders() {
			r.ResetHeaders = append(r.ResetHeaders, config.ResetHeader{Name: strings.ToLower(h.GetName()), UnixTime: h.GetFormat() == routev3.RetryPolicy_UNIX_TIMESTAMP})
		}
	}
}

// retryOn reads the words of retry_on. Envoy passes over those that it does not know; here they are an error, as a word with a slip of
// the pen would mean that nothing is tried again.
func (s *session) retryOn(text string, p *at) (on config.RetryOn) {
words:
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		for _, r := range config.RetryReasons {
			if r.Word == word {
				on |= r.On
				continue words
			}
		}
		var known []string
		for _, r := range config.RetryReasons {
			known = append(known, r.Word)
		}
		s.problem(p, "%q is no reason to try again: want some of %s", word, strings.Join(known, ", "))
	}
	return on
}

// hedge reads whether a try that takes too long goes on beside the next one.
func hedge(m *routev3.HedgePolicy) bool { return m.GetHedgeOnPerTryTimeout() }

func (s *session) mirrors(list []*routev3.RouteAction_RequestMirrorPolicy, c tableRules, p *at) []config.Mirror {
	var out []config.Mirror
	for i, m := range list {
		p := p.field("request_mirror_policies").item(i)
		r := config.Mirror{
			Cluster:       m.GetCluster(),
			ClusterHeader: strings.ToLower(m.GetClusterHeader()),
			Share:         RuntimeFraction(m.GetRuntimeFraction(), config.Always),
			KeepHost:      m.GetDisableShadowHostSuffixAppend(),
			HostRewrite:   s.line(m.GetHostRewriteLiteral(), p.field("host_rewrite_literal")),
			Mutations:     s.mutations(m.GetRequestHeadersMutations(), p.field("request_headers_mutations")),
		}
		switch {
		case r.Cluster == "" && r.ClusterHeader == "":
			s.problem(p, "want a cluster or a cluster_header")
		case r.Cluster != "" && r.ClusterHeader != "":
			s.problem(p.field("cluster_header"), "there is a cluster already: want one of the two")
		case r.Cluster != "":
			s.known(r.Cluster, c, p.field("cluster"))
		}
		out = append(out, r)
	}
	return out
}
