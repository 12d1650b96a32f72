package peermetadata

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
)

// workload is what is told of one.
type workload struct {
	instance, cluster, namespace string
	name                         string
	service, revision            string // the canonical ones
	app, version                 string
	kind                         string // of kinds; empty: not known
	identity, region, zone       string
	labels                       map[string]string // that were asked for beside
}

// kinds are what may own a workload's instances.
var kinds = []string{"pod", "deployment", "job", "cronjob"}

// isFixed tells labels that have places of their own.
func isFixed(label string) bool {
	switch label {
	case "service.istio.io/canonical-name", "service.istio.io/canonical-revision", "app.kubernetes.io/name", "app", "app.kubernetes.io/version", "version":
		return true
	}
	return false
}

// kindOf is what an owner is: "kubernetes://apis/apps/v1/namespaces/n/deployments/name" is a deployment.
func kindOf(owner, name string) string {
	cut := len(owner) - len("s/") - len(name)
	if cut <= 0 {
		return ""
	}
	i := strings.LastIndexByte(owner[:cut], '/')
	if i < 0 || !slices.Contains(kinds, owner[i+1:cut]) {
		return ""
	}
	return owner[i+1 : cut]
}

// owner is what kindOf reads; empty if the kind is not known.
func (w *workload) owner() string {
	if w.kind == "" {
		return ""
	}
	return "kubernetes://apis/apps/v1/namespaces/" + w.namespace + "/" + w.kind + "s/" + w.name
}

// pairs are the names under which logs and expressions see it, in the order in which they are written.
func (w *workload) pairs() [][2]string {
	all := [][2]string{{"type", w.kind}, {"workload", w.name}, {"name", w.instance}, {"cluster", w.cluster}, {"namespace", w.namespace}, {"service", w.service},
		{"revision", w.revision}, {"app", w.app}, {"version", w.version}, {"identity", w.identity}, {"region", w.region}, {"availability_zone", w.zone}}
	return slices.DeleteFunc(all, func(p [2]string) bool { return p[1] == "" })
}

// acquaintance is a workload as filter state: an object for expressions and JSON, and a text.
type acquaintance struct{ object, text config.State }

// state makes what is set for an exchange whose peer the workload is; downstream or upstream says which.
func (w *workload) state(side string) acquaintance {
	fields := map[string]any{}
	var text []string
	for _, p := range w.pairs() {
		if fields[p[0]] = p[1]; p[0] != "identity" {
			text = append(text, p[0]+"="+p[1])
		}
	}
	if len(w.labels) > 0 {
		labels := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(w.labels)) {
			labels[name] = w.labels[name]
			text = append(text, "labels[]"+name+"="+w.labels[name])
		}
		fields["labels"] = labels
	}
	object, err := json.Marshal(fields)
	if err != nil {
		object = []byte("{}") // texts can always be written
	}
	all := strings.Join(text, ",")
	return acquaintance{
		object: config.State{Name: side + "_peer", Value: all, Object: string(object), Text: string(object), Fields: fields},
		text:   config.State{Name: side + "_peer_obj", Value: all, Hashable: true},
	}
}
