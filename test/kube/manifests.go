package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/control/source/kube"
)

// place is where the objects of a kind are.
type place struct {
	plural     string
	namespaced bool
}

// head is what every object says of itself.
type head struct {
	APIVersion string
	Kind       string
	Metadata   struct{ Namespace, Name string }
}

// Apply makes objects what these manifests say, in their order, as kubectl apply --server-side does. A namespace that is not there yet is made.
func (c *Cluster) Apply(manifests string) {
	c.t.Helper()
	c.each(manifests, func(h head, text []byte) {
		if n := h.Metadata.Namespace; n != "" {
			c.want(http.MethodPatch, "/api/v1/namespaces/"+n+"?fieldManager=namespaces&force=true", applied, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q}}`, n))
		}
		c.want(http.MethodPatch, c.path(h)+force, applied, text)
	})
}

// ApplyAs is Apply by another manager than that of tests, in a namespace that is there.
func (c *Cluster) ApplyAs(manager, manifests string) {
	c.t.Helper()
	c.each(manifests, func(h head, text []byte) {
		c.want(http.MethodPatch, c.path(h)+"?force=true&fieldManager="+manager, applied, text)
	})
}

// ApplyStatus is Apply for what manifests say of the status of objects that are there.
func (c *Cluster) ApplyStatus(manifests string) {
	c.t.Helper()
	c.each(manifests, func(h head, text []byte) { c.want(http.MethodPatch, c.path(h)+"/status"+force, applied, text) })
}

// Create asks for an object to be made, and gives the code and the text of the answer. Its namespace is there. With dry nothing is kept.
func (c *Cluster) Create(manifest string, dry bool) (code int, text []byte) {
	c.t.Helper()
	c.each(manifest, func(h head, body []byte) {
		path := c.path(h)
		path = path[:strings.LastIndexByte(path, '/')]
		if dry {
			path += "?dryRun=All"
		}
		var err error
		if code, text, err = c.try(c.t.Context(), http.MethodPost, path, "application/yaml", bytes.NewReader(body)); err != nil {
			c.t.Errorf("POST %s: %v", path, err)
		}
	})
	return code, text
}

// Delete takes objects away, of which manifests need to say no more than what they are called.
func (c *Cluster) Delete(manifests string) {
	c.t.Helper()
	c.each(manifests, func(h head, _ []byte) {
		c.want(http.MethodDelete, c.path(h)+"?gracePeriodSeconds=0", "", nil)
	})
}

// Drop takes away the objects of some manifests that are not in others.
func (c *Cluster) Drop(was, is string) {
	c.t.Helper()
	there := map[head]bool{}
	c.each(is, func(h head, _ []byte) { there[h] = true })
	c.each(was, func(h head, text []byte) {
		if !there[h] {
			c.Delete(string(text))
		}
	})
}

// Get reads an object into v.
func (c *Cluster) Get(manifest string, v any) {
	c.t.Helper()
	c.each(manifest, func(h head, _ []byte) {
		if err := json.Unmarshal(c.want(http.MethodGet, c.path(h), "", nil), v); err != nil {
			c.t.Fatal(err)
		}
	})
}

// List reads what is at a path into v.
func (c *Cluster) List(path string, v any) {
	c.t.Helper()
	if err := json.Unmarshal(c.want(http.MethodGet, path, "", nil), v); err != nil {
		c.t.Fatal(err)
	}
}

// Install has the kinds of Istio's be known, or the one with that name in plural, and waits until they are served.
func (c *Cluster) Install(only ...string) {
	c.t.Helper()
	c.each(string(kube.Definitions()), func(h head, text []byte) {
		plural, _, _ := strings.Cut(h.Metadata.Name, ".")
		if len(only) > 0 && plural != only[0] {
			return
		}
		c.want(http.MethodPatch, c.path(h)+force, applied, text)
		c.until(h.Metadata.Name+" is served", func() bool {
			var d struct {
				Status struct {
					Conditions []struct{ Type, Status string }
				}
			}
			if json.Unmarshal(c.want(http.MethodGet, c.path(h), "", nil), &d) != nil {
				return false
			}
			for _, one := range d.Status.Conditions {
				if one.Type == "Established" && one.Status == "True" {
					return true
				}
			}
			return false
		})
	})
}

const (
	applied = "application/apply-patch+yaml"
	force   = "?fieldManager=test&force=true"
)

// want asks for something that has to be done.
func (c *Cluster) want(method, path, kind string, body []byte) []byte {
	c.t.Helper()
	code, text, err := c.try(c.t.Context(), method, path, kind, bytes.NewReader(body))
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if code/100 != 2 {
		c.t.Fatalf("%s %s: %d %s\n%s", method, path, code, text, body)
	}
	return text
}

var comment = regexp.MustCompile(`(?m)^\s*#.*$`)

// each reads manifests.
func (c *Cluster) each(manifests string, do func(head, []byte)) {
	c.t.Helper()
	for text := range strings.SplitSeq("\n"+manifests, "\n---") {
		if strings.TrimSpace(comment.ReplaceAllString(text, "")) == "" {
			continue
		}
		var h head
		if err := yaml.Unmarshal([]byte(text), &h); err != nil || h.Kind == "" || h.Metadata.Name == "" {
			c.t.Fatalf("a manifest without a kind or a name: %v\n%s", err, text)
		}
		do(h, []byte(text))
	}
}

// path is where an object is. An API server tells it of each kind.
func (c *Cluster) path(h head) string {
	c.t.Helper()
	root := "/apis/" + h.APIVersion
	if !strings.Contains(h.APIVersion, "/") {
		root = "/api/" + h.APIVersion
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := h.APIVersion + " " + h.Kind
	if _, known := c.places[key]; !known {
		c.until("there is a "+key, func() bool {
			var list struct {
				Resources []struct {
					Name, Kind string
					Namespaced bool
				}
			}
			code, text, err := c.try(c.t.Context(), http.MethodGet, root, "", nil)
			if err != nil || code != http.StatusOK || json.Unmarshal(text, &list) != nil {
				return false
			}
			for _, r := range list.Resources {
				if !strings.Contains(r.Name, "/") {
					c.places[h.APIVersion+" "+r.Kind] = place{r.Name, r.Namespaced}
				}
			}
			_, known := c.places[key]
			return known
		})
	}
	p := c.places[key]
	if !p.namespaced {
		return root + "/" + p.plural + "/" + h.Metadata.Name
	}
	n := h.Metadata.Namespace
	if n == "" {
		n = "default"
	}
	return root + "/namespaces/" + n + "/" + p.plural + "/" + h.Metadata.Name
}
