package decode

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/weftmesh/weft/config"
)

// outliers reads outlier detection, with Envoy's defaults.
func (s *session) outliers(m *clusterv3.OutlierDetection, p *at) *config.Outliers {
	if m == nil {
		return nil
	}
	o := &config.Outliers{
		Events:             s.ejections,
		Interval:           s.duration(m.GetInterval(), 10*time.Second, p.field("interval")),
		BaseTime:           s.duration(m.GetBaseEjectionTime(), 30*time.Second, p.field("base_ejection_time")),
		MaxJitter:          s.duration(m.GetMaxEjectionTimeJitter(), 0, p.field("max_ejection_time_jitter")),
		MaxPercent:         u32(m.GetMaxEjectionPercent(), 10),
		UnejectOnCheck:     isTrue(m.GetSuccessfulActiveHealthCheckUnejectHost(), true),
		Degrade:            m.GetDetectDegradedHosts().GetValue(),
		AlwaysOne:          m.GetAlwaysEjectOneHost().GetValue(),
		SplitOrigins:       m.GetSplitExternalLocalOriginErrors(),
		Consecutive5xx:     u32(m.GetConsecutive_5Xx(), 5),
		ConsecutiveGateway: u32(m.GetConsecutiveGatewayFailure(), 5),
		ConsecutiveLocal:   u32(m.GetConsecutiveLocalOriginFailure(), 5),
		RateHosts:          u32(m.GetSuccessRateMinimumHosts(), 5),
		RateVolume:         u32(m.GetSuccessRateRequestVolume(), 100),
		RateStdev:          u32(m.GetSuccessRateStdevFactor(), 1900),
		FailureHosts:       u32(m.GetFailurePercentageMinimumHosts(), 5),
		FailureVolume:      u32(m.GetFailurePercentageRequestVolume(), 50),
		FailureThreshold:   u32(m.GetFailurePercentageThreshold(), 85),
		Enforcing: [7]uint32{
			u32(m.GetEnforcingConsecutive_5Xx(), 100),
			u32(m.GetEnforcingConsecutiveGatewayFailure(), 0),
			u32(m.GetEnforcingConsecutiveLocalOriginFailure(), 100),
			u32(m.GetEnforcingSuccessRate(), 100),
			u32(m.GetEnforcingLocalOriginSuccessRate(), 100),
			u32(m.GetEnforcingFailurePercentage(), 0),
			u32(m.GetEnforcingFailurePercentageLocalOrigin(), 0),
		},
	}
	if o.Interval < time.Millisecond {
		s.problem(p.field("interval"), "%v: want at least 1ms", o.Interval)
	}
	o.MaxTime = s.duration(m.GetMaxEjectionTime(), max(300*time.Second, o.BaseTime), p.field("max_ejection_time"))
	if o.MaxTime < o.BaseTime {
		s.problem(p.field("max_ejection_time"), "%v: want at least the base_ejection_time, which is %v", o.MaxTime, o.BaseTime)
	}
	return o
}
