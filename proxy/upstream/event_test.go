package upstream

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/weftmesh/weft/config"
)

// heard keeps lines, without what changes.
type heard struct {
	t     *testing.T
	lines []string
}

var changing = regexp.MustCompile(`"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

func (h *heard) Write(_ int, line []byte) {
	if !json.Valid(line) || line[len(line)-1] != '\n' {
		h.t.Errorf("no line of JSON: %q", line)
	}
	h.lines = append(h.lines, changing.ReplaceAllString(string(line[:len(line)-1]), "NOW"))
}

func (h *heard) want(lines ...string) {
	h.t.Helper()
	for i := range max(len(lines), len(h.lines)) {
		got, want := "nothing", "nothing"
		if i < len(h.lines) {
			got = h.lines[i]
		}
		if i < len(lines) {
			want = lines[i]
		}
		if got != want {
			h.t.Errorf("line %d:\n got %s\nwant %s", i, got, want)
		}
	}
	h.lines = nil
}

// Lines about checks are Envoy's, byte by byte: these were asked of Envoy 1.40.
func TestEventsOfChecks(t *testing.T) {
	c := checked
	up, _ := still(t, &config.Cluster{Health: &c}, 1)
	h, k := &heard{t: t}, up.checker
	k.events = []Lines{h}
	m := &up.Endpoints().All[0]
	m.Locality = config.Locality{Region: "r", Zone: "z", SubZone: "s"}
	const before = `{"health_checker_type":"TCP","host":{"socket_address":{"protocol":"TCP","address":"127.0.0.1","port_value":80,"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}},"cluster_name":"up",`
	const after = `"locality":{"region":"r","zone":"z","sub_zone":"s"}`
	one := func(f finding) { k.settle(m.Standing, f) }
	one(finding{result: passed})
	h.want(before + `"add_healthy_event":{"first_check":true},NOW,` + after + "}")
	one(finding{result: passed})
	one(finding{result: unreached})
	h.want()
	one(finding{result: failed, status: 503})
	h.want(before + `"eject_unhealthy_event":{"failure_type":"ACTIVE","http_status_code":503},NOW,` + after + "}")
	m.Metadata = config.Metadata{"x": {"y": "<z>"}}
	one(finding{result: passed})
	one(finding{result: passed, degraded: true})
	const about = `"metadata":{"filter_metadata":{"x":{"y":"\u003cz\u003e"}},"typed_filter_metadata":{}},`
	h.want(before+`"add_healthy_event":{"first_check":false},NOW,`+about+after+"}", before+`NOW,"degraded_healthy_host":{},`+about+after+"}")
	c.TellFailures, c.TellSuccess = true, true
	one(finding{result: passed})
	one(finding{result: unreached, timedOut: true})
	h.want(before+"NOW,"+about+after+`,"successful_health_check_event":{}}`, before+`NOW,"no_longer_degraded_host":{},`+about+after+"}",
		before+`NOW,"health_check_failure_event":{"failure_type":"NETWORK_TIMEOUT","first_check":false,"http_status_code":0},`+about+after+"}")
}

// So are those about ejections.
func TestEventsOfEjections(t *testing.T) {
	c := usual
	k := newCourt(t, &c, 5)
	h := &heard{t: t}
	k.events = []Lines{h}
	s := k.all[0].Standing
	place := k.all[0].Address().String()
	const eject = `{"type":"CONSECUTIVE_5XX",NOW,`
	k.suspect(s, consecutive5xx)
	h.want(eject + `"cluster_name":"","upstream_url":"` + place + `","action":"EJECT","num_ejections":1,"enforced":true,"eject_consecutive_event":{}}`)
	k.uneject(s)
	h.want(eject + `"secs_since_last_action":"0","cluster_name":"","upstream_url":"` + place + `","action":"UNEJECT","num_ejections":1,"enforced":false}`)
	c.Enforcing[consecutive5xx] = 0
	k.suspect(s, consecutive5xx)
	h.want(eject + `"secs_since_last_action":"0","cluster_name":"","upstream_url":"` + place + `","action":"EJECT","num_ejections":1,"enforced":false,"eject_consecutive_event":{}}`)
	k.rates[0] = rates{percent: map[*Standing]float64{s: 12.9}, mean: 66.6, least: 43.2}
	k.tell(s, "EJECT", bySuccessRate, true, 0)
	k.tell(s, "EJECT", byFailurePercentage, true, 0)
	h.want(`{"type":"SUCCESS_RATE",NOW,"cluster_name":"","upstream_url":"`+place+`","action":"EJECT","num_ejections":1,"enforced":true,"eject_success_rate_event":{"host_success_rate":12,"cluster_average_success_rate":66,"cluster_success_rate_ejection_threshold":43}}`,
		`{"type":"FAILURE_PERCENTAGE",NOW,"cluster_name":"","upstream_url":"`+place+`","action":"EJECT","num_ejections":1,"enforced":true,"eject_failure_percentage_event":{"host_success_rate":12}}`)
}
