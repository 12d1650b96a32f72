package proxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of what is counted of runtime values, under Envoy's names.
const (
	runtimeKeys = iota
	runtimeLayers
	runtimeOverrides
	runtimeLoads
	runtimeErrors
)

var runtimeStats = &telemetry.Table{Kind: "runtime", Metrics: []telemetry.Metric{
	runtimeKeys:      {Name: "num_keys", Type: telemetry.Gauge},
	runtimeLayers:    {Name: "num_layers", Type: telemetry.Gauge},
	runtimeOverrides: {Name: "admin_overrides_active", Type: telemetry.Gauge},
	runtimeLoads:     {Name: "load_success"},
	runtimeErrors:    {Name: "load_error"},
}}

// maxRuntimeKeys bounds what an operator may set while the process runs.
const maxRuntimeKeys = 16 << 10

// Runtime are the values that may be changed while the process runs: layers of which the later ones win. There is one for the process.
type Runtime struct {
	stats *telemetry.Values

	mu     sync.Mutex
	layers []config.RuntimeLayer
	come   map[string]*config.RuntimeValues // as Discover was told last
	told   map[string]bool                  // keys of which was told that nothing asks for them
}

// NewRuntime puts the layers of a bootstrap in force.
func NewRuntime(layers []config.RuntimeLayer, store *telemetry.Store) *Runtime {
	r := &Runtime{layers: slices.Clone(layers), stats: store.Acquire(runtimeStats, "runtime.").Loop(store.Loops()), told: map[string]bool{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.load()
	return r
}

// load makes what the layers say the values of all keys.
func (r *Runtime) load() {
	values, overrides := map[string]*config.Value{}, 0
	for _, l := range r.layers {
		maps.Copy(values, l.Values)
		if l.Admin && len(l.Values) > 0 {
			overrides = 1
		}
	}
	r.stats.Inc(runtimeLoads)
	r.stats.Set(runtimeKeys, uint64(len(values)))
	r.stats.Set(runtimeLayers, uint64(len(r.layers)))
	r.stats.Set(runtimeOverrides, uint64(overrides))
	config.SetRuntime(values)
}

// Discover puts the values in force that layers get by themselves, by the names of resources.
func (r *Runtime) Discover(come map[string]*config.RuntimeValues) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := false
	for i := range r.layers {
		l := &r.layers[i]
		if l.Resource == "" || r.come[l.Resource] == come[l.Resource] {
			continue
		}
		changed = true
		if l.Values = nil; come[l.Resource] != nil {
			l.Values = come[l.Resource].Values
		}
	}
	if r.come = come; changed {
		r.load()
	}
}

// Modify sets values in the operator's layer; nil takes one out.
func (r *Runtime) Modify(changes map[string]*config.Value) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.layers, func(l config.RuntimeLayer) bool { return l.Admin })
	if at < 0 {
		r.stats.Inc(runtimeErrors)
		return errors.New("no layer for it: layered_runtime of the bootstrap wants one with admin_layer: {}")
	}
	next := maps.Clone(r.layers[at].Values)
	if next == nil {
		next = map[string]*config.Value{}
	}
	for name, v := range changes {
		if v == nil {
			delete(next, name)
		} else {
			next[name] = v
		}
	}
	if len(next) > maxRuntimeKeys {
		r.stats.Inc(runtimeErrors)
		return fmt.Errorf("there would be more than %d values", maxRuntimeKeys)
	}
	r.layers[at].Values = next
	r.load()
	return nil
}

// Unasked are the keys that have a value and that nothing asks for, each told once.
func (r *Runtime) Unasked() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.layers {
		for name := range l.Values {
			if !r.told[name] && !config.AskedFor(name) {
				names = append(names, name)
				r.told[name] = true
			}
		}
	}
	slices.Sort(names)
	return names
}

// View is what the admin page shows.
func (r *Runtime) View() admin.RuntimeView {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := admin.RuntimeView{Layers: []string{}, Entries: map[string]*admin.RuntimeEntry{}}
	for i, l := range r.layers {
		v.Layers = append(v.Layers, l.Name)
		for name, value := range l.Values {
			e := v.Entries[name]
			if e == nil {
				e = &admin.RuntimeEntry{LayerValues: make([]string, len(r.layers)), Unused: !config.AskedFor(name)}
				v.Entries[name] = e
			}
			e.LayerValues[i], e.FinalValue = value.Text, value.Text
		}
	}
	return v
}
