package route

import (
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Table is a compiled route configuration. It is not written to after it was made, so all loops read it.
type Table struct {
	Config *config.RouteConfiguration
	// Filters are the names, in their order, of the filters that something is said of.
	Filters []string
	hosts   hosts
	said    said
	made    []*virtualHost // by their place in Config
}

// Compile makes a table. It cannot fail: what could was checked when the configuration was decoded.
func Compile(c *config.RouteConfiguration) *Table { return (&Table{}).After(c) }

// After is the table of a later version. Virtual hosts that it has in common with this one are not compiled again.
func (before *Table) After(c *config.RouteConfiguration) *Table {
	t := &Table{Config: c, made: make([]*virtualHost, len(c.VirtualHosts))}
	var made map[*config.VirtualHost]*virtualHost // those before, if one is not where it was
	same := len(before.made) == len(t.made)
	for i, v := range c.VirtualHosts {
		if i < len(before.made) && before.made[i].config == v {
			t.made[i] = before.made[i]
			continue
		}
		if same = same && slices.Equal(before.made[i].config.Domains, v.Domains); made == nil {
			made = make(map[*config.VirtualHost]*virtualHost, len(before.made))
			for _, v := range before.made {
				made[v.config] = v
			}
		}
		if t.made[i] = made[v]; t.made[i] == nil {
			t.made[i] = compileHost(v)
		}
	}
	if t.hosts = before.hosts; !same || len(t.made) == 0 {
		t.hosts = hosts{any: none}
		for i, v := range c.VirtualHosts {
			t.hosts.add(v.Domains, int32(i))
		}
		t.hosts.finish()
	}
	t.listen()
	return t
}

// at is the virtual host at a place; nil: there is none.
func (t *Table) at(i int32) *virtualHost {
	if i == none {
		return nil
	}
	return t.made[i]
}

type virtualHost struct {
	config *config.VirtualHost
	index  index
	lists  []index // that the matcher leads to, instead of the one index, if there is one
}

func compileHost(c *config.VirtualHost) *virtualHost {
	v := &virtualHost{config: c}
	if c.Matcher == nil {
		v.index = compileIndex(c.Routes)
	}
	for _, list := range c.Lists {
		v.lists = append(v.lists, compileIndex(list))
	}
	return v
}

// Result is what a request has met. VirtualHost is nil if no domain matched, Route if no route of it did.
type Result struct {
	VirtualHost *config.VirtualHost
	Route       *config.Route
	TLSRedirect bool // the virtual host serves https only, and the request is not
}

// Match finds the route for a request, whose x-forwarded-proto must say how it came: the virtual host by the authority, or the header
// that stands for it, then the first of its routes that matches. It allocates nothing.
func (t *Table) Match(in *Input) Result {
	r := in.Request
	v := t.virtualHost(r)
	if v == nil {
		return Result{}
	}
	if t.redirects(v, r) {
		return Result{VirtualHost: v.config, TLSRedirect: true}
	}
	t.look(in)
	x := &v.index
	if v.config.Matcher != nil {
		if x = v.lead(in); x == nil {
			return Result{VirtualHost: v.config}
		}
	}
	return Result{VirtualHost: v.config, Route: x.find(in)}
}

// redirects tells whether a virtual host is not for a request because of how it came.
func (t *Table) redirects(v *virtualHost, r *http.Request) bool {
	return v.config.RequireTLS != config.TLSNone && !cameByTLS(r) && (v.config.RequireTLS == config.TLSAll || !r.Has(http.XEnvoyInternal))
}

// Path is the path as routes are matched by, valid until the next look at it.
func (t *Table) Path(in *Input) []byte {
	t.look(in)
	return in.path
}

// look finds the path as rules see it.
func (t *Table) look(in *Input) {
	in.path = bare(in.Request.Path())
	if t.Config.IgnoreParameters {
		in.ignoreParameters()
	}
}

func (t *Table) virtualHost(r *http.Request) *virtualHost {
	name, named := t.hostName(r)
	if !named {
		return t.at(t.hosts.unnamed())
	}
	return t.at(t.hosts.find(name, t.Config.IgnorePortInHost))
}

// hostName is what virtual hosts are looked for by: the authority, or the header that stands for it, which may not be there.
func (t *Table) hostName(r *http.Request) (value []byte, named bool) {
	name := t.Config.VirtualHostHeader
	if name == "" {
		return r.Authority(), true
	}
	i := r.Find(http.Lookup(name), name, 0)
	if i < 0 {
		return nil, false
	}
	return r.Value(i), true
}

// cameByTLS asks the connection manager's word on how the request came, not the scheme of its URL, which the peer chose.
func cameByTLS(r *http.Request) bool {
	return string(r.Get(http.XForwardedProto)) == "https" && r.Count(http.XForwardedProto) == 1
}
