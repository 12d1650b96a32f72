package upstream

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
)

// Lines is a file of events, a line of JSON for each.
type Lines interface {
	Write(loop int, line []byte)
}

// Options are what a Set is lent by rooms that it may not see. What is nil is not there.
type Options struct {
	// Events gives the file of that path, which has been opened before the configuration that names it.
	Events func(path string) Lines
	// Secrets are what TLS is spoken with.
	Secrets *tls.Store
	// Numbered is what the numbers of connections begin behind.
	Numbered uint64
}

// lines are the files of those paths.
func (s *Set) lines(paths ...string) (out []Lines) {
	for _, path := range paths {
		if path != "" && s.options.Events != nil {
			out = append(out, s.options.Events(path))
		}
	}
	return out
}

// event is one line as it is written: an object of JSON with the names, and in the order, of Envoy's messages.
type event []byte

func (e *event) text(name, value string) {
	b, _ := json.Marshal(value) // of a text, which has JSON
	e.add(name, string(b))
}

func (e *event) add(name, value string) {
	*e = append(*e, map[bool]string{true: "{", false: ","}[len(*e) == 0]...)
	*e = append(append(strconv.AppendQuote(*e, name), ':'), value...)
}

func (e *event) now(t time.Time) {
	e.add("timestamp", t.UTC().Format(`"2006-01-02T15:04:05.000Z"`))
}

// write ends the line. The first loop is home to all who write events.
func (e *event) write(files []Lines) {
	line := append(*e, '}', '\n')
	for _, f := range files {
		f.Write(0, line)
	}
}

// Kinds of events of health checks, with how much of the line is in front of them.
type checkEvent struct {
	name  string
	order uint8
}

var (
	eventEject    = checkEvent{"eject_unhealthy_event", 0}
	eventAdd      = checkEvent{"add_healthy_event", 0}
	eventFailure  = checkEvent{"health_check_failure_event", 1}
	eventDegraded = checkEvent{"degraded_healthy_host", 1}
	eventBack     = checkEvent{"no_longer_degraded_host", 1}
	eventSuccess  = checkEvent{"successful_health_check_event", 2}
)

// tell writes an event of an endpoint.
func (k *checker) tell(s *Standing, what checkEvent, about string) {
	if len(k.events) == 0 {
		return
	}
	m := k.cluster.member(s)
	if m == nil {
		return
	}
	var e event
	kind := "HTTP"
	if k.config.TCP != nil {
		kind = "TCP"
	}
	order := uint8(0)
	until := func(n uint8) {
		for ; order < n; order++ {
			if order == what.order {
				e.add(what.name, about)
			}
		}
	}
	e.text("health_checker_type", kind)
	e.add("host", whereabouts(m.Address()))
	e.text("cluster_name", k.cluster.Config.Name)
	until(1)
	e.now(k.home.Now())
	until(2)
	if m.Metadata != nil {
		if b, err := json.Marshal(m.Metadata); err == nil {
			e.add("metadata", `{"filter_metadata":`+string(b)+`,"typed_filter_metadata":{}}`)
		}
	}
	var l event
	l.text("region", m.Locality.Region)
	l.text("zone", m.Locality.Zone)
	l.text("sub_zone", m.Locality.SubZone)
	e.add("locality", string(l)+"}")
	until(3)
	e.write(k.events)
}

// whereabouts is an address as Envoy's message of it.
func whereabouts(a config.Address) string {
	var e event
	if a.Path != "" {
		e.text("path", a.Path)
		return `{"pipe":` + string(e) + `,"mode":0}}`
	}
	e.text("protocol", "TCP")
	e.text("address", a.AddrPort.Addr().String())
	e.add("port_value", strconv.Itoa(int(a.AddrPort.Port())))
	return `{"socket_address":` + string(e) + `,"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}}`
}

// Types of ejections as events call them, in the order of ejection.
var ejectionTypes = [...]string{"CONSECUTIVE_5XX", "CONSECUTIVE_GATEWAY_FAILURE", "CONSECUTIVE_LOCAL_ORIGIN_FAILURE", "SUCCESS_RATE",
	"SUCCESS_RATE_LOCAL_ORIGIN", "FAILURE_PERCENTAGE", "FAILURE_PERCENTAGE_LOCAL_ORIGIN", "DEGRADED"}

// tell writes that an endpoint was ejected, or would have been were that enforced, or has come back. last is when it was ejected or came
// back before; 0: never.
func (d *Detector) tell(s *Standing, action string, why ejection, enforced bool, last int64) {
	if len(d.events) == 0 {
		return
	}
	m := d.cluster.member(s)
	if m == nil {
		return
	}
	var e event
	e.text("type", ejectionTypes[why])
	e.now(d.home.Now())
	if last != 0 {
		e.add("secs_since_last_action", fmt.Sprintf(`"%d"`, (d.home.Nanotime()-last)/int64(time.Second)))
	}
	e.text("cluster_name", d.cluster.Config.Name)
	e.text("upstream_url", m.Address().String())
	e.text("action", action)
	o := s.outlier.Load()
	e.add("num_ejections", strconv.FormatInt(o.ejections, 10))
	e.add("enforced", strconv.FormatBool(enforced))
	if action == "EJECT" {
		rate := d.rates[0]
		if why == byLocalSuccessRate || why == byLocalFailurePercentage {
			rate = d.rates[1]
		}
		switch own := uint32(rate.percent[s]); why {
		case bySuccessRate, byLocalSuccessRate:
			e.add("eject_success_rate_event", fmt.Sprintf(`{"host_success_rate":%d,"cluster_average_success_rate":%d,"cluster_success_rate_ejection_threshold":%d}`, own, uint32(rate.mean), uint32(rate.least)))
		case byFailurePercentage, byLocalFailurePercentage:
			e.add("eject_failure_percentage_event", fmt.Sprintf(`{"host_success_rate":%d}`, own))
		default:
			e.add("eject_consecutive_event", "{}")
		}
	}
	e.write(d.events)
}

// member is an endpoint of that standing; nil if it has gone meanwhile.
func (c *Cluster) member(s *Standing) *Member {
	all := c.Endpoints().All
	for i := range all {
		if all[i].Standing == s {
			return &all[i]
		}
	}
	return nil
}
