package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/dubbo"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/listener"
	"github.com/weftmesh/weft/proxy/upstream"
)

// Question is what /explain is asked: a connection, and a request on it, that nobody makes.
type Question struct {
	Listener     string         // by name; empty: the one at Address
	Address      config.Address // that the client connects to; zero: the listener's own
	Source       netip.AddrPort // not valid: this host
	ServerName   string
	Applications []string
	TLS          bool
	Identity     string         // a URI of the certificate that the client shows, such as spiffe://cluster.local/ns/shop/sa/web; empty: it shows none
	Method       string         // empty: GET
	URL          string         // scheme://authority/path?query; empty: no request is asked about
	Headers      []config.Field // names in lower case
	Call         *dubbo.Asked   // of a URL dubbo://authority/interface; nil: no call is asked about
}

// Answer is what the connection and the request would meet.
type Answer struct {
	Listener string   `json:"listener,omitempty"`
	Address  string   `json:"address,omitempty"` // that the listener is bound to
	From     string   `json:"handed_over_by,omitempty"`
	Seen     Seen     `json:"connection"`
	Notes    []string `json:"notes,omitempty"`
	// Ends says why the connection comes no further; empty: it does.
	Ends           string               `json:"ends,omitempty"`
	Chain          string               `json:"filter_chain,omitempty"`
	Chains         []listener.ChainStep `json:"filter_chains,omitempty"`
	NetworkFilters []string             `json:"network_filters,omitempty"`
	TCP            []upstream.Target    `json:"tcp_clusters,omitempty"`
	HTTP           *l7.Account          `json:"http,omitempty"`
	Dubbo          *dubbo.Account       `json:"dubbo,omitempty"`
}

// Seen is the connection as filter chains see it.
type Seen struct {
	Destination  string   `json:"destination,omitempty"`
	Source       string   `json:"source,omitempty"`
	Transport    string   `json:"transport_protocol,omitempty"`
	ServerName   string   `json:"server_name,omitempty"`
	Applications []string `json:"application_protocols,omitempty"`
}

// parameters are those that /explain knows.
var parameters = []string{"listener", "address", "source", "sni", "alpn", "tls", "identity", "method", "url", "header", "version", "group", "argument", "attachment"}

// maxHeaders bounds how many headers a question has.
const maxHeaders = 256

// ReadQuestion reads what /explain is asked with.
func ReadQuestion(query url.Values) (*Question, error) {
	for name, values := range query {
		if !slices.Contains(parameters, name) {
			return nil, fmt.Errorf("there is no parameter %q: want %s", name, strings.Join(parameters, ", "))
		}
		if len(values) > 1 && name != "alpn" && name != "header" && name != "argument" && name != "attachment" {
			return nil, fmt.Errorf("%s is there %d times: want one", name, len(values))
		}
	}
	q := &Question{Listener: query.Get("listener"), ServerName: strings.ToLower(query.Get("sni")), Applications: query["alpn"], Identity: query.Get("identity"), Method: query.Get("method"), URL: query.Get("url")}
	switch v := query.Get("tls"); v {
	case "true", "1", "yes":
		q.TLS = true
	case "false", "0", "no":
		if q.ServerName != "" || q.Identity != "" {
			return nil, fmt.Errorf("sni and identity are for TLS: leave them out, or say tls=true")
		}
	case "":
		// A server name and an identity are TLS's; so is a URL of https, unless the connection is said to be plain.
		q.TLS = query.Has("tls") || q.ServerName != "" || q.Identity != "" || strings.HasPrefix(q.URL, "https://")
	default:
		return nil, fmt.Errorf("tls is %q: want true or false", v)
	}
	if strings.HasPrefix(q.URL, "dubbo://") {
		if err := q.readCall(query); err != nil {
			return nil, err
		}
		return q, q.readAddresses(query)
	}
	for _, name := range []string{"version", "group", "argument", "attachment"} {
		if query.Has(name) {
			return nil, fmt.Errorf("%s is of a call of Dubbo: say its url, too, such as url=dubbo://10.0.0.1:20880/org.example.Shop", name)
		}
	}
	if err := q.readAddresses(query); err != nil {
		return nil, err
	}
	if q.URL == "" && (q.Method != "" || query.Has("header")) {
		return nil, fmt.Errorf("method and header are of a request: say its url, too, such as url=http://authority/path")
	}
	if len(query["header"]) > maxHeaders {
		return nil, fmt.Errorf("%d headers: want %d at most", len(query["header"]), maxHeaders)
	}
	for _, h := range query["header"] {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.ToLower(strings.TrimSpace(name)); !ok || name == "" {
			return nil, fmt.Errorf("header is %q: want \"name: value\"", h)
		}
		if name == "host" {
			return nil, fmt.Errorf("the header host is the url's authority: say it there")
		}
		q.Headers = append(q.Headers, config.Field{Name: name, Value: strings.TrimSpace(value)})
	}
	if q.Method == "" {
		q.Method = "GET"
	}
	return q, nil
}

func (q *Question) readAddresses(query url.Values) error {
	if text := query.Get("address"); strings.HasPrefix(text, "/") || strings.HasPrefix(text, "@") {
		q.Address.Path = text
	} else if text != "" {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return fmt.Errorf("address is %q: want IP:PORT, [IP]:PORT or the path of a Unix socket", text)
		}
		q.Address.AddrPort = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	if text := query.Get("source"); text != "" {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return fmt.Errorf("source is %q: want IP or IP:PORT", text)
			}
			a = netip.AddrPortFrom(ip, 0)
		}
		q.Source = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	if q.Listener == "" && q.Address == (config.Address{}) {
		return fmt.Errorf("say listener=NAME or address=IP:PORT, such as /explain?address=10.0.0.1:80&url=http://reviews:9080/; /listeners has the names")
	}
	return nil
}

// SplitURL takes a URL apart without changing a byte of its path. A path alone has no authority; CONNECT has an authority alone.
func (q *Question) SplitURL() (scheme, authority, path string, err error) {
	rest := q.URL
	if q.Method == "CONNECT" && !strings.Contains(rest, "/") {
		return "", rest, "", nil
	}
	if strings.HasPrefix(rest, "/") {
		return "", "", rest, nil
	}
	scheme, rest, ok := strings.Cut(rest, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return "", "", "", fmt.Errorf("url is %q: want http://authority/path, https://authority/path or /path, or dubbo://authority/interface", q.URL)
	}
	authority, path = rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		if path[0] == '?' {
			path = "/" + path
		}
	}
	path, _, _ = strings.Cut(path, "#") // which no client sends
	if q.Method == "CONNECT" {
		path = ""
	}
	return scheme, authority, path, nil
}

// explain answers what a connection and a request would meet. Nothing is sent.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	var q *Question
	if err == nil {
		q, err = ReadQuestion(query)
	}
	var a *Answer
	if err == nil {
		a, err = s.view.Explain(q)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, a)
}
