package filters

import (
	"strconv"
	"sync"
	"time"

	"github.com/weftmesh/weft/telemetry"
)

// Rows of what is counted of a cluster's calls, and of those of a method of it, under Envoy's names.
const (
	CallsTotal = iota
	CallsSuccess
	CallsFailure
	CallsRequestMessages
	CallsResponseMessages
	CallsUpstreamTime
	CallsUnnamed
	callsCodes // the first of gRPC's codes
	callsOther = callsCodes + grpcCodes
)

const grpcCodes = 17 // OK to UNAUTHENTICATED

var (
	callsTable    = callTable("cluster_grpc")
	callsWebTable = callTable("cluster_grpc_web")
)

func callTable(kind string) *telemetry.Table {
	t := &telemetry.Table{Kind: kind, Sparse: true, Metrics: make([]telemetry.Metric, callsOther+1)}
	for row, m := range []telemetry.Metric{
		CallsTotal:            {Name: "total"},
		CallsSuccess:          {Name: "success"},
		CallsFailure:          {Name: "failure"},
		CallsRequestMessages:  {Name: "request_message_count"},
		CallsResponseMessages: {Name: "response_message_count"},
		CallsUpstreamTime:     {Name: "upstream_rq_time", Type: telemetry.Histogram, Unit: "ms"},
		// Envoy has no such number, for it has no such limit.
		CallsUnnamed: {Name: "methods_overflow"},
	} {
		t.Metrics[row] = m
	}
	for i := range grpcCodes {
		t.Metrics[callsCodes+i].Name = strconv.Itoa(i)
	}
	t.Metrics[callsOther].Name = "unknown"
	return t
}

// What requests may have counted under names of theirs, in all the process; what is beyond counts for its cluster alone.
const (
	MaxMethods    = 1024
	maxMethodName = 256 // bytes of service and method
)

// Calls finds the numbers of clusters and of methods, of which requests say the names. Each loop remembers what it has found.
type Calls struct {
	store    *telemetry.Store
	table    *telemetry.Table
	protocol string // "grpc" or "grpc-web"
	loops    []foundCalls
	mu       sync.Mutex
	owners   map[string]*telemetry.Owner
	named    int // of them
}

// foundCalls is what one loop has found.
type foundCalls struct {
	_      [64]byte                     // a cache line of its own
	values map[string]*telemetry.Values // by cluster, service and method, with NULs between
	key    []byte
}

// callsKey is the key of Calls among what is kept.
type callsKey struct{ web bool }

// CallsOf are the calls of gRPC, or of gRPC-Web, of the process.
func CallsOf(site Site, web bool) *Calls {
	return site.Kept.Of(callsKey{web}, time.Now(), func() Keeps {
		c := &Calls{store: site.Stats, table: callsTable, protocol: "grpc", owners: map[string]*telemetry.Owner{}, loops: make([]foundCalls, site.Stats.Loops()+1)}
		if web {
			c.table, c.protocol = callsWebTable, "grpc-web"
		}
		for i := range c.loops {
			c.loops[i].values = map[string]*telemetry.Values{}
		}
		return c
	}).(*Calls)
}

// Spent implements Keeps: numbers are never spent.
func (c *Calls) Spent(time.Time) bool { return false }

// Of is where loop i counts the calls of a cluster's method, or, without a service, all of the cluster's.
func (c *Calls) Of(i int, cluster string, service, method []byte) *telemetry.Values {
	l := &c.loops[i]
	long := len(service)+len(method) > maxMethodName
	if long {
		service, method = nil, nil
	}
	l.key = append(append(append(append(append(l.key[:0], cluster...), 0), service...), 0), method...)
	v := l.values[string(l.key)]
	if v == nil {
		if o := c.owner(cluster, service, method, string(l.key)); o != nil {
			v = o.Loop(i)
			l.values[string(l.key)] = v
		}
	}
	if v == nil || long {
		v = c.unnamed(i, cluster)
	}
	return v
}

func (c *Calls) unnamed(i int, cluster string) *telemetry.Values {
	v := c.Of(i, cluster, nil, nil)
	v.Inc(CallsUnnamed)
	return v
}

// owner finds the numbers or makes them; nil: there is no room.
func (c *Calls) owner(cluster string, service, method []byte, key string) *telemetry.Owner {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.owners[key]; o != nil {
		return o
	}
	prefix, tags := "cluster."+cluster+"."+c.protocol+".", []telemetry.Tag{{Name: "cluster_name", Value: cluster}}
	if len(service) > 0 {
		if c.named >= MaxMethods {
			return nil
		}
		c.named++
		prefix += string(service) + "." + string(method) + "."
		tags = append(tags, telemetry.Tag{Name: "grpc_bridge_service", Value: string(service)}, telemetry.Tag{Name: "grpc_bridge_method", Value: string(method)})
	}
	o := c.store.Acquire(c.table, prefix, tags...)
	c.owners[key] = o
	return o
}

// CountCall counts a call by its status; nil: it has none, and is not counted.
func CountCall(v *telemetry.Values, status []byte) {
	if status == nil {
		return
	}
	v.Inc(CallsTotal)
	if string(status) == "0" {
		v.Inc(CallsSuccess)
	} else {
		v.Inc(CallsFailure)
	}
	v.Inc(codeRow(status))
}

// codeRow is the row of a code, as gRPC writes it: without zeros before it.
func codeRow(status []byte) int {
	n := 0
	for i, c := range status {
		if c-'0' > 9 || i > 1 || i == 1 && n == 0 {
			return callsOther
		}
		n = n*10 + int(c-'0')
	}
	if n >= grpcCodes || len(status) == 0 {
		return callsOther
	}
	return callsCodes + n
}
