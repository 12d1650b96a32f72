package dns

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"net/netip"
	"strings"

	"github.com/weftmesh/weft/wire/dns"
)

// Bounds of a table, beside that of the message that it comes in.
const (
	maxNames     = 1 << 18
	maxAddresses = 1 << 12 // of a name; what is more is left out
	maxName      = 253     // bytes of a name, without the dot at its end (RFC 1035 §2.3.4)
	maxLabel     = 63
)

// table is what the mesh says that names mean. It is made once and then read by all. What is known of names lies one behind the other in two blocks of memory, since a pod may know of ten thousand:
// a record is the name's size and the name in small letters, whether it goes by its first words too, how many addresses it has of each family, and the addresses.
type table struct {
	seed    maphash.Seed
	slots   []uint32 // places of records + 1, by the hash of the name, with the next free place when several want one; a power of two of them, at most half taken
	records string
	names   int
	cut     int // addresses and names that were left out
	// Names of services in domain are known without it: "a.ns", and in the proxy's own namespace "a".
	own
}

// record is what a name is known by.
type record struct {
	name   string
	short  bool   // it goes by its first words too
	v4, v6 string // addresses, one behind the other
}

// own is where a proxy is.
type own struct{ domain, namespace string }

// newOwn takes a proxy's domain without its namespace, as it is a suffix of the names of services: svc.cluster.local.
func newOwn(namespace, domain string) own {
	domain = strings.ToLower(strings.Trim(domain, "."))
	if first, rest, _ := strings.Cut(domain, "."); first == namespace {
		domain = rest
	}
	return own{domain, strings.ToLower(namespace)}
}

// Numbers of fields of istio.networking.nds.v1.NameTable, of its entries, and of what is said of a name.
const (
	ofTableEntries  = 1
	ofEntryName     = 1
	ofEntryInfo     = 2
	ofInfoAddresses = 1
	ofInfoRegistry  = 2
	ofInfoShort     = 3
	ofInfoNamespace = 4
	ofInfoOthers    = 5 // names that it goes by as well
	kubernetes      = "Kubernetes"
)

// parseTable reads an encoded table.
func parseTable(b []byte, o own) (*table, error) {
	t := &table{seed: maphash.MakeSeed(), own: o}
	w := writing{table: t, records: make([]byte, 0, len(b)/2)}
	err := fields(b, func(number uint64, entry []byte) error {
		if number != ofTableEntries {
			return nil
		}
		var name string
		var info []byte
		if err := fields(entry, func(number uint64, v []byte) error {
			switch number {
			case ofEntryName:
				name = string(v)
			case ofEntryInfo:
				info = v
			}
			return nil
		}); err != nil {
			return err
		}
		return w.add(name, info)
	})
	if err != nil {
		return nil, fmt.Errorf("dns: the table of names: %w", err)
	}
	t.records = string(w.records)
	size := 2
	for size < 2*len(w.places) {
		size *= 2
	}
	t.slots = make([]uint32, size)
	for _, at := range w.places {
		name := t.at(at).name
		for i := t.hash(name); ; i++ {
			slot := &t.slots[i&uint32(size-1)]
			if *slot != 0 && t.at(*slot-1).name != name {
				continue
			}
			if *slot == 0 {
				t.names++
			}
			*slot = at + 1 // of what is said twice, the last holds
			break
		}
	}
	return t, nil
}

// writing is a table that is being made.
type writing struct {
	*table
	records []byte
	places  []uint32
}

// add writes down a name, and those that it goes by as well.
func (w *writing) add(name string, info []byte) error {
	var v4, v6 []byte
	var registry, short, namespace string
	names := []string{strings.ToLower(strings.TrimSuffix(name, "."))}
	err := fields(info, func(number uint64, v []byte) error {
		switch number {
		case ofInfoAddresses:
			ip, err := netip.ParseAddr(string(v))
			switch ip = ip.Unmap(); {
			case err != nil || ip.Zone() != "": // as in Istio's, what is no address is not there
			case len(v4)/4+len(v6)/16 == maxAddresses:
				w.cut++
			case ip.Is4():
				v4 = append(v4, ip.AsSlice()...)
			default:
				v6 = append(v6, ip.AsSlice()...)
			}
		case ofInfoRegistry:
			registry = string(v)
		case ofInfoShort:
			short = string(v)
		case ofInfoNamespace:
			namespace = string(v)
		case ofInfoOthers:
			names = append(names, strings.ToLower(strings.TrimSuffix(string(v), ".")))
		}
		return nil
	})
	if err != nil || len(v4)+len(v6) == 0 {
		return err
	}
	shorter := registry == kubernetes && w.domain != "" && names[0] == strings.ToLower(short+"."+namespace)+"."+w.domain
	for i, name := range names {
		if i > 0 && !shorter { // as in Istio's, names of other domains go by nothing else
			break
		}
		if !valid(name) || len(w.places) == maxNames {
			w.cut++
			continue
		}
		w.places = append(w.places, uint32(len(w.records)))
		flags := byte(0)
		if shorter && i == 0 {
			flags = 1
		}
		w.records = append(append(w.records, byte(len(name))), name...)
		w.records = append(w.records, flags)
		w.records = binary.LittleEndian.AppendUint16(w.records, uint16(len(v4)/4))
		w.records = binary.LittleEndian.AppendUint16(w.records, uint16(len(v6)/16))
		w.records = append(append(w.records, v4...), v6...)
	}
	return nil
}

// valid tells whether something can be asked for: it has labels of a size that is allowed.
func valid(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
	}
	return true
}

func (t *table) hash(name string) uint32 { return uint32(maphash.String(t.seed, name)) }

// at reads the record at a place.
func (t *table) at(place uint32) record {
	b := t.records[place:]
	n := int(b[0])
	r := record{name: b[1 : 1+n], short: b[1+n] != 0}
	v4, v6 := int(b[2+n])|int(b[3+n])<<8, int(b[4+n])|int(b[5+n])<<8
	b = b[6+n:]
	r.v4, r.v6 = b[:4*v4], b[4*v4:4*v4+16*v6]
	return r
}

// find finds a name, in small letters and without the dot at its end.
func (t *table) find(name string) (record, bool) {
	for i := t.hash(name); ; i++ {
		slot := t.slots[i&uint32(len(t.slots)-1)]
		if slot == 0 {
			return record{}, false
		}
		if r := t.at(slot - 1); r.name == name {
			return r, true
		}
	}
}

// known finds a name as it is, or by the first words that a service goes by.
func (t *table) known(name string) (record, bool) {
	if r, is := t.find(name); is || t.domain == "" {
		return r, is
	}
	if len(name)+2+len(t.namespace)+len(t.domain) > maxName {
		return record{}, false
	}
	full := name + "." + t.domain
	if first, rest, _ := strings.Cut(t.domain, "."); rest != "" && strings.HasSuffix(name, "."+first) {
		full = name + "." + rest // a.ns.svc
	}
	if r, is := t.find(full); is && r.short {
		return r, true
	}
	if r, is := t.find(name + "." + t.namespace + "." + t.domain); is && r.short { // a, or the name of a pod a.b
		return r, true
	}
	return record{}, false
}

// lookup finds what a name means that is asked for, in small letters and without the dot at its end. search is the first domain in which the pod looks for names, where it is likely to ask first:
// of a name that is one without that, alias is that one. Who hears of it does not go on to ask in all the other domains.
func (t *table) lookup(name, search string) (r record, alias string, is bool) {
	if r, is = t.known(name); is {
		return r, "", true
	}
	base, within := "", false
	if search != "" {
		base, within = strings.CutSuffix(name, "."+search)
	}
	if within {
		if r, is = t.known(base); is {
			return r, base, true
		}
	}
	if r, is = t.wild(name); is {
		return r, "", true
	}
	if within {
		if r, is = t.wild(base); is {
			return r, base, true
		}
	}
	return record{}, "", false
}

// wild finds the longest wildcard that a name is one of.
func (t *table) wild(name string) (record, bool) {
	for rest := name; ; {
		_, after, more := strings.Cut(rest, ".")
		if !more {
			return record{}, false
		}
		if r, is := t.find("*." + after); is {
			return r, true
		}
		rest = after
	}
}

// WriteJSON writes the table as JSON, as Istio's tools read it.
func (p *Proxy) WriteJSON(w io.Writer) error {
	type info struct {
		Addresses []netip.Addr `json:"ips"`
		Registry  string       `json:"registry,omitempty"`
		Short     string       `json:"shortname,omitempty"`
		Namespace string       `json:"namespace,omitempty"`
	}
	all := map[string]info{}
	if t := p.table.Load(); t != nil {
		for _, slot := range t.slots {
			if slot == 0 {
				continue
			}
			r := t.at(slot - 1)
			one := info{Addresses: append(r.addresses(dns.A), r.addresses(dns.AAAA)...)}
			if r.short {
				first := strings.TrimSuffix(r.name, "."+t.domain)
				at := strings.LastIndexByte(first, '.')
				one.Registry, one.Short, one.Namespace = kubernetes, first[:at], first[at+1:]
			}
			all[r.name] = one
		}
	}
	return json.NewEncoder(w).Encode(map[string]any{"table": all})
}

// addresses are those of a family.
func (r *record) addresses(kind dns.Type) (out []netip.Addr) {
	list, size := r.v4, 4
	if kind == dns.AAAA {
		list, size = r.v6, 16
	}
	if len(list) > 0 {
		out = make([]netip.Addr, 0, len(list)/size)
	}
	for ; len(list) > 0; list = list[size:] {
		if size == 4 {
			out = append(out, netip.AddrFrom4([4]byte([]byte(list[:4]))))
		} else {
			out = append(out, netip.AddrFrom16([16]byte([]byte(list[:16]))))
		}
	}
	return out
}
