package decode

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/config"
)

// defaultDemand is how long a request waits for a cluster unless the configuration says otherwise, as in Envoy.
const defaultDemand = 5 * time.Second

// OnDemand reads where clusters come from that requests name. Whether there is such a control plane is asked when the message that it is
// part of has been read. An error is about the field of that name of what is called by path.
func OnDemand(m *corev3.ConfigSource, timeout *durationpb.Duration, path, field string) (*config.OnDemand, error) {
	s := New(nil, Options{Shared: true}).session()
	s.anybody = true
	c := s.onDemand(m, timeout, (*at)(nil).field(path), field)
	if err := s.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *session) onDemand(m *corev3.ConfigSource, timeout *durationpb.Duration, p *at, field string) *config.OnDemand {
	c := &config.OnDemand{Timeout: s.duration(timeout, defaultDemand, p.field("timeout"))}
	if c.Timeout <= 0 {
		s.problem(p.field("timeout"), "want more than nothing")
	}
	file, stream := s.source(m, p.field(field))
	switch {
	case file != nil:
		s.problem(p.field(field), "a file has all that it has at once: want ads or api_config_source")
	case stream != nil:
		c.From = stream.Stream
		s.asksByName(c.From, p.field(field))
	}
	return c
}

// asksByName refuses a control plane that cannot be asked for one resource beside others, or cannot say that there is none.
func (s *session) asksByName(c config.Stream, p *at) {
	if !c.Shared && !c.Delta {
		s.problem(p.field("api_config_source").field("api_type"), "want DELTA_GRPC: only so can a control plane say that there is no such resource")
	}
}

// hosts reads where virtual hosts come from that requests ask for.
func (s *session) hosts(m *corev3.ConfigSource, p *at) *config.Subscription {
	file, stream := s.source(m, p)
	switch {
	case file != nil:
		s.problem(p, "a file has all that it has at once: want ads or api_config_source")
	case stream != nil:
		s.asksByName(stream.Stream, p)
	}
	return stream
}

// demanded says of what a filter has read whether there is such a control plane.
func (s *session) demanded(c any, p *at) {
	d, _ := c.(*config.OnDemand)
	switch {
	case d == nil:
	case d.From.Shared && !s.shared:
		s.problem(p.field("odcds").field("source").field("ads"), "there is no stream that everything comes over: set dynamic_resources.ads_config")
	case !d.From.Shared && !s.controls[d.From.Server]:
		s.server(d.From.Server, p.field("odcds").field("source"))
	}
}
