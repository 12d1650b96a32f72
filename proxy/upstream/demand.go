package upstream

import (
	"slices"

	"github.com/weftmesh/weft/config"
)

// maxDemands bounds who waits on a loop at once. One more is told so.
const maxDemands = 4096

// Demands are who on a loop waits for a resource that is to come. It belongs to its loop.
type Demands struct {
	Ask     func(config.Demand) bool // passes a wish on; false: there is no room for it. nil: nobody listens
	waiting map[config.Demand][]Demander
	count   int
}

// Demander waits for a resource.
type Demander interface {
	// Answered says that the resource is in force or known not to be there. It is not waited for any more.
	Answered()
}

// Wait has somebody wait. The resource is asked for if nobody waits for it yet; false: it cannot be.
func (d *Demands) Wait(what config.Demand, who Demander) bool {
	list := d.waiting[what]
	if d.count >= maxDemands || len(list) == 0 && (d.Ask == nil || !d.Ask(what)) {
		return false
	}
	if d.waiting == nil {
		d.waiting = map[config.Demand][]Demander{}
	}
	d.waiting[what] = append(list, who)
	d.count++
	return true
}

// Leave has somebody not wait any more.
func (d *Demands) Leave(what config.Demand, who Demander) {
	list := d.waiting[what]
	i := slices.Index(list, who)
	if i < 0 {
		return
	}
	d.count--
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(d.waiting, what)
		return
	}
	d.waiting[what] = list
}

// Answer tells all whose resources a configuration has an answer about.
func (d *Demands) Answer(answered map[config.Demand]bool) {
	if len(d.waiting) == 0 {
		return
	}
	var told []Demander
	for what, list := range d.waiting {
		if answered[what] {
			told = append(told, list...)
			d.count -= len(list)
			delete(d.waiting, what)
		}
	}
	for _, who := range told {
		who.Answered()
	}
}
