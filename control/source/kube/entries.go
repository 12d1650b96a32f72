package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/source"
)

const (
	entriesLock = "weftd-workloads" // the Lease of who takes them away
	aliveLock   = "weftd-alive-"    // how the Leases of those begin who have machines
)

// Entries are the WorkloadEntries of machines that register themselves, as objects of an API server.
type Entries struct {
	Server    *Server
	Namespace string // where Leases are
	Revision  string
	Log       *slog.Logger
}

// maxTries is how often something is written anew that somebody else writes, too.
const maxTries = 5

// errAgain says that somebody has written meanwhile.
var errAgain = errors.New("somebody has written it meanwhile")

// Change implements register.Keeper. The status of an entry is a resource of its own: it is written after the rest, and by whoever comes next if that fails.
func (e Entries) Change(ctx context.Context, key source.Key, decide func(*source.Object) *source.Object) error {
	for tries := 1; ; tries++ {
		err := e.try(ctx, key, decide)
		if err == nil || !errors.Is(err, errAgain) || tries == maxTries || ctx.Err() != nil {
			return err
		}
	}
}

func (e Entries) try(ctx context.Context, key source.Key, decide func(*source.Object) *source.Object) error {
	collection := pathOf(key.Kind, key.Namespace)
	path := collection + "/" + key.Name
	var raw object
	var was *source.Object
	err := e.Server.answer(ctx, http.MethodGet, path, nil, &raw)
	if err == nil {
		was, err = readEntry(raw, source.Origin{Source: e.Server.Name})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return whyNot(err)
	}
	is := decide(was)
	switch {
	case is == was:
		return nil
	case is == nil:
		meta := raw["metadata"].(object)
		return whyNot(e.Server.answer(ctx, http.MethodDelete, path, object{"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": object{"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}}, &raw))
	case was == nil:
		if raw, err = e.manifest(ctx, is); err == nil {
			err = e.Server.answer(ctx, http.MethodPost, collection, raw, &raw)
		}
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("a WorkloadEntry cannot be made in the namespace %s: want that, and the kind as weftctl manifests has it: %w", key.Namespace, err)
		}
		if err != nil {
			return whyNot(err)
		}
	case !maps.Equal(is.Annotations, was.Annotations):
		// What nobody reads here stays as it is.
		all, _ := raw["metadata"].(object)["annotations"].(object)
		if all == nil {
			all = object{}
			raw["metadata"].(object)["annotations"] = all
		}
		for name := range was.Annotations {
			delete(all, name)
		}
		for name, value := range is.Annotations {
			all[name] = value
		}
		if err := e.Server.answer(ctx, http.MethodPut, path, raw, &raw); err != nil {
			return whyNot(err)
		}
	}
	if was != nil && (is.Health == was.Health || is.Health != nil && was.Health != nil && *was.Health == *is.Health) || was == nil && is.Health == nil {
		return nil
	}
	status, _ := raw["status"].(object)
	if status == nil {
		status = object{}
		raw["status"] = status
	}
	all := []any{}
	if is.Health != nil {
		all = append(all, is.Health.Condition())
	}
	list, _ := status["conditions"].([]any)
	for _, one := range list {
		if c, is := one.(object); is && c["type"] != source.HealthCondition {
			all = append(all, one)
		}
	}
	status["conditions"] = all
	return whyNot(e.Server.answer(ctx, http.MethodPut, path+"/status", raw, &raw))
}

// pathOf is where objects of a kind of Istio's are in a namespace.
func pathOf(kind source.Kind, namespace string) string {
	f := &source.Forms[kind]
	return "/apis/" + f.Group + "/" + f.Versions[0] + "/namespaces/" + namespace + "/" + f.Plural
}

// readEntry reads an entry as the server has it.
func readEntry(raw object, from source.Origin) (*source.Object, error) {
	text, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	served, err := source.ReadServed(source.WorkloadEntry, text, from)
	if err == nil && served.Object == nil {
		err = fmt.Errorf("the WorkloadEntry %s/%s is wrong, and left alone: put it right or delete it", served.Namespace, served.Name)
	}
	return served.Object, err
}

// manifest is an entry as it is made, which goes when its group does.
func (e Entries) manifest(ctx context.Context, o *source.Object) (raw object, err error) {
	made := *o
	made.Health = nil
	text, err := source.Manifest(&made)
	if err == nil {
		err = json.Unmarshal(text, &raw)
	}
	if err != nil {
		return nil, err
	}
	var group struct {
		APIVersion, Kind string
		Metadata         struct{ Name, UID string }
	}
	switch err := e.Server.answer(ctx, http.MethodGet, pathOf(source.WorkloadGroup, o.Namespace)+"/"+o.Annotations[source.GroupAnnotation], nil, &group); {
	case err == nil:
		raw["metadata"].(object)["ownerReferences"] = []any{object{"apiVersion": group.APIVersion, "kind": group.Kind, "name": group.Metadata.Name, "uid": group.Metadata.UID, "controller": true}}
	case !apierrors.IsNotFound(err): // else it is one of a directory, or was applied to weftd
		return nil, err
	}
	return raw, nil
}

// whyNot is what has gone wrong, or that it is to be tried again.
func whyNot(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %w", errAgain, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf(`%w: a ClusterRole of ours needs {apiGroups: [networking.istio.io], resources: [workloadentries, workloadentries/status], verbs: [get, create, update, delete]}`, err)
	}
	return err
}

// Beat implements register.Keeper.
func (e Entries) Beat(name string) lease.Place { return e.Server.leaseAt(e.Namespace, aliveLock+name) }

// Forget implements register.Keeper.
func (e Entries) Forget(ctx context.Context, name string) error {
	var gone object
	err := e.Server.answer(ctx, http.MethodDelete, e.Server.leaseAt(e.Namespace, aliveLock+name).path+"/"+aliveLock+name, nil, &gone)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Lead implements register.Keeper.
func (e Entries) Lead(ctx context.Context, do func(context.Context)) {
	e.Server.Lead(ctx, e.Namespace, leaseOf(entriesLock, e.Revision), e.Log, do)
}
