package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weftmesh/weft/control/source"
)

// The ConfigMap with the mesh's own configuration, and its keys, as Istio has them.
const (
	meshName    = "istio"
	keyMesh     = "mesh"
	keyNetworks = "meshNetworks"
)

// readMesh reads the mesh's own configuration. What the ConfigMap does not have is as if it were there and said nothing.
func (c *Cluster) readMesh(data []byte) (*item, error) {
	var in struct {
		Metadata metav1.ObjectMeta
		Data     map[string]string
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	i := &item{ObjectMeta: metav1.ObjectMeta{Namespace: in.Metadata.Namespace, Name: in.Metadata.Name, ResourceVersion: in.Metadata.ResourceVersion}}
	for _, one := range []struct {
		kind source.Kind
		key  string
		read func([]byte, source.Origin) (*source.Object, []source.Problem)
	}{{source.MeshConfig, keyMesh, source.ReadMeshConfig}, {source.MeshNetworks, keyNetworks, source.ReadMeshNetworks}} {
		from := source.Origin{Source: c.Server.Name, File: fmt.Sprintf("ConfigMap %s/%s, %s", c.Namespace, meshName, one.key)}
		s := source.Served{Key: source.Key{Kind: one.kind, Name: "default"}, Version: i.ResourceVersion}
		s.Object, s.Problems = one.read([]byte(in.Data[one.key]), from)
		i.read = append(i.read, s)
	}
	return i, nil
}

// MeshConfig asks for the mesh's own configuration once; a nil object: there is none.
func (c *Cluster) MeshConfig(ctx context.Context) (*source.Object, []source.Problem, error) {
	var raw json.RawMessage
	err := c.Server.answer(ctx, http.MethodGet, "/api/v1/namespaces/"+c.Namespace+"/configmaps/"+meshName, nil, &raw)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("control/source/kube: ConfigMap %s/%s: %w", c.Namespace, meshName, err)
	}
	i, err := c.readMesh(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("control/source/kube: ConfigMap %s/%s: %w", c.Namespace, meshName, err)
	}
	return i.read[0].Object, i.read[0].Problems, nil
}
