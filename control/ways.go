package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// ways have the names of load balancers, by which networks are entered, be addresses before a source's objects go on: proxies are told of endpoints, which have no names, and translation asks nobody.
type ways struct {
	lookup func(context.Context, string) ([]netip.Addr, error)
	next   func(source.Batch)
	wake   chan struct{} // has room for one: there are other names

	mu       sync.Mutex // is held while something goes on, so that it does in order
	held     map[source.Key]*source.Object
	problems []source.Problem    // of the source, as it told them last
	known    map[string][]string // addresses of names; what was known counts while nobody answers
	failed   map[string]string   // what is wrong with one
}

const (
	lookAgain  = 30 * time.Second // Istio looks as seldom, where a name says no time of its own
	lookupTime = 5 * time.Second
	maxLookups = 256 // names of a source: first those by which networks are entered
	lookAtOnce = 8
	maxWays    = 64 // addresses of a name: each is one of every service and place behind it
)

// waysTo makes those of a source, whose batches go on to next. run has names be looked up.
func waysTo(next func(source.Batch)) *ways {
	return &ways{lookup: lookupHost, next: next, wake: make(chan struct{}, 1), held: map[source.Key]*source.Object{}, known: map[string][]string{}, failed: map[string]string{}}
}

// lookupHost asks this host's resolver: for addresses of IPv4, if there are any.
func lookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	if err != nil {
		all, err = net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	return all, err
}

// namesOf are the names by which an object says that something is entered.
func namesOf(o *source.Object) (names []string) {
	switch spec := o.Spec.(type) {
	case *source.ServiceSpec:
		for _, one := range spec.Status.LoadBalancer.Ingress {
			if one.IP == "" && one.Hostname != "" {
				names = append(names, one.Hostname)
			}
		}
	case *meshv1.MeshNetworks:
		for _, n := range spec.GetNetworks() {
			for _, g := range n.GetGateways() {
				if a := g.GetAddress(); a != "" && net.ParseIP(a) == nil {
					names = append(names, a)
				}
			}
		}
	}
	return names
}

// tell has a batch go on.
func (w *ways) tell(b source.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Clone(b.Changes)
	for i, one := range out {
		if one.Kind != source.Service && one.Kind != source.MeshNetworks {
			continue
		}
		delete(w.held, one.Key)
		if one.Object != nil && len(namesOf(one.Object)) > 0 {
			w.held[one.Key] = one.Object
			out[i].Object = w.resolved(one.Object)
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
	w.problems = b.Problems
	w.next(source.Batch{Changes: out, Problems: w.all()})
}

// resolved is an object with addresses in the place of names, as far as they are known.
func (w *ways) resolved(o *source.Object) *source.Object {
	out := *o
	switch spec := o.Spec.(type) {
	case *source.ServiceSpec:
		is := *spec
		is.Status.LoadBalancer.Ingress = nil
		for _, one := range spec.Status.LoadBalancer.Ingress {
			if one.IP != "" || len(w.known[one.Hostname]) == 0 {
				is.Status.LoadBalancer.Ingress = append(is.Status.LoadBalancer.Ingress, one)
				continue
			}
			for _, a := range w.known[one.Hostname] {
				is.Status.LoadBalancer.Ingress = append(is.Status.LoadBalancer.Ingress, source.LoadBalancerIngress{IP: a, Hostname: one.Hostname})
			}
		}
		out.Spec = &is
	case *meshv1.MeshNetworks:
		is := proto.Clone(spec).(*meshv1.MeshNetworks)
		for _, n := range is.GetNetworks() {
			var gateways []*meshv1.Network_IstioNetworkGateway
			for _, g := range n.GetGateways() {
				if len(w.known[g.GetAddress()]) == 0 {
					gateways = append(gateways, g)
				}
				for _, a := range w.known[g.GetAddress()] {
					one := proto.Clone(g).(*meshv1.Network_IstioNetworkGateway)
					one.Gw = &meshv1.Network_IstioNetworkGateway_Address{Address: a}
					gateways = append(gateways, one)
				}
			}
			n.Gateways = gateways
		}
		out.Spec = is
	}
	return &out
}

// all are the source's problems, and that names are not known, of what says that it is a way into a network.
func (w *ways) all() []source.Problem {
	var more []source.Problem
	for _, key := range slices.SortedFunc(maps.Keys(w.held), source.Compare) {
		o := w.held[key]
		if !enters(o) {
			continue
		}
		for _, name := range namesOf(o) {
			if why := w.failed[name]; why != "" {
				more = append(more, source.Problem{Key: key, From: o.From, Warning: true, Text: fmt.Sprintf("the name %.253q, by which a network is entered, %s", name, why)})
			}
		}
	}
	return append(slices.Clip(w.problems), more...)
}

// run looks names up until ctx ends, and has what has others go on again.
func (w *ways) run(ctx context.Context) {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-again.C:
		}
		if names := w.names(); len(names) > 0 {
			w.settle(names, w.look(ctx, names[:min(len(names), maxLookups)]))
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// enters tells whether an object says that it is a way into a network. Other Services have names, too, which are only their own.
func enters(o *source.Object) bool {
	return o.Kind == source.MeshNetworks || o.Labels[mesh.NetworkLabel] != ""
}

// names are all that there are: first those by which networks are entered, so that others take no turn of theirs.
func (w *ways) names() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := map[string]bool{}
	for _, o := range w.held {
		for _, name := range namesOf(o) {
			first[name] = first[name] || enters(o)
		}
	}
	return slices.SortedFunc(maps.Keys(first), func(a, b string) int {
		if first[a] != first[b] {
			if first[a] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
}

// found is what has come of looking a name up.
type found struct {
	addresses []string
	because   string // what is wrong with it; empty: nothing
}

func (w *ways) look(ctx context.Context, names []string) map[string]found {
	var mu sync.Mutex
	var all sync.WaitGroup
	by, turns := map[string]found{}, make(chan struct{}, lookAtOnce)
	for _, name := range names {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, lookupTime)
			defer cancel()
			addresses, err := w.lookup(ctx, name)
			var f found
			for _, a := range addresses {
				f.addresses = append(f.addresses, a.Unmap().String())
			}
			slices.Sort(f.addresses)
			f.addresses = slices.Compact(f.addresses)
			if n := len(f.addresses); n > maxWays {
				f.addresses, f.because = f.addresses[:maxWays], fmt.Sprintf("has %d addresses, of which the first %d count", n, maxWays)
			}
			var dns *net.DNSError
			switch errors.As(err, &dns); {
			case err == nil:
			case dns != nil && dns.IsNotFound:
				f.because = "is not known: there is no such host"
			case dns != nil && dns.IsTimeout: // whose text is another each time
				f.because = "is not known: nobody has answered in time"
			default:
				f.because = "is not known: " + err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			by[name] = f
		})
	}
	all.Wait()
	return by
}

// settle takes what was found, and has what is another by it go on.
func (w *ways) settle(names []string, by map[string]found) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news, others := map[string]bool{}, false
	for _, name := range names {
		f, looked := by[name]
		if !looked {
			f.because = fmt.Sprintf("is not known: a source has more than %d names", maxLookups)
		}
		if others = others || w.failed[name] != f.because; f.because == "" {
			delete(w.failed, name)
		} else if w.failed[name] = f.because; len(f.addresses) == 0 { // what was known before counts
			continue
		}
		if !slices.Equal(w.known[name], f.addresses) {
			w.known[name], news[name] = f.addresses, true
		}
	}
	gone := func(name string) bool { return !slices.Contains(names, name) }
	maps.DeleteFunc(w.known, func(name string, _ []string) bool { return gone(name) })
	maps.DeleteFunc(w.failed, func(name, _ string) bool { return gone(name) })
	var changes []source.Change
	for _, key := range slices.SortedFunc(maps.Keys(w.held), source.Compare) {
		if slices.ContainsFunc(namesOf(w.held[key]), func(name string) bool { return news[name] }) {
			changes = append(changes, source.Change{Key: key, Object: w.resolved(w.held[key])})
		}
	}
	if len(changes) > 0 || others {
		w.next(source.Batch{Changes: changes, Problems: w.all()})
	}
}
