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
			if len(spec.GetAddresses()) > 0 || spec.GetResolution() == networking.ServiceEntry_NONE {
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

// sameAllocation tells whether services have the addresses that they are given.
func sameAllocation(services []*Service, given map[string]string) bool {
	for _, s := range services {
		if len(s.Addresses) == 0 && s.Allocated != given[s.Namespace+"/"+s.Host] {
			return false
		}
	}
	return true
}
