package telemetry

import (
	"sync"
	"sync/atomic"
)

// Type is what a number is.
type Type uint8

// The types.
const (
	Counter   Type = iota // only grows
	Gauge                 // goes up and down; loops add and take away, the reader sums
	Histogram             // a distribution
)

// Metric is one row of a table.
type Metric struct {
	Name string // below the owner's prefix, such as "upstream_rq_total"
	Type Type
	Unit string // for histograms: "ms"
}

// Table is the fixed list of numbers that every owner of a kind has, such as every cluster. A room declares it once, as a package
// variable, and refers to its rows by constants that count from 0.
type Table struct {
	Kind    string // "cluster"; the Prometheus family's prefix
	Sparse  bool   // rows that were never counted are not shown
	Metrics []Metric
}

// statuses is how many status codes have a row of their own: those from 100 to 599.
const statuses = 500

// CodeTable is a table of answers by status code, of which CodeRow tells the rows; codes that never came are not shown.
func CodeTable(kind, prefix string) *Table {
	t := &Table{Kind: kind, Sparse: true, Metrics: make([]Metric, statuses+1)}
	for i := range statuses {
		t.Metrics[i].Name = prefix + string([]byte{byte('1' + i/100), byte('0' + i/10%10), byte('0' + i%10)})
	}
	t.Metrics[statuses].Name = prefix + "unknown"
	return t
}

// CodeRow is the row of a status in a table of codes. All that are of no class share the last one.
func CodeRow(status uint16) int {
	if i := int(status) - 100; uint(i) < statuses {
		return i
	}
	return statuses
}

// Store holds all owners of a process.
type Store struct {
	loops  int
	mu     sync.Mutex
	owners map[ownerKey]*Owner
	before atomic.Pointer[map[string]uint64] // what another process has counted, by name
	naming *Naming                           // nil: all are shown under the names that Envoy has by default
}

type ownerKey struct {
	table  *Table
	prefix string
}

// NewStore makes an empty store for loops that are numbered from 0 to loops-1. Whoever is not a loop counts as loop `loops`.
func NewStore(loops int) *Store {
	return &Store{loops: loops, owners: map[ownerKey]*Owner{}}
}

// Owner is one thing that numbers are kept of. What it counted survives configuration changes, since Acquire finds it by name.
type Owner struct {
	Table  *Table
	Prefix string // "cluster.name."
	Tags   []Tag  // what Prometheus shows as labels, cut out of Prefix
	refs   int
	loops  []atomic.Pointer[Values]
}

// Tag is a label.
type Tag struct{ Name, Value string }

// Acquire finds the owner of that prefix or makes it; each call wants a Release.
func (s *Store) Acquire(t *Table, prefix string, tags ...Tag) *Owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := ownerKey{t, prefix}
	o := s.owners[k]
	if o == nil {
		o = &Owner{Table: t, Prefix: prefix, Tags: tags, loops: make([]atomic.Pointer[Values], s.loops+1)}
		s.owners[k] = o
	}
	o.refs++
	return o
}

// Release gives the owner back; the last one takes its numbers with it.
func (s *Store) Release(o *Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.refs--; o.refs == 0 {
		delete(s.owners, ownerKey{o.Table, o.Prefix})
	}
}

// Loops is the number of loops that the store was made for; also the number under which everybody else counts.
func (s *Store) Loops() int { return s.loops }

// Loop is where loop i counts. The memory is made at the first call: 3,000 clusters that nobody uses cost a pointer each.
func (o *Owner) Loop(i int) *Values {
	if v := o.loops[i].Load(); v != nil {
		return v
	}
	v := newValues(o.Table)
	if !o.loops[i].CompareAndSwap(nil, v) {
		return o.loops[i].Load()
	}
	return v
}

// Values are one loop's numbers of one owner, by the row of the table. Only their loop writes them (the place of everybody else is
// shared, hence the atomics); anybody reads.
type Values struct {
	n          []atomic.Uint64
	histograms []atomic.Pointer[Distribution]
}

func newValues(t *Table) *Values {
	v := &Values{n: make([]atomic.Uint64, len(t.Metrics))}
	for _, m := range t.Metrics {
		if m.Type == Histogram {
			v.histograms = make([]atomic.Pointer[Distribution], len(t.Metrics))
			break
		}
	}
	return v
}

// Inc adds one.
func (v *Values) Inc(row int) { v.n[row].Add(1) }

// Dec takes one off a gauge.
func (v *Values) Dec(row int) { v.n[row].Add(^uint64(0)) }

// Add adds n.
func (v *Values) Add(row int, n uint64) { v.n[row].Add(n) }

// Set makes a gauge that only one place writes that number.
func (v *Values) Set(row int, n uint64) { v.n[row].Store(n) }

// Observe puts a value into a histogram.
func (v *Values) Observe(row int, value uint64) {
	d := v.histograms[row].Load()
	if d == nil {
		d = &Distribution{}
		if !v.histograms[row].CompareAndSwap(nil, d) {
			d = v.histograms[row].Load()
		}
	}
	d.observe(value)
}

// Sum is the number in that row over all loops; gauges are signed.
func (o *Owner) Sum(row int) int64 {
	var n uint64
	for i := range o.loops {
		if v := o.loops[i].Load(); v != nil {
			n += v.n[row].Load()
		}
	}
	return int64(n)
}
