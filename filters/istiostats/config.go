package istiostats

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"

	"github.com/weftmesh/weft/filters"
)

// Spec is the filter. It has no hooks: an exchange never meets it.
func Spec() filters.Spec {
	return filters.Spec{
		Name:   "istio.stats",
		Type:   "stats.PluginConfig",
		Decode: func(wire []byte) (any, error) { return nil, check(wire) },
		Build: func(any, filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return filter{} }
		},
	}
}

type filter struct{ filters.Pass }

// check refuses what Istio's own filter would not have understood.
func check(wire []byte) error {
	var m statsv3.PluginConfig
	if err := proto.Unmarshal(wire, &m); err != nil {
		return err
	}
	for name, d := range map[string]*durationpb.Duration{"tcp_reporting_duration": m.GetTcpReportingDuration(), "rotation_interval": m.GetRotationInterval()} {
		if d != nil && (d.CheckValid() != nil || d.AsDuration() < 0) {
			return fmt.Errorf("%s: want a duration that is not negative", name)
		}
	}
	if d := m.GetGracefulDeletionInterval(); d != nil && (d.CheckValid() != nil || d.AsDuration() < time.Second) {
		return fmt.Errorf("graceful_deletion_interval: want 1s or more")
	}
	for i, d := range m.GetDefinitions() {
		if d.GetName() == "" {
			return fmt.Errorf("definitions[%d].name: a name is missing", i)
		}
	}
	return nil
}
