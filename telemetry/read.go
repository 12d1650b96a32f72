package telemetry

import (
	"cmp"
	"maps"
	"slices"
)

// Sample is one number at one time, with its name put together.
type Sample struct {
	Name   string // "cluster.web.upstream_rq_total"
	Owner  *Owner
	Metric *Metric
	Value  int64      // counters and gauges
	Spread *Quantiles // histograms; nil: nothing was recorded
	used   bool
	naming *Naming
}

// Filter says which samples are wanted.
type Filter struct {
	UsedOnly bool                   // leave out what was never touched
	Name     func(name string) bool // nil: all
	Types    [3]bool                // by Type; all false: all
}

// Read takes a sample of every number, in the order of their names. What loops count meanwhile may or may not be in it; each number by
// itself is right.
func (s *Store) Read(f Filter) []Sample {
	if n := s.naming; n != nil && n.Keep != nil {
		wanted := f.Name
		f.Name = func(name string) bool { return (wanted == nil || wanted(name)) && n.Keep(name) }
	}
	list := s.readAll(f)
	for i := range list {
		list[i].naming = s.naming
	}
	return list
}

// readAll is Read, of what is not shown, too.
func (s *Store) readAll(f Filter) []Sample {
	s.mu.Lock()
	owners := make([]*Owner, 0, len(s.owners))
	for _, o := range s.owners {
		owners = append(owners, o)
	}
	s.mu.Unlock()
	var list []Sample
	for _, o := range owners {
		list = o.read(list, &f)
	}
	slices.SortFunc(list, func(a, b Sample) int { return cmp.Compare(a.Name, b.Name) })
	if before := s.before.Load(); before != nil {
		for i := range list {
			if c := &list[i]; c.Metric.Type == Counter {
				c.Value += int64((*before)[c.Name])
			}
		}
	}
	return list
}

// Carry has counters go on from what another process had counted before, by name.
func (s *Store) Carry(before map[string]uint64) { s.before.Store(&before) }

// Counters is the value of each counter that is not 0, by name, and of those that were carried over and that nobody here has touched.
func (s *Store) Counters() map[string]uint64 {
	all := map[string]uint64{}
	if before := s.before.Load(); before != nil {
		maps.Copy(all, *before)
	}
	for _, c := range s.readAll(Filter{UsedOnly: true, Types: [3]bool{Counter: true}}) {
		if c.Value != 0 {
			all[c.Name] = uint64(c.Value)
		}
	}
	return all
}

func (o *Owner) read(list []Sample, f *Filter) []Sample {
	touched := false
	for i := range o.loops {
		touched = touched || o.loops[i].Load() != nil
	}
	if !touched && (f.UsedOnly || o.Table.Sparse) {
		return list
	}
	for row := range o.Table.Metrics {
		m := &o.Table.Metrics[row]
		if f.Types != [3]bool{} && !f.Types[m.Type] {
			continue
		}
		sample := Sample{Owner: o, Metric: m}
		switch m.Type {
		case Histogram:
			sample.Spread = o.spread(row)
			sample.used = sample.Spread != nil
		case Gauge:
			sample.Value = o.Sum(row)
			sample.used = touched
		default:
			sample.Value = o.Sum(row)
			sample.used = sample.Value != 0
		}
		if !sample.used && (f.UsedOnly || o.Table.Sparse) {
			continue
		}
		if sample.Name = o.Prefix + m.Name; f.Name == nil || f.Name(sample.Name) {
			list = append(list, sample)
		}
	}
	return list
}

// Quantiles is what a histogram holds, over all loops.
type Quantiles struct {
	Count, Sum uint64
	bins       []count
}

type count struct {
	low, width, n uint64
}

func (o *Owner) spread(row int) *Quantiles {
	var n [len(Distribution{}.bins)][1 << subBits]uint64
	q := &Quantiles{}
	for i := range o.loops {
		v := o.loops[i].Load()
		if v == nil {
			continue
		}
		d := v.histograms[row].Load()
		if d == nil {
			continue
		}
		q.Sum += d.sum.Load()
		for r := range d.bins {
			if bins := d.bins[r].Load(); bins != nil {
				for c := range bins {
					n[r][c] += bins[c].Load()
				}
			}
		}
	}
	for r := range n {
		for c, k := range n[r] {
			if k > 0 {
				low, width := lowest(r, c)
				q.bins = append(q.bins, count{low, width, k})
				q.Count += k
			}
		}
	}
	if q.Count == 0 {
		return nil
	}
	return q
}

// At is the value that the share p (0 to 1) of all values does not exceed, by interpolation within its bin.
func (q *Quantiles) At(p float64) float64 {
	rank := p * float64(q.Count)
	for _, b := range q.bins {
		if rank <= float64(b.n) {
			if b.width == 1 {
				return float64(b.low)
			}
			return float64(b.low) + float64(b.width)*max(rank, 0)/float64(b.n)
		}
		rank -= float64(b.n)
	}
	last := q.bins[len(q.bins)-1]
	return float64(last.low + last.width - 1)
}

// Below is how many values do not exceed limit; a bin that straddles it counts by the part that lies below.
func (q *Quantiles) Below(limit float64) uint64 {
	n := uint64(0)
	for _, b := range q.bins {
		switch {
		case float64(b.low+b.width-1) <= limit:
			n += b.n
		case float64(b.low) <= limit:
			n += uint64(float64(b.n) * (limit - float64(b.low) + 1) / float64(b.width))
		}
	}
	return n
}
