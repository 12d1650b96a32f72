package push

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// comes is the next response, which is not answered.
func (c *client) comes() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	select {
	case m, ok := <-c.got:
		if !ok {
			c.t.Fatal("the stream has ended")
		}
		return m
	case <-time.After(deadline):
		c.t.Fatal("nothing has come")
		return nil
	}
}

// answers takes a response, or refuses it if because is not empty.
func (c *client) answers(m *discoveryv3.DeltaDiscoveryResponse, because string) {
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce}
	if because != "" {
		r.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: because}
	}
	c.stream.Send(r)
}

// refuses has it refuse what has one of these texts in its name, and take all else, until the stream ends.
func (c *client) refuses(texts ...string) {
	go func() {
		for m := range c.got {
			why := ""
			for _, text := range texts {
				if strings.Contains(names(m), text) {
					why = "not this"
				}
			}
			c.answers(m, why)
		}
	}()
}

// quiet wants that nothing has come.
func (c *client) quiet() {
	c.t.Helper()
	select {
	case m := <-c.got:
		c.t.Errorf("it is told of %q, and that %q are gone", names(m), m.RemovedResources)
	default:
	}
}

const sidecarTwo = "sidecar~10.0.0.2~two.a~a.svc.cluster.local"

func key(name string) source.Key {
	return source.Key{Kind: source.ServiceEntry, Namespace: "a", Name: name}
}

// careful is a plane with two proxies that have answered all.
func careful(t *testing.T, o Options) (pl *plane, one, two *client) {
	o.Sources, o.ByCohorts = []string{"files"}, true
	pl = newPlaneWith(t, o)
	pl.tell("files", entry("x", "10.9.9.1"))
	one, two = pl.client(sidecar), pl.client(sidecarTwo)
	one.next()
	two.next()
	pl.eventually("both have answered", func(s Status) bool { return len(s.Proxies) == 2 && s.Proxies[0].Synced && s.Proxies[1].Synced })
	return pl, one, two
}

func (pl *plane) underWay(step, waits string) {
	pl.t.Helper()
	pl.eventually(step+" waits for "+waits, func(s Status) bool {
		return len(s.Rollouts) > 0 && s.Rollouts[0].Step == step && strings.Join(s.Rollouts[0].Waits, " ") == waits
	})
}

func (pl *plane) over() {
	pl.t.Helper()
	pl.eventually("nothing is under way", func(s Status) bool { return len(s.Rollouts) == 0 })
}

func TestAChangeIsTriedWithOne(t *testing.T) {
	pl, one, two := careful(t, Options{})
	pl.tell("files", entry("y", "10.9.9.2"))
	m := one.comes()
	pl.underWay("one", "one.a")
	two.quiet()
	if o, _ := pl.Find(key("y")); o != nil {
		t.Error("it is in force before anybody has answered it")
	}
	// Endpoints do not wait, and neither does who says so.
	pl.tell("files", entry("x", "10.9.9.7")+strings.Replace(entry("now", "10.9.9.3"), "metadata: {", "metadata: {annotations: {weftmesh.io/rollout: at-once}, ", 1))
	if got, want := names(two.next()), "outbound|80||now.test"; got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	if o, _ := pl.Find(key("x")); o == nil || len(pl.Status().Rollouts) != 1 {
		t.Error("the endpoint waits")
	}
	one.answers(m, "")
	if got, want := names(one.next()), "outbound|80||now.test"; got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	if got, want := names(two.next()), "outbound|80||y.test"; got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	pl.over()
	if o, _ := pl.Find(key("y")); o == nil {
		t.Error("it is over, and not in force")
	}
}

func TestWhatIsRefusedIsTakenBack(t *testing.T) {
	for _, several := range []bool{false, true} {
		pl, one, two := careful(t, Options{})
		text := entry("bad", "10.9.9.2")
		if several {
			text = entry("aa", "10.9.9.4") + text + entry("zz", "10.9.9.5")
		}
		refuse := func(m *discoveryv3.DeltaDiscoveryResponse) (bad bool) {
			why := ""
			for _, r := range m.Resources {
				if strings.Contains(r.Name, "bad.test") {
					bad, why = true, "not "+r.Name
				}
			}
			one.answers(m, why)
			return bad && len(m.Resources) == 1
		}
		pl.tell("files", text)
		for !refuse(one.comes()) { // which is asked for halves of it
		}
		gone := map[string]bool{}
		for !gone["outbound|80||bad.test"] {
			m := one.comes()
			for _, name := range m.RemovedResources {
				gone[name] = true
			}
			refuse(m)
		}
		pl.eventually("it is held back", func(s Status) bool {
			return len(s.HeldBack) == 1 && s.HeldBack[0].Object == "ServiceEntry a/bad" && s.HeldBack[0].Proxy == "one.a" && strings.Contains(s.HeldBack[0].Because, "not outbound|80||bad.test")
		})
		if several { // the others go on
			for told, limit := "", time.After(deadline); !strings.Contains(told, "aa.test") || !strings.Contains(told, "zz.test"); {
				select {
				case m := <-one.got:
					refuse(m)
				case m := <-two.got:
					two.answers(m, "")
					if told += names(m); strings.Contains(told, "bad.test") {
						t.Error("what was refused is told")
					}
				case <-limit:
					t.Fatalf("the others do not go on: %+v", pl.Status())
				}
			}
		}
		pl.eventually("nothing is refused, and nothing is under way", func(s Status) bool {
			select {
			case m := <-one.got:
				refuse(m)
			default:
			}
			return len(s.Refused) == 0 && len(s.RefusedObjects) == 0 && len(s.Rollouts) == 0 && s.Proxies[0].Synced && s.Proxies[1].Synced
		})
		two.quiet()
		if all := pl.Problems(); len(all) != 1 || all[0].Warning || all[0].Key != key("bad") || !strings.Contains(all[0].Text, "is held back, and what was there before stays in force: one.a refuses clusters of outbound|80||bad.test: not ") {
			t.Errorf("problems: %+v", all)
		}
		if pl.stats.Sum(takenBack) != 1 || pl.stats.Sum(holding) != 1 {
			t.Error("it is not counted")
		}
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		if err := pl.Resume(ctx, key("x")); err == nil || !strings.Contains(err.Error(), "is not held back") {
			t.Errorf("%v", err)
		}
		if err := pl.Resume(ctx, key("bad")); err != nil {
			t.Error(err)
		}
		if got := names(one.comes()); got != "outbound|80||bad.test" {
			t.Errorf("tried again: %q", got)
		}
		if err := pl.Abort(ctx, key("bad"), "by hand"); err != nil {
			t.Error(err)
		}
		pl.eventually("it is held back again", func(s Status) bool { return len(s.HeldBack) == 1 && s.HeldBack[0].Because == "by hand" })
		if err := pl.Abort(ctx, key("bad"), ""); err == nil || pl.HeldBack(key("bad")) != "by hand" {
			t.Errorf("%v, %q", err, pl.HeldBack(key("bad")))
		}
	}
}

// Of several that are refused at once none gets through, though a proxy is not asked twice about any.
func TestAllThatIsRefusedIsTakenBack(t *testing.T) {
	pl, one, two := careful(t, Options{})
	one.refuses("bad.test", "worse.test")
	pl.tell("files", entry("bad", "10.9.9.2")+entry("good", "10.9.9.3")+entry("worse", "10.9.9.4"))
	if got, want := names(two.next()), "outbound|80||good.test"; got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	pl.eventually("both are held back, and all is answered", func(s Status) bool {
		return len(s.HeldBack) == 2 && len(s.Rollouts) == 0 && len(s.Refused) == 0 && s.Proxies[0].Synced && s.Proxies[1].Synced
	})
	two.quiet()
	pl.mu.Lock()
	for _, m := range pl.proxies {
		if n := m.refusals.Load(); n != 0 {
			t.Errorf("%s has %d refusals left", m.proxy.ID, n)
		}
	}
	pl.mu.Unlock()
}

// Who has refused a resource before, too, is no witness against a change of it.
func TestWhoRefusesAnywayIsNoWitness(t *testing.T) {
	pl, one, two := careful(t, Options{})
	pl.tell("files", strings.Replace(entry("y", "10.9.9.2"), "metadata: {", "metadata: {annotations: {weftmesh.io/rollout: at-once}, ", 1))
	one.answers(one.comes(), "there is no room")
	two.next()
	pl.eventually("it is refused", func(s Status) bool { return len(s.Refused) == 1 })
	pl.tell("files", strings.Replace(entry("y", "10.9.9.2"), "protocol: HTTP}", "protocol: HTTP2}", 1))
	done := func() bool {
		o, _ := pl.Find(key("y"))
		return len(pl.Status().HeldBack) > 0 || o != nil && o.Spec.(*networking.ServiceEntry).Ports[0].Protocol == "HTTP2"
	}
	for end := time.Now().Add(deadline); !done(); {
		select {
		case m := <-one.got:
			why := ""
			if strings.Contains(names(m), "y.test") {
				why = "there is no room"
			}
			one.answers(m, why)
		case m := <-two.got:
			two.answers(m, "")
		case <-time.After(time.Millisecond):
			if time.Now().After(end) {
				t.Fatalf("it does not go on: %+v", pl.Status())
			}
		}
	}
	if s := pl.Status(); len(s.HeldBack) > 0 {
		t.Errorf("%+v", s.HeldBack)
	}
}

// A refused resource is said with what it was made of, once all is found out, and forgotten with the refusal.
func TestRefusedObjectsAreNamed(t *testing.T) {
	pl := newPlane(t, "files")
	pl.tell("files", entry("x", "10.9.9.1")+entry("y", "10.9.9.2"))
	c, d := pl.client(sidecar), pl.client(sidecarTwo)
	c.refuses("y.test")
	d.refuses("y.test")
	pl.eventually("it is named", func(s Status) bool {
		return slices.EqualFunc(s.RefusedObjects, []string{"ServiceEntry a/y"}, func(o RefusedObject, want string) bool {
			return o.Object == want && o.Proxies == 2 && o.Name == "outbound|80||y.test" && o.Because == "not this" && !o.At.IsZero()
		})
	})
	if all := pl.Problems(); len(all) != 1 || !all[0].Warning || all[0].Text != "2 proxies refuse clusters outbound|80||y.test, which is made of it: not this" || all[0].From.File != "f.yaml" {
		t.Errorf("problems: %+v", all)
	}
	pl.Tell(pl.ctx, "files", source.Batch{Changes: []source.Change{{Key: key("y")}}})
	pl.eventually("nothing is", func(s Status) bool { return len(s.RefusedObjects) == 0 && len(s.Refused) == 0 })
	pl.mu.Lock()
	if len(pl.findings) > 0 {
		t.Errorf("%v are remembered", pl.findings)
	}
	pl.mu.Unlock()
}

// Two wrong versions come one after the other: the second is refused by the same proxy, which has not been told of the one in force in between, and goes no further either.
func TestOneWrongVersionAfterAnother(t *testing.T) {
	pl, one, two := careful(t, Options{})
	pl.tell("files", strings.Replace(entry("x", "10.9.9.1"), "protocol: HTTP", "protocol: HTTP2", 1))
	m := one.comes()
	pl.tell("files", strings.Replace(entry("x", "10.9.9.1"), "resolution: STATIC", "resolution: DNS", 1))
	pl.underWay("one", "one.a")
	one.answers(m, "not this")
	for {
		m = one.comes()
		if names(m) == "outbound|80||x.test" {
			break
		}
		one.answers(m, "")
	}
	one.answers(m, "nor this")
	pl.eventually("it is held back", func(s Status) bool { return len(s.HeldBack) == 1 && len(s.Rollouts) == 0 })
	two.quiet()
}
