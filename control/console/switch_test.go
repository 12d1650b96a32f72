package console

import (
	"strings"
	"testing"
)

// A switch has one name, whichever way it is asked for, and what is none is refused.
func TestSwitches(t *testing.T) {
	for _, one := range []struct{ name, is, what, mend string }{
		{"injection", "injection", "injection", "weftctl mend injection"},
		{"routing", "routing", "routing by VirtualServices in sidecars", "weftctl mend routing"},
		{"routing/shop", "routing/shop", "routing by the VirtualServices of shop in sidecars", "weftctl mend routing -n shop"},
		{"workload/shop/version=v1,app=web", "workload/shop/app=web,version=v1", "the mesh for workloads app=web,version=v1 of shop", "weftctl mend workload -n shop -l app=web,version=v1"},
		{"workload/shop/example.org/tier=a", "workload/shop/example.org/tier=a", "the mesh for workloads example.org/tier=a of shop", "weftctl mend workload -n shop -l example.org/tier=a"},
		{"workload/shop/empty=", "workload/shop/empty=", "the mesh for workloads empty= of shop", "weftctl mend workload -n shop -l empty="},
	} {
		s, err := ReadSwitch(one.name)
		if err != nil || s.Name() != one.is || s.What() != one.what || s.Mend() != one.mend {
			t.Errorf("%s: %q, %q, %q, %v", one.name, s.Name(), s.What(), s.Mend(), err)
		}
	}
	for _, name := range []string{"", "all", "injection/shop", "routing/", "routing/Shop", "routing/a/b", "workload", "workload/shop", "workload/shop/", "workload/shop/app", "workload/shop/app=web,app=api", "workload/shop/=x", "workload/shop/app=a b", "workload//app=web",
		"workload/shop/a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9", "workload/" + strings.Repeat("x", 64) + "/app=web"} {
		if s, err := ReadSwitch(name); err == nil {
			t.Errorf("%q is %+v", name, s)
		}
	}
}
