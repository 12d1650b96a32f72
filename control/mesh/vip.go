package mesh

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// Addresses are allocated in 240.240.0.0/16, of which .0 and .255 are left out of each 256.
const (
	allocations = 256 * 254
	perByte     = 254
)

// allocate gives addresses to the hosts of ServiceEntries that have none and can have one, by namespace/host. A host asks for one by its hash
// and for the next ones if somebody whose name comes before it has it, so that few addresses move when hosts come and go.
func (m *Mesh) allocate() map[string]string {
	var hosts []string
	for _, space := range m.objects[source.ServiceEntry].spaces {
		for _, o := range space {
			spec := o.Spec.(*networking.ServiceEntry)
			if len(spec.GetAddresses()) > 0 || spec.GetResolution() == networking.ServiceEntry_NONE || unallocated(o) {
				continue
			}
			for _, h := range spec.GetHosts() {
				if !strings.HasPrefix(h, "*") {
					hosts = append(hosts, o.Namespace+"/"+strings.ToLower(h))
				}
			}
		}
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	taken := map[uint32]bool{}
	given := make(map[string]string, len(hosts))
	for _, h := range hosts {
		if len(taken) == allocations {
			break // the rest share the listeners of hosts without an address
		}
		sum := fnv.New32a()
		sum.Write([]byte(h))
		at := sum.Sum32() % allocations
		for taken[at] {
			at = (at + 1) % allocations
		}
		taken[at] = true
		given[h] = netip.AddrFrom4([4]byte{240, 240, byte(at / perByte), byte(at%perByte + 1)}).String()
	}
	return given
}

// allocationLabel says, if it is "false", that a ServiceEntry's hosts are to have no address but what their name means elsewhere.
const allocationLabel = "networking.istio.io/enable-autoallocate-ip"

func unallocated(o *source.Object) bool { return strings.EqualFold(o.Labels[allocationLabel], "false") }

// sameWanting tells whether some ServiceEntries that are others say the same as before about who wants an address, so that all addresses stay.
func sameWanting(now, before *Objects, entries touched) bool {
	for k := range entries {
		o, old := now.Get(k.Namespace, k.Name), before.Get(k.Namespace, k.Name)
		if o == nil || old == nil {
			return false
		}
		is, was := o.Spec.(*networking.ServiceEntry), old.Spec.(*networking.ServiceEntry)
		if unallocated(o) != unallocated(old) || is.GetResolution() != was.GetResolution() || !slices.Equal(is.GetAddresses(), was.GetAddresses()) || !slices.Equal(is.GetHosts(), was.GetHosts()) {
			return false
		}
	}
	return true
}

// allocationOf is what the services of an object were given, as allocate gives it.
func allocationOf(services []*Service) map[string]string {
	given := map[string]string{}
	for _, s := range services {
		if s.Allocated != "" {
			given[s.Namespace+"/"+s.Host] = s.Allocated
		}
	}
	return given
}

// sameAllocation tells whether services have the addresses that they are given.
func sameAllocation(services []*Service, given map[string]string) bool {
	for _, s := range services {
		if len(s.Addresses) == 0 && s.Allocated != given[s.Namespace+"/"+s.Host] {
			return false
		}
	}
	return true
}
