package register

import (
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
)

// What an entry says of the machine that it is of, in Istio's annotations beside source.GroupAnnotation: the control plane that has or had its stream, and since when it is connected, or is not any more.
const (
	annotationController   = "istio.io/workloadController"
	annotationConnected    = "istio.io/connectedAt"
	annotationDisconnected = "istio.io/disconnectedAt"
)

// Group is the WorkloadGroup of whose machines an entry is one; empty: its author has written it.
func Group(o *source.Object) string { return o.Annotations[source.GroupAnnotation] }

// maxName bounds the name of an object, in bytes, as Kubernetes does.
const maxName = 253

// nameOf is how the entry of a machine is called, as with Istio: GROUP-ADDRESS[-NETWORK], of which one that is too long loses its beginning.
func nameOf(p *translate.Proxy) string {
	name := p.Group + "-" + strings.ReplaceAll(p.Address, ":", "-")
	if p.Network != "" {
		name += "-" + p.Network
	}
	return strings.TrimLeft(name[max(0, len(name)-maxName):], "-.")
}

// account is the service account of an entry, or of the machines of a template: one that says none means the one that every namespace has.
func account(of *networking.WorkloadEntry) string {
	if name := of.GetServiceAccount(); name != "" {
		return name
	}
	return "default"
}

// entryOf makes the entry of a machine of a group. Where it is says the machine, and all else the group: which services a machine serves, and what policies are for it, is not its own to
// choose.
func entryOf(p *translate.Proxy, group *source.Object) *source.Object {
	g := group.Spec.(*networking.WorkloadGroup)
	spec := proto.CloneOf(g.GetTemplate())
	spec.Address, spec.ServiceAccount = p.Address, account(spec)
	if labels := g.GetMetadata().GetLabels(); len(labels) > 0 {
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		maps.Copy(spec.Labels, labels)
	}
	if p.Network != "" {
		spec.Network = p.Network
	}
	if where := p.Locality; where != (mesh.Locality{}) {
		spec.Locality = strings.TrimRight(where.Region+"/"+where.Zone+"/"+where.SubZone, "/")
	}
	o := &source.Object{Key: source.Key{Kind: source.WorkloadEntry, Namespace: p.Namespace, Name: nameOf(p)}, Labels: spec.Labels, Annotations: map[string]string{}, Spec: spec}
	maps.Copy(o.Annotations, g.GetMetadata().GetAnnotations())
	if revision := group.Labels[source.RevisionLabel]; revision != "" { // or those of another one would look after it
		o.Labels = maps.Clone(spec.Labels)
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[source.RevisionLabel] = revision
	}
	o.Annotations[source.GroupAnnotation] = group.Name
	if p.Probed {
		o.Annotations[source.HealthAnnotation] = "true"
	}
	return o
}

// stamp is a time as an annotation has it. Times are of UTC, so that one text is before another if its time is.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

// claims says whether whoever has had a machine's stream since a time has a newer one than the entry knows of, and more to say than who has it.
func claims(was *source.Object, controller string, since time.Time) bool {
	if was.Annotations[annotationController] == controller && was.Annotations[annotationConnected] != "" {
		return false // it says so
	}
	if was.Annotations[annotationConnected] == "" {
		return true
	}
	at, err := time.Parse(time.RFC3339Nano, was.Annotations[annotationConnected])
	return err != nil || at.Before(since)
}

// connected is an entry whose machine has a stream to a control plane since then, and is as well as was last said; nil: nothing was. It is the same where that changes nothing.
func connected(was *source.Object, controller string, since time.Time, health *source.Health) *source.Object {
	is := *was
	if claims(was, controller, since) {
		is.Annotations = maps.Clone(was.Annotations)
		is.Annotations[annotationController], is.Annotations[annotationConnected] = controller, stamp(since)
		delete(is.Annotations, annotationDisconnected)
	} else if was.Annotations[annotationController] != controller {
		return was
	}
	if _, probed := is.Annotations[source.HealthAnnotation]; probed && health != nil && (is.Health == nil || is.Health.Well != health.Well || is.Health.Because != health.Because) {
		is.Health = health
	} else if len(is.Annotations) == len(was.Annotations) && is.Annotations[annotationConnected] == was.Annotations[annotationConnected] {
		return was
	}
	return &is
}

// disconnected is an entry whose machine has no stream any more to the control plane that had its last one. It is the same if another has it by now.
func disconnected(was *source.Object, controller string, at time.Time) *source.Object {
	if was.Annotations[annotationController] != controller || was.Annotations[annotationConnected] == "" {
		return was
	}
	is := *was
	is.Annotations = maps.Clone(was.Annotations)
	delete(is.Annotations, annotationConnected)
	is.Annotations[annotationDisconnected] = stamp(at)
	return &is
}
