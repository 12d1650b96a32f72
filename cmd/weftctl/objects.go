package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"strings"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
)

// asking is a question to weftd's API.
type asking struct {
	method, path string
	query        url.Values
	body         []byte
}

// api asks weftd's API. What weftd does not do is a *console.Failure.
func (p *pages) api(ctx context.Context, a asking, into any) error {
	address := p.base + a.path
	if len(a.query) > 0 {
		address += "?" + a.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, a.method, address, bytes.NewReader(a.body))
	if err != nil {
		return err
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	got, err := p.client.Do(r)
	if err != nil {
		return p.unreachable(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(io.LimitReader(got.Body, pageBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading what %s answers: %w", p.address, err)
	case len(b) > pageBytes:
		return fmt.Errorf("%s answers with more than %d bytes", p.address, pageBytes)
	case got.StatusCode == http.StatusOK:
		return p.understand(b, a.path, into)
	}
	f := &failed{code: got.StatusCode}
	if json.Unmarshal(b, &f.Failure) != nil || f.Failure.Error == "" {
		f.Failure.Error = fmt.Sprintf("weftd at %s answers with %d: %s", p.address, got.StatusCode, firstLine(b))
	}
	return f
}

// failed is what weftd has not done, and why.
type failed struct {
	console.Failure
	code int
}

func (f *failed) Error() string { return f.Failure.Error }

// manner is how something is to be done: only as a trial, and by whom.
func (o *planeOptions) manner(p *pages) url.Values {
	q := url.Values{}
	if o.dryRun {
		q.Set("dryRun", "true")
	}
	who := o.as
	if who == "" && p.token == "" { // on its own host weftd believes who says who he is
		if u, err := user.Current(); err == nil {
			who = u.Username
		}
	}
	if who != "" {
		q.Set("author", who)
	}
	return q
}

func changeFlags(f *flag.FlagSet, o *planeOptions) {
	f.BoolVar(&o.dryRun, "dry-run", false, "have weftd check it all, and change nothing")
	f.StringVar(&o.as, "as", "", "`author` of the change: on weftd's own host any word (default the user's name); over https who the token is for, or that and more behind a slash, such as ci/canary")
}

// spaceFlag is -n of manifests, which mostly say it themselves.
func spaceFlag(f *flag.FlagSet, o *planeOptions) {
	f.StringVar(&o.namespace, "n", "", "`namespace` of objects that say none (default \"default\"); those that say another are refused")
}

func namespaceFlag(f *flag.FlagSet, o *planeOptions) {
	f.StringVar(&o.namespace, "n", "default", "`namespace` of the object")
}

// keysOf are the objects that arguments name: KIND NAME..., or KIND/NAME...
func (o *planeOptions) keysOf() ([]source.Key, error) {
	if len(o.names) == 0 {
		return nil, errors.New("of which object? want KIND NAME, such as virtualservice reviews, or vs/reviews")
	}
	var keys []source.Key
	add := func(word, name string) error {
		kind, known := source.KindOf(word)
		if !known {
			return unknownKind(word)
		}
		namespace := cmp.Or(o.namespace, "default")
		if source.Forms[kind].Cluster || source.Forms[kind].Versions == nil {
			namespace = "-"
		}
		key, is := source.ParsePath(kind.Resource() + "/" + namespace + "/" + name)
		if !is {
			return fmt.Errorf("%q in namespace %q is no name: want small letters, digits, dashes and dots", name, namespace)
		}
		keys = append(keys, key)
		return nil
	}
	if !strings.Contains(o.names[0], "/") {
		if len(o.names) == 1 {
			return nil, fmt.Errorf("which %s? want its name behind it", o.names[0])
		}
		for _, name := range o.names[1:] {
			if err := add(o.names[0], name); err != nil {
				return nil, err
			}
		}
		return keys, nil
	}
	for _, one := range o.names {
		word, name, both := strings.Cut(one, "/")
		if !both {
			return nil, fmt.Errorf("%q: want KIND/NAME, as the first is", one)
		}
		if err := add(word, name); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// oneKey is the one object that arguments name.
func (o *planeOptions) oneKey() (source.Key, error) {
	keys, err := o.keysOf()
	if err == nil && len(keys) > 1 {
		err = errors.New("want one object")
	}
	if err != nil {
		return source.Key{}, err
	}
	return keys[0], nil
}

func unknownKind(word string) error {
	var names []string
	for kind := range source.Forms {
		names = append(names, strings.ToLower(source.Forms[kind].Name))
	}
	return fmt.Errorf("there is no kind %q: did you mean %q?", word, nearestOf(strings.ToLower(word), names))
}

// called is how kubectl calls a kind: virtualservice.networking.istio.io.
func called(kind string) string {
	k, known := source.KindOf(kind)
	name := strings.ToLower(kind)
	if group := source.Forms[k].Group; known && group != "" {
		name += "." + group
	}
	return name
}
