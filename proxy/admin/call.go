package admin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/dubbo"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// dubboPort is where a URL of Dubbo is that says no port.
const dubboPort = 20880

// readCall reads a call of Dubbo: dubbo://authority/interface, which may have a version and a group behind a question mark, as registries write it. Its authority is where the client connects to, if nothing else says that.
func (q *Question) readCall(query url.Values) error {
	rest, _, _ := strings.Cut(strings.TrimPrefix(q.URL, "dubbo://"), "#")
	rest, more, _ := strings.Cut(rest, "?")
	authority, name, _ := strings.Cut(rest, "/")
	said, err := url.ParseQuery(more)
	if err != nil {
		return fmt.Errorf("url is %q: %w", q.URL, err)
	}
	call := &dubbo.Asked{Interface: name, Version: query.Get("version"), Group: query.Get("group"), Method: q.Method}
	if call.Version == "" {
		call.Version = said.Get("version")
	}
	if call.Group == "" {
		call.Group = said.Get("group")
	}
	switch {
	case name == "":
		return fmt.Errorf("url is %q: want dubbo://authority/interface, such as dubbo://10.0.0.1:20880/org.example.Shop", q.URL)
	case q.Method == "":
		return errors.New("say the method that is called, such as method=search")
	case query.Has("header"):
		return errors.New("header is of a request of HTTP: a call has attachment=NAME=VALUE")
	case len(query["argument"]) > wire.MaxParameters:
		return fmt.Errorf("%d arguments: want %d at most", len(query["argument"]), wire.MaxParameters)
	case len(query["attachment"]) > maxHeaders-maxOwn:
		return fmt.Errorf("%d attachments: want %d at most", len(query["attachment"]), maxHeaders-maxOwn)
	}
	for _, text := range query["argument"] {
		kind, value, is := strings.Cut(text, "=")
		call.Arguments = append(call.Arguments, dubbo.Argument{Type: strings.TrimSpace(kind), Value: value, Null: !is})
	}
	for _, text := range query["attachment"] {
		name, value, is := strings.Cut(text, "=")
		if !is || name == "" {
			return fmt.Errorf("attachment is %q: want NAME=VALUE", text)
		}
		call.Attachments = append(call.Attachments, config.Field{Name: name, Value: value})
	}
	q.Call = call
	if query.Get("address") == "" && authority != "" {
		a, err := netip.ParseAddrPort(authority)
		if ip, alone := netip.ParseAddr(strings.Trim(authority, "[]")); err != nil && alone == nil {
			a, err = netip.AddrPortFrom(ip, dubboPort), nil
		}
		switch {
		case err == nil:
			q.Address.AddrPort = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		case q.Listener == "":
			return fmt.Errorf("url is %q: %q is no IP:PORT: say address=IP:PORT or listener=NAME, too", q.URL, authority)
		}
	}
	return nil
}

// maxOwn is how many attachments are there without being said.
const maxOwn = 4

// Passed are the parameters of a URL of Dubbo that a call does not have; registries write them beside those that it has.
func (q *Question) Passed() (names []string) {
	_, more, _ := strings.Cut(q.URL, "?")
	said, _ := url.ParseQuery(more)
	for name := range said {
		if name != "version" && name != "group" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
