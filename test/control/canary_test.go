package control

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A share of traffic moves as objects say, under load, and nothing is lost, whatever else changes meanwhile.
func TestACanaryMoves(t *testing.T) {
	for _, from := range sources {
		for _, name := range proxies {
			t.Run(name+" by "+from, func(t *testing.T) { canaryMoves(t, name, from) })
		}
	}
}

func canaryMoves(t *testing.T, name, from string) {
	s := newShop(t)
	p := newPlaneOf(t, from, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(90)})
	p.proxy(name)
	s.opens()
	p.synced(1)
	if got := s.share(); got < 85 || got > 95 {
		t.Errorf("the first version has %d %% of the traffic: want 90", got)
	}
	end := s.load()
	third := upstream(t, "v2")
	round := p.status().Last.Number
	pace := time.NewTicker(20 * time.Millisecond) // changes fall into rounds of their own, mostly
	defer pace.Stop()
	for i := range 40 {
		<-pace.C
		p.write("canary.yaml", canary(90-2*i))
		if more := ""; i%4 == 0 {
			if i%8 == 0 {
				more = fmt.Sprintf("- {address: 127.0.0.1, ports: {http: %d}, labels: {version: v2}}", third)
			}
			p.write("shop.yaml", s.entry(more))
		}
		if i%5 == 0 { // a service comes, and goes with its routes
			p.write("other.yaml", strings.NewReplacer("shop", fmt.Sprint("other", i%2)).Replace(s.entry("")+"---"+canary(50)))
		}
	}
	p.write("canary.yaml", canary(0))
	s.leaves()
	p.synced(1)
	if n := end(); n < 100 {
		t.Errorf("only %d requests were made meanwhile", n)
	} else {
		t.Logf("%d requests, none lost, in %d rounds", n, p.status().Last.Number-round)
	}
	if got := s.share(); got != 0 {
		t.Errorf("the first version has %d %% of the traffic: want none", got)
	}
	if st := p.status(); len(st.Refused) > 0 || len(st.Problems) > 0 {
		t.Errorf("refused %+v, problems %+v", st.Refused, st.Problems)
	}
}

// A control plane that dies takes no traffic with it, and the next one finds that there is nothing to tell.
func TestAPlaneThatComesBackTellsNothingAnew(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
			p.proxy(name)
			s.opens()
			p.synced(1)
			first := p.number("xds_response_bytes_sum")
			end := s.load()
			p.kill()
			if got := s.share(); got != 100 {
				t.Errorf("without a control plane the first version has %d %%: want all", got)
			}
			p.start()
			p.synced(1)
			if again := p.number("xds_response_bytes_sum"); again > 600 || first < 3000 {
				t.Errorf("told %d bytes, and %d after it came back: want nothing", first, again)
			}
			p.write("canary.yaml", canary(0))
			eventually(t, "it is followed again", func() bool { who, err := s.ask(t.Context()); return err == nil && who == "v2" })
			if end() == 0 {
				t.Error("nothing was asked meanwhile")
			}
		})
	}
}

// What is wrong in a file is said, with its place, and what was there before stays in force.
func TestAWrongFileIsSaidAndTheOldOneStays(t *testing.T) {
	s := newShop(t)
	p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
	p.proxy("weft")
	s.opens()
	p.synced(1)
	p.write("canary.yaml", strings.Replace(canary(0), "weight:", "wieght:", 1))
	eventually(t, "it is said", func() bool {
		st := p.status()
		return len(st.Problems) > 0 && strings.Contains(st.Problems[0].Text, "canary.yaml:10: VirtualService a/shop: spec.http[0].route[0].wieght")
	})
	if got := s.share(); got != 100 {
		t.Errorf("the first version has %d %%: want all", got)
	}
	p.write("canary.yaml", canary(0))
	eventually(t, "it is right again", func() bool {
		who, err := s.ask(t.Context())
		return err == nil && who == "v2" && len(p.status().Problems) == 0
	})
	p.cmd.Process.Signal(os.Interrupt)
	<-p.ended
	if !strings.Contains(p.said.String(), "canary.yaml:10") {
		t.Errorf("the log does not say so:\n%s", p.said)
	}
}
