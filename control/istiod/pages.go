package istiod

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// page is one of istiod's debug pages.
type page struct {
	name, says string
	show       func(*Face, url.Values) (any, error)
}

// pages are all that there are here, of the many that istiod has.
func pages() []page {
	return []page{
		{"syncz", "proxies, and what each was sent and has taken", (*Face).syncz},
		{"connections", "streams, and where they come from", (*Face).connections},
		{"registryz", "services", (*Face).registryz},
		{"configz", "objects of Istio's kinds that are in force", (*Face).configz},
		{"clusterz", "clusters that are followed", (*Face).clusterz},
		{"mesh", "the mesh's own configuration", (*Face).meshz},
		{"config_dump", "?proxyID=POD.NAMESPACE: what a proxy is to have, without secrets", (*Face).configDump},
	}
}

// debugPath is where pages are.
const debugPath = "/debug/"

// What is answered about no proxy, and about one that is not connected here.
var (
	errUnsaid  = errors.New("want ?proxyID=POD.NAMESPACE")
	errNowhere = errors.New("the proxy is not connected here")
)

// Handler serves the pages, below /debug/, and their list there.
func (f *Face) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+debugPath+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		for _, one := range pages() {
			fmt.Fprintf(w, "%-22s %s\n", debugPath+one.name, one.says)
		}
	})
	for _, one := range pages() {
		mux.HandleFunc("GET "+debugPath+one.name, func(w http.ResponseWriter, r *http.Request) {
			text, err := f.render(&one, r.URL.Query())
			if err != nil {
				switch {
				case errors.Is(err, errNowhere):
					http.Error(w, elsewhere, http.StatusNotFound)
				case errors.Is(err, errUnsaid):
					http.Error(w, err.Error(), http.StatusBadRequest)
				default:
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Write(text)
		})
	}
	return mux
}

// page is one by its name, behind which there may be a query.
func (f *Face) page(name string) ([]byte, error) {
	name, query, _ := strings.Cut(name, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, one := range pages() {
		if one.name == name {
			return f.render(&one, values)
		}
		known = append(known, one.name)
	}
	return nil, fmt.Errorf("there is no page %.64q here: want one of %s", name, strings.Join(known, ", "))
}

func (f *Face) render(p *page, query url.Values) ([]byte, error) {
	v, err := p.show(f, query)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(v)
	return b.Bytes(), err
}

// syncStatus is a proxy, as istiod has it on syncz.
type syncStatus struct {
	ClusterID      string                    `json:"cluster_id,omitempty"`
	ProxyID        string                    `json:"proxy,omitempty"`
	ProxyType      string                    `json:"proxy_type,omitempty"`
	IstioVersion   string                    `json:"istio_version,omitempty"`
	ClusterSent    string                    `json:"cluster_sent,omitempty"`
	ClusterAcked   string                    `json:"cluster_acked,omitempty"`
	ListenerSent   string                    `json:"listener_sent,omitempty"`
	ListenerAcked  string                    `json:"listener_acked,omitempty"`
	RouteSent      string                    `json:"route_sent,omitempty"`
	RouteAcked     string                    `json:"route_acked,omitempty"`
	EndpointSent   string                    `json:"endpoint_sent,omitempty"`
	EndpointAcked  string                    `json:"endpoint_acked,omitempty"`
	ExtensionSent  string                    `json:"extensionconfig_sent,omitempty"`
	ExtensionAcked string                    `json:"extensionconfig_acked,omitempty"`
	Resources      map[string]resourceStatus `json:"resources,omitempty"`
}

type resourceStatus struct {
	Sent      string    `json:"sent,omitempty"`
	Acked     string    `json:"acked,omitempty"`
	SentTime  time.Time `json:"sentTime,omitzero"`
	LastError string    `json:"lastError,omitempty"`
}

func (f *Face) syncz(query url.Values) (any, error) {
	list := []*syncStatus{}
	for _, p := range f.Push.Status().Proxies {
		if namespace := query.Get("namespace"); namespace != "" && namespace != p.Namespace {
			continue
		}
		s := &syncStatus{ClusterID: p.Cluster, ProxyID: p.ID, ProxyType: p.Role, IstioVersion: p.Version, Resources: map[string]resourceStatus{}}
		for _, k := range p.Kinds {
			s.Resources[k.Type] = resourceStatus{k.Nonce, k.Taken, k.Sent, k.Refused}
			switch k.Type {
			case server.Clusters.Type():
				s.ClusterSent, s.ClusterAcked = k.Nonce, k.Taken
			case server.Listeners.Type():
				s.ListenerSent, s.ListenerAcked = k.Nonce, k.Taken
			case server.Routes.Type():
				s.RouteSent, s.RouteAcked = k.Nonce, k.Taken
			case server.Endpoints.Type():
				s.EndpointSent, s.EndpointAcked = k.Nonce, k.Taken
			case server.Extensions.Type():
				s.ExtensionSent, s.ExtensionAcked = k.Nonce, k.Taken
			}
		}
		list = append(list, s)
	}
	return list, nil
}

type client struct {
	ConnectionID string    `json:"connectionId"`
	ConnectedAt  time.Time `json:"connectedAt"`
	Address      string    `json:"address"`
}

func (f *Face) connections(url.Values) (any, error) {
	out := struct {
		Total     int      `json:"totalClients"`
		Connected []client `json:"clients,omitempty"`
	}{}
	for _, p := range f.Push.Status().Proxies {
		out.Connected = append(out.Connected, client{fmt.Sprintf("%s-%s", p.ID, p.Peer), p.Since, p.Peer})
	}
	out.Total = len(out.Connected)
	return out, nil
}

// service is one, as istiod has it on registryz, with what is known of it here.
type service struct {
	Attributes struct {
		ServiceRegistry string
		Name            string
		Namespace       string
		LabelSelectors  map[string]string
	}
	Ports           []port    `json:"ports,omitempty"`
	ServiceAccounts []string  `json:"serviceAccounts,omitempty"`
	CreationTime    time.Time `json:"creationTime,omitzero"`
	Hostname        string    `json:"hostname"`
	DefaultAddress  string    `json:"defaultAddress,omitempty"`
	Allocated       string    `json:"autoAllocatedIPv4Address,omitempty"`
	// ClusterVIPs are the addresses that it has in each cluster that defines it.
	ClusterVIPs  struct{ Addresses map[string][]string } `json:"clusterVIPs,omitzero"`
	Resolution   int
	MeshExternal bool
}

type port struct {
	Name     string `json:"name,omitempty"`
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol,omitempty"`
}

// resolutions are istiod's numbers of ours.
var resolutions = map[mesh.Resolution]int{mesh.Listed: 0, mesh.DNS: 1, mesh.Passthrough: 2, mesh.DNSRound: 3}

func (f *Face) registryz(url.Values) (any, error) {
	list := []*service{}
	m := f.Push.Mesh()
	if m == nil {
		return list, nil
	}
	var before *mesh.Service // of the same host and namespace as the next one, if that is another cluster's definition of it
	for _, is := range m.Services.All() {
		if before != nil && is.Kubernetes() && before.Kubernetes() && is.Host == before.Host {
			list[len(list)-1].ClusterVIPs.Addresses[m.Settings.ClusterName(is.Cluster())] = is.Addresses
			continue
		}
		before = is
		s := &service{ServiceAccounts: is.Accounts, CreationTime: is.Created, Hostname: is.Host, Allocated: is.Allocated, Resolution: resolutions[is.Resolution], MeshExternal: is.External}
		s.Attributes.ServiceRegistry, s.Attributes.Name, s.Attributes.Namespace, s.Attributes.LabelSelectors = "External", is.Name, is.Namespace, is.Selector
		if is.Kubernetes() {
			s.Attributes.ServiceRegistry = "Kubernetes"
			s.ClusterVIPs.Addresses = map[string][]string{m.Settings.ClusterName(is.Cluster()): is.Addresses}
		}
		if s.DefaultAddress = "0.0.0.0"; len(is.Addresses) > 0 {
			s.DefaultAddress = is.Addresses[0]
		}
		for _, p := range is.Ports {
			s.Ports = append(s.Ports, port{p.Name, p.Number, p.Protocol.String()})
		}
		list = append(list, s)
	}
	return list, nil
}

// configz are objects of Istio's kinds, as their authors wrote them. Those of Kubernetes', some of which hold secrets, are not among them.
func (f *Face) configz(url.Values) (any, error) {
	list := []json.RawMessage{}
	m := f.Push.Mesh()
	if m == nil {
		return list, nil
	}
	for k := source.VirtualService; k <= source.WasmPlugin; k++ {
		for _, o := range m.Objects(k).All() {
			text, err := source.Known(o)
			if err != nil {
				return nil, err
			}
			list = append(list, text)
		}
	}
	return list, nil
}

func (f *Face) meshz(url.Values) (any, error) {
	m := f.Push.Mesh()
	if m == nil {
		return struct{}{}, nil
	}
	text, err := protojson.Marshal(m.Settings.Config)
	return json.RawMessage(text), err
}

func (f *Face) configDump(query url.Values) (any, error) {
	id := query.Get("proxyID")
	if id == "" {
		return nil, errUnsaid
	}
	dump, is, err := f.dump(id)
	switch {
	case err != nil:
		return nil, err
	case !is:
		return nil, errNowhere
	}
	text, err := protojson.Marshal(dump)
	return json.RawMessage(text), err
}

// Cluster is one that is followed, as istiod has it on clusterz.
type Cluster struct {
	ID         string `json:"id"`
	SecretName string `json:"secretName"` // that attaches it; of the first one empty
	SyncStatus string `json:"syncStatus"` // synced, syncing, timeout or closed, as istiod says
	First      bool   `json:"-"`
}

func (f *Face) clusterz(url.Values) (any, error) {
	return append([]Cluster{}, f.Clusters()...), nil
}
