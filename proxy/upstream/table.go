package upstream

import (
	"math"
	"slices"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// table leads from hashes to endpoints: a ring of places, or Maglev's table (Eisenbud et al., 2016). It is made with the endpoints and
// read by all loops. Every step, and the order of floating-point operations, is such that the same endpoints lie where Envoy puts them.
type table struct {
	ring   []uint64 // the places' hashes, in order; nil: a table of Maglev
	owners []uint32 // by place: a position in weights
	small  []uint16 // instead of owners, where that is enough
	hosts  []weighted
}

// weighted is an endpoint with its part of the whole weight.
type weighted struct {
	member int32 // a position in Endpoints.All
	weight float64
}

// table makes a group's table.
func (f *factors) table(all []Member, members []int32) *table {
	t := &table{hosts: f.normalize(all, members)}
	if len(t.hosts) == 0 {
		return t
	}
	least, most := 1.0, 0.0
	for _, h := range t.hosts {
		least, most = min(least, h.weight), max(most, h.weight)
	}
	h := &f.cluster.Hashing
	if f.cluster.Balancer == config.RingHash {
		t.fillRing(all, h, least, &f.tables)
	} else {
		t.fillMaglev(all, h, most, &f.tables)
	}
	return t
}

// normalize gives members their parts, within their localities if those have weights.
func (f *factors) normalize(all []Member, members []int32) []weighted {
	if f.cluster.ByLocality {
		var sum uint64
		parts := byLocality(all, members)
		for _, part := range parts {
			sum += uint64(f.localityWeight(&all[part[0]]))
		}
		var out []weighted
		for _, part := range parts {
			if w := f.localityWeight(&all[part[0]]); w > 0 {
				out = normalize(out, all, part, float64(w)/float64(sum))
			}
		}
		return out
	}
	return normalize(nil, all, members, 1)
}

func normalize(out []weighted, all []Member, members []int32, of float64) []weighted {
	sum := float64(weightOf(all, members))
	for _, i := range members {
		out = append(out, weighted{i, float64(all[i].Weight) * of / sum})
	}
	return out
}

// hashKey is what an endpoint's places are hashed from.
func hashKey(m *Member, h *config.Hashing) string {
	if key, ok := m.Metadata[lbMetadata]["hash_key"].(string); ok && key != "" {
		return key
	}
	if h.ByHostname {
		return m.Hostname
	}
	return m.Address().String()
}

// lbMetadata is the namespace of what balancers read.
const lbMetadata = "envoy.lb"

func (t *table) fillRing(all []Member, h *config.Hashing, least float64, n *tableNumbers) {
	scale := min(math.Ceil(least*float64(h.MinRing))/least, float64(h.MaxRing))
	type place struct {
		hash  uint64
		owner uint32
	}
	places := make([]place, 0, int(math.Ceil(scale)))
	n.begin(uint64(math.Ceil(scale)))
	var target float64
	var key []byte
	for owner := range t.hosts {
		key = append(append(key[:0], hashKey(&all[t.hosts[owner].member], h)...), '_')
		stem := len(key)
		target += float64(scale * t.hosts[owner].weight) // in two steps on every processor: fused, it would round differently
		of := uint64(0)
		for float64(len(places)) < target {
			key = strconv.AppendUint(key[:stem], of, 10)
			hash := uint64(0)
			if h.Murmur {
				hash = murmur2(key)
			} else {
				hash = xxHash64(key, 0)
			}
			places = append(places, place{hash, uint32(owner)})
			of++
		}
		n.counted(of)
	}
	slices.SortStableFunc(places, func(a, b place) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	t.ring, t.owners = make([]uint64, len(places)), make([]uint32, len(places))
	for i, p := range places {
		t.ring[i], t.owners[i] = p.hash, p.owner
	}
}

func (t *table) fillMaglev(all []Member, h *config.Hashing, most float64, n *tableNumbers) {
	type entry struct {
		key          string
		host         weighted
		offset, skip uint64
		next, count  uint64
		target       float64
	}
	size := uint64(h.TableSize)
	entries := make([]entry, len(t.hosts))
	for i, host := range t.hosts {
		key := hashKey(&all[host.member], h)
		entries[i] = entry{key: key, host: host, offset: xxHash64([]byte(key), 0) % size, skip: xxHash64([]byte(key), 1)%(size-1) + 1}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	for i := range entries {
		t.hosts[i] = entries[i].host
	}
	const free = math.MaxUint32
	owners := slices.Repeat([]uint32{free}, int(size))
	left := size
	for iteration := 1.0; left > 0; iteration++ {
		for i := 0; i < len(entries) && left > 0; i++ {
			e := &entries[i]
			if iteration*e.host.weight < e.target {
				continue
			}
			e.target += most
			at := (e.offset + e.skip*e.next) % size
			for owners[at] != free {
				e.next++
				at = (e.offset + e.skip*e.next) % size
			}
			owners[at] = uint32(i)
			e.next++
			e.count++
			left--
		}
	}
	n.begin(size)
	for i := range entries {
		n.counted(entries[i].count)
	}
	if len(entries) > math.MaxUint16 {
		t.owners = owners
		return
	}
	t.small = make([]uint16, size)
	for i, owner := range owners {
		t.small[i] = uint16(owner)
	}
}

// find is the position among hosts that a hash leads to. attempt counts how often the same request has looked before.
func (t *table) find(hash uint64, attempt uint32) int {
	if t.ring != nil {
		at := (uint64(t.place(hash)) + uint64(attempt)) % uint64(len(t.ring))
		return int(t.owners[at])
	}
	if attempt > 0 {
		hash ^= -uint64(attempt)
	}
	if t.small != nil {
		return int(t.small[hash%uint64(len(t.small))])
	}
	return int(t.owners[hash%uint64(len(t.owners))])
}

// place is the first at or after the hash, going round.
func (t *table) place(hash uint64) int {
	at, _ := slices.BinarySearch(t.ring, hash)
	if at == len(t.ring) {
		return 0
	}
	return at
}

// choose picks an endpoint, as a position in Endpoints.All; -1 if there is none. A bound on the load leads on to others in an order
// that the hash tells, until one has room, or to the one that is least over its bound.
func (t *table) choose(all []Member, hash uint64, attempt uint32, factor uint32, active int64, b *Balancer) int {
	if len(t.hosts) == 0 {
		return -1
	}
	first := t.find(hash, attempt)
	if factor == 0 {
		return int(t.hosts[first].member)
	}
	slots := float64((uint64(active+1)*uint64(factor) + 99) / 100)
	load := func(i int) float64 {
		h := &t.hosts[i]
		return float64(all[h.member].Active.Load()) / max(math.Ceil(slots*h.weight), 1)
	}
	best, least := first, load(first)
	if least <= 1 {
		return int(t.hosts[first].member)
	}
	b.order = slices.Grow(b.order[:0], len(t.hosts))
	for i := range t.hosts {
		b.order = append(b.order, int32(i))
	}
	var random twister
	random.seed(uint32(hash))
	for i := range b.order {
		j := i + int(random.below(uint32(len(b.order)-i)))
		b.order[i], b.order[j] = b.order[j], b.order[i]
		k := int(b.order[i])
		if k == first {
			continue
		}
		over := load(k)
		if over <= 1 {
			return int(t.hosts[k].member)
		}
		if over < least {
			best, least = k, over
		}
	}
	return int(t.hosts[best].member)
}

// tableNumbers are what is told of the table that was made last: Envoy keeps them by cluster, though there is a table for each priority.
type tableNumbers struct{ size, least, most uint64 }

func (n *tableNumbers) begin(size uint64) { *n = tableNumbers{size: size, least: size} }

func (n *tableNumbers) counted(places uint64) {
	n.least, n.most = min(n.least, places), max(n.most, places)
}

// Rows of what is told of a ring or a table.
const (
	TableLeast = iota
	TableMost
	TableSize
)

// Rings is the table of a ring's numbers.
var Rings = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	TableLeast: {Name: "ring_hash_lb.min_hashes_per_host", Type: telemetry.Gauge},
	TableMost:  {Name: "ring_hash_lb.max_hashes_per_host", Type: telemetry.Gauge},
	TableSize:  {Name: "ring_hash_lb.size", Type: telemetry.Gauge},
}}

// Maglevs is the table of a Maglev table's numbers.
var Maglevs = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	TableLeast: {Name: "maglev_lb.min_entries_per_host", Type: telemetry.Gauge},
	TableMost:  {Name: "maglev_lb.max_entries_per_host", Type: telemetry.Gauge},
}}
