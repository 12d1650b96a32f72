package source

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Health is what the status of a WorkloadEntry says of its workload: what whoever probes it has last found, in Istio's condition Healthy.
type Health struct {
	Well    bool
	Because string    // why not, for people
	Since   time.Time // when that became so
}

// HealthAnnotation on a WorkloadEntry says by a boolean word that its workload is probed: it gets requests only while its status says that it is well.
const HealthAnnotation = "proxy.istio.io/health-checks-enabled"

// GroupAnnotation on a WorkloadEntry names the WorkloadGroup by which its machine has registered itself.
const GroupAnnotation = "istio.io/autoRegistrationGroup"

// HealthCondition is the type of Istio's condition.
const HealthCondition = "Healthy"

// Well tells whether a WorkloadEntry may get requests. One that is probed may not before the first probe has found it well, as with Istio.
func (o *Object) Well() bool {
	probed, err := strconv.ParseBool(o.Annotations[HealthAnnotation])
	return err != nil || !probed || o.Health != nil && o.Health.Well
}

// entryStatus is what is read of a WorkloadEntry's status.
type entryStatus struct {
	Conditions []struct {
		Type, Status, Message string
		LastTransition        string `json:"lastTransitionTime" yaml:"lastTransitionTime"`
	}
}

// health is what it says; nil: nothing.
func (s *entryStatus) health() *Health {
	for _, c := range s.Conditions {
		if c.Type == HealthCondition {
			since, _ := time.Parse(time.RFC3339, c.LastTransition) // which is for people
			return &Health{Well: c.Status == "True", Because: c.Message, Since: since}
		}
	}
	return nil
}

// readHealth reads the status of a WorkloadEntry of a file. What is no such status says nothing.
func readHealth(n *yaml.Node) *Health {
	var s entryStatus
	if n == nil || n.Decode(&s) != nil {
		return nil
	}
	return s.health()
}

// Condition is a Health as a status has it.
func (h *Health) Condition() map[string]any {
	at := h.Since.UTC().Format(time.RFC3339Nano)
	one := map[string]any{"type": HealthCondition, "status": map[bool]string{true: "True", false: "False"}[h.Well], "lastProbeTime": at, "lastTransitionTime": at}
	if h.Because != "" {
		one["message"] = h.Because
	}
	return one
}
