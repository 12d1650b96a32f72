package kube_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
	test "github.com/weftmesh/weft/test/kube"
)

// What is wrong with an object is in its status as long as it is, beside what others say there, whoever has written it.
func TestStatusSaysWhatIsWrong(t *testing.T) {
	c := test.Start(t)
	c.Install("virtualservices")
	c.Apply(string(kube.Role("weftd", "istio-system", kube.Duties{Status: true})))
	shop := func(field string) string {
		return "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, spec: {hosts: [shop], http: [{route: [{destination: {host: shop}, " + field + ": 100}]}]}}"
	}
	c.Apply(shop("wieght"))
	c.ApplyStatus("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, status: {conditions: [{type: Other, status: 'True'}]}}")
	conditions := func() string {
		var o struct {
			Status struct {
				Conditions []struct {
					Type, Status, Reason, Message string
					LastTransitionTime            time.Time
					ObservedGeneration            int
				}
			}
		}
		c.Get(shop("weight"), &o)
		var out []string
		for _, one := range o.Status.Conditions {
			text := one.Type + " " + one.Status + " " + one.Reason + " " + one.Message
			if one.Type != "Other" && one.LastTransitionTime.IsZero() {
				text += " at no time"
			}
			out = append(out, strings.TrimSpace(text))
		}
		return strings.Join(out, "; ")
	}
	var mu sync.Mutex
	var problems []source.Problem
	tell := func(list ...source.Problem) {
		mu.Lock()
		defer mu.Unlock()
		problems = list
	}
	begin := func() *follower {
		return follow(t, c.KubeconfigOf("istio-system", "weftd"), func(o *kube.Options) {
			o.Verdicts = func() []source.Problem {
				mu.Lock()
				defer mu.Unlock()
				return problems
			}
		})
	}
	f := begin()
	f.next()
	becomes := func(want string) {
		t.Helper()
		eventually(t, want, func() bool { return conditions() == want })
	}
	key, from := source.Key{Kind: source.VirtualService, Namespace: "a", Name: "shop"}, source.Origin{Source: "test"}
	wrong := source.Problem{Key: key, From: from, Path: "spec.http[0].route[0].wieght", Text: "is no field"}
	warning := source.Problem{Key: key, From: from, Text: "is odd", Warning: true}
	tell(warning, wrong)
	becomes("Other True; weftmesh.io/Accepted False Refused is odd; spec.http[0].route[0].wieght: is no field")
	tell(warning)
	becomes("Other True; weftmesh.io/Accepted True Warned is odd")
	f.stop()
	tell()
	f = begin() // another one, which has not written that
	f.next()
	becomes("Other True")
	tell(source.Problem{Key: key, From: source.Origin{Source: "another"}, Text: "is another's"})
	c.Apply(shop("weight"))
	f.told("VirtualService a/shop") // and none of those changes of its status
	if got := conditions(); got != "Other True" {
		t.Error(got)
	}
}
