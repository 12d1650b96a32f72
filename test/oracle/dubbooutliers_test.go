package oracle

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
	"github.com/weftmesh/weft/wire/dubbo"
)

// TestDubboOutliers has providers answer by results, by exceptions, and by statuses that are not OK, and asks both whom their outlier detection has ejected.
func TestDubboOutliers(t *testing.T) {
	throws := e2e.Provided(t, func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) {
		b := e2e.AnswerFrame(t, h.ID, "thrown")
		b[dubbo.HeadSize] = 0x90 // the type of an answer that is an exception
		return b, false
	})
	fails := e2e.Provided(t, func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) {
		return dubbo.AppendError(nil, &h, dubbo.ServiceError, "bad"), false
	})
	fine := e2e.Provider(t, "fine", 1)
	const detection = "outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 100}"
	text := func(port int) string {
		listener := e2e.DubboListener(`
- {interface: throws, routes: [{match: {method: {name: {exact: m}}}, route: {cluster: throws}}]}
- {interface: fine, routes: [{match: {method: {name: {exact: m}}}, route: {cluster: fine}}]}
- {interface: fails, routes: [{match: {method: {name: {exact: m}}}, route: {cluster: fails}}]}`)
		return strings.Replace(e2e.Bootstrap(strings.Replace(listener, "port_value: 0", fmt.Sprint("port_value: ", port), 1), e2e.Cluster("throws", throws.Port, detection), e2e.Cluster("fails", fails.Port, detection), e2e.Cluster("fine", fine.Port, detection)),
			"static_resources:", "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\nstatic_resources:", 1)
	}
	port := vacant.Ports(t, 1)[0]
	admin := envoy.Start(t, text(port))
	weft := e2e.StartLoops(t, 1, text(0))
	theirs, ours := e2e.Dial(t, fmt.Sprint("127.0.0.1:", port)), weft.Dial()
	for _, path := range []string{"throws", "fails", "fine"} {
		for i := range 10 {
			for who, c := range map[string]*e2e.Conn{"Envoy": theirs, "weft": ours} {
				c.Write(e2e.CallFrame(t, uint64(i), e2e.TwoWay, path, "m", nil))
				if _, _, err := e2e.ReadFrame(c); err != nil {
					t.Fatal(who, err)
				}
			}
		}
	}
	r, err := http.Get("http://" + admin + "/stats?filter=ejections_enforced_total")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"throws": 1, "fails": 1, "fine": 0} {
		stat := fmt.Sprintf("cluster.%s.outlier_detection.ejections_enforced_total", name)
		if line := fmt.Sprintf("%s: %d\n", stat, want); !strings.Contains(string(b), line) {
			t.Errorf("Envoy says %s: want %s", b, line)
		}
		weft.WantStat(stat, want)
	}
}
