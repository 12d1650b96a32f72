package dubbo

import (
	"bytes"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	wire "github.com/weftmesh/weft/wire/dubbo"
	"github.com/weftmesh/weft/wire/http"
)

// namespace is where logs find what is Dubbo's of a call: %DYNAMIC_METADATA(dubbo:interface)%.
const namespace = "dubbo"

// record is what logs are told of a call. It is made for those who have logs only. A call is told as a POST to /<interface>/<method> with its attachments as headers, so that formats that were made for requests say what they can.
type record struct {
	entry   accesslog.Entry
	request http.Request
	what    map[string]any
}

// record begins the record of a call; nil: there are no logs. read tells whether the reader has it.
func (c *conn) record(h *wire.Head, size int, read bool) *record {
	s, l := c.server, c.local
	if len(s.logs) == 0 {
		return nil
	}
	r := &record{what: map[string]any{"serialization": h.Serialization.String(), "twoway": h.TwoWay}}
	r.request.SetMethod(post)
	if call := &l.reader; read {
		r.what["interface"], r.what["method"], r.what["version"] = string(call.Path), string(call.Method), string(call.Version)
		r.request.SetAuthority(call.Path)
		r.request.SetPath(bytes.Join([][]byte{nil, call.Path, call.Method}, slash))
		if all, err := call.Attachments(); err == nil {
			for i := range all {
				var room [32]byte
				text := all[i].Value.Text
				if text == nil {
					text = all[i].Value.Append(room[:0])
				}
				if name := bytes.ToLower(all[i].Name); bytes.Equal(name, []byte("group")) {
					r.what["group"] = string(text)
				}
				r.request.AddNamed(bytes.ToLower(all[i].Name), text)
			}
		}
	}
	r.entry = accesslog.Entry{Request: &r.request, Start: l.Loop.Now(), RequestEnd: 0, UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1, End: -1,
		BytesReceived: uint64(h.Body), WireReceived: uint64(size), ConnectionID: c.id, Remote: c.Remote(), Direct: c.Direct(), Local: c.Local(), DirectLocal: c.DirectLocal(), ServerName: c.ServerName(), FilterChain: s.chain, About: s.about,
		Metadata: config.Metadata{namespace: r.what}}
	if session := c.TLS(); session != nil {
		r.entry.TLS = session
	}
	if accesslog.Asked() {
		r.entry.More = &accesslog.More{Chosen: true, Ready: -1, Listener: s.listener, Accepted: accesslog.At(0)}
	}
	return r
}

var (
	post  = []byte("POST")
	slash = []byte{'/'}
)

// note keeps what a filter has found out.
func (r *record) note(namespace, key string, value any) {
	if r == nil {
		return
	}
	in := r.entry.Metadata[namespace]
	if in == nil {
		in = map[string]any{}
		r.entry.Metadata[namespace] = in
	}
	in[key] = value
}

// judged notes what rules have said of the call, and by which policy.
func (r *record) judged(rules *config.AccessRules, prefix string, policy, row int) {
	if r == nil {
		return // before names are put together
	}
	r.note(rulesNamespace, prefix+"engine_result", results[row])
	if policy >= 0 {
		r.note(rulesNamespace, prefix+"effective_policy_id", rules.Policies[policy].Name)
	}
}

// to says where the call goes.
func (r *record) to(cluster *upstream.Cluster, m *upstream.Member) {
	if r == nil {
		return
	}
	e := &r.entry
	e.Routed = true
	e.Cluster, e.ClusterStatName, e.About[accesslog.OfCluster] = cluster.Config.Name, cluster.Config.StatName, cluster.Config.Metadata
	if m != nil {
		e.Attempts++
		e.UpstreamHost, e.UpstreamPath, e.UpstreamName, e.About[accesslog.OfEndpoint] = m.Address().AddrPort, m.Address().Path, m.Hostname, m.Metadata
	}
}

// write writes the record, whose call has been answered with a frame of that size, or with none.
func (c *conn) write(r *record, of wire.Status, exception bool, size int) {
	if r == nil {
		return
	}
	e, l := &r.entry, c.local.Loop
	e.End = max(time.Duration(l.Now().Sub(e.Start)), 0)
	e.WireSent, e.BytesSent = uint64(size), uint64(max(size-wire.HeadSize, 0))
	if size > 0 {
		e.Status, e.Answered, e.DownstreamHead = of.HTTP(), true, e.End
		r.what["status"] = float64(of)
		r.what["exception"] = exception
	}
	for _, log := range c.server.logs {
		if f := log.Filter(); f == nil || f.Wants(e, l.Random(), nil) {
			log.Write(l.Index(), e)
		}
	}
}
