package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// ClusterPrefix is before the names of clusters, among the keys of the store. What is below it holds what opens API servers: no page and no answer has any of it.
const ClusterPrefix = "clusters/"

// MaxClusters bounds how many clusters are attached.
const MaxClusters = 64

// Cluster is one that somebody has attached, as it is kept.
type Cluster struct {
	Kubeconfig string    `json:"kubeconfig"` // YAML or JSON, which names no file and no program
	Context    string    `json:"context,omitempty"`
	Discovery  bool      `json:"discoveryOnly,omitempty"` // of it Istio's kinds are not read
	Author     string    `json:"author"`
	At         time.Time `json:"at"`
}

// ReadCluster reads one as it is kept; false: the key is of none.
func ReadCluster(e store.Entry) (name string, c *Cluster, err error) {
	name = strings.TrimPrefix(e.Key, ClusterPrefix)
	c = &Cluster{}
	if err := json.Unmarshal(e.Value, c); err != nil {
		return name, nil, errors.New("its record is no JSON") // and nothing of what it is
	}
	return name, c, nil
}

// ClusterChange is that a cluster was attached or detached, for those who come later.
type ClusterChange struct {
	Name, What string // attached, changed, detached
	Author     string
	Caller     *Caller
	Refused    string
}

func (c *Console) clusters(_ context.Context, who *Caller, _ *http.Request) (any, error) {
	if err := who.may(Viewer, "", "look at clusters"); err != nil {
		return nil, err
	}
	return c.Clusters(), nil
}

// attach keeps how a cluster is reached. It is read where it is followed, and so by each weftd on the store.
func (c *Console) attach(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	name := r.PathValue("name")
	what := "attached"
	author, err := c.changing(who, r)
	refused := func(err error) (any, error) {
		c.AuditCluster(ClusterChange{name, what, author, who, err.Error()})
		return nil, err
	}
	if err != nil {
		return refused(err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var asked Cluster
	read := json.NewDecoder(bytes.NewReader(text))
	read.DisallowUnknownFields() // one that is misspelt would have a cluster say more than was meant
	if err := read.Decode(&asked); err != nil {
		return refused(refuse(http.StatusBadRequest, "want {\"kubeconfig\": TEXT}, and no fields but those that docs/weftd.md has"))
	}
	if err := c.CheckCluster(name, &asked); err != nil {
		return refused(refuse(http.StatusUnprocessableEntity, "%v", err))
	}
	all, err := c.Store.List(ctx, ClusterPrefix)
	if err != nil {
		return nil, err
	}
	was := store.Absent
	for _, e := range all {
		if e.Key == ClusterPrefix+name {
			was, what = e.Revision, "changed"
		}
	}
	if was == store.Absent && len(all) >= MaxClusters {
		return refused(refuse(http.StatusUnprocessableEntity, "%d clusters are attached: want at most %d", len(all), MaxClusters))
	}
	asked.Author, asked.At = author, time.Now().UTC().Truncate(time.Second)
	value, err := json.Marshal(&asked)
	if err != nil {
		return nil, err
	}
	if _, err := c.Store.Put(ctx, ClusterPrefix+name, value, was); err != nil {
		return nil, err
	}
	c.AuditCluster(ClusterChange{name, what, author, who, ""})
	result := ClusterResult{Name: name, Is: what}
	if !c.Lasting {
		result.Warning = "weftd keeps it in memory, and follows it no more when it is started again: start weftd with --store"
	}
	return result, nil
}

// ClusterResult is what became of a cluster.
type ClusterResult struct {
	Name string `json:"name"`
	Is   string `json:"is"` // attached, changed or detached
	// Warning is something to know; empty: nothing.
	Warning string `json:"warning,omitempty"`
}

func (c *Console) detach(ctx context.Context, who *Caller, r *http.Request) (any, error) {
	name := r.PathValue("name")
	author, err := c.changing(who, r)
	if err != nil {
		c.AuditCluster(ClusterChange{name, "detached", author, who, err.Error()})
		return nil, err
	}
	e, err := c.Store.Get(ctx, ClusterPrefix+name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "no cluster %.64q was attached here: weftctl cluster list has those that are, and what a Secret attaches is detached there", name)
	}
	if err == nil {
		err = c.Store.Delete(ctx, e.Key, e.Revision)
	}
	if err != nil {
		return nil, err
	}
	c.AuditCluster(ClusterChange{name, "detached", author, who, ""})
	return ClusterResult{Name: name, Is: "detached"}, nil
}

// changing is who attaches or detaches a cluster, if he may: whose objects are the mesh's is not for everybody who moves traffic.
func (c *Console) changing(who *Caller, r *http.Request) (author string, err error) {
	if author, err = who.author(r.URL.Query().Get("author")); err != nil {
		return who.Name, err
	}
	return author, who.may(Admin, "", fmt.Sprintf("attach or detach clusters (%.64s)", r.PathValue("name")))
}
