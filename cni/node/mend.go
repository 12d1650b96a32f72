package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/weftmesh/weft/cni"
)

// What becomes of pods that were started without the plugin: their container istio-validation ends with 126, and kubelets start it again and again.
const (
	RepairCapture = "capture" // what it waits for is done, by way of one of the pod's processes
	RepairLabel   = "label"   // they get a label, for somebody to see
	RepairOff     = "off"
)

// label is Istio's, by which its tools find such pods.
const label = "cni.istio.io/uninitialized"

// Bounds of following the pods of a node.
const (
	following = 5 * time.Minute // how long the API server tells of changes before it is asked anew
	pausing   = 5 * time.Second // after something went wrong
	maxTold   = 256 << 20       // bytes that are read of it: more is asked for anew
)

// mend follows the pods of the node until the context ends.
func (a *Agent) mend(ctx context.Context) {
	done := map[string]int{} // the last attempt of each pod's container that was mended, by the pod's identity, plus one
	for ctx.Err() == nil {
		err := a.follow(ctx, done)
		if err == nil || ctx.Err() != nil {
			continue
		}
		a.o.Log.Warn("the pods of this node are not followed", "error", err)
		select {
		case <-time.After(pausing):
		case <-ctx.Done():
		}
	}
}

// follow reads all pods of the node, and then what changes, for a while.
func (a *Agent) follow(ctx context.Context, done map[string]int) error {
	query := url.Values{"fieldSelector": {"spec.nodeName=" + a.o.Node}}
	var all struct {
		Metadata struct {
			Version string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []cni.Pod `json:"items"`
	}
	if err := a.o.Server.Ask(ctx, http.MethodGet, "/api/v1/pods?"+query.Encode(), "", nil, &all); err != nil {
		return err
	}
	there := map[string]bool{}
	for i := range all.Items {
		there[all.Items[i].Metadata.UID] = true
		a.consider(ctx, &all.Items[i], done)
	}
	for uid := range done { // those that went while nobody told
		if !there[uid] {
			delete(done, uid)
		}
	}
	query.Set("watch", "1")
	query.Set("resourceVersion", all.Metadata.Version)
	query.Set("timeoutSeconds", fmt.Sprint(int(following.Seconds())))
	ctx, cancel := context.WithTimeout(ctx, following+pausing)
	defer cancel()
	stream, err := a.o.Server.Open(ctx, http.MethodGet, "/api/v1/pods?"+query.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	for d := json.NewDecoder(io.LimitReader(stream, maxTold)); ; {
		var event struct {
			Type   string  `json:"type"`
			Object cni.Pod `json:"object"`
		}
		if err := d.Decode(&event); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			a.consider(ctx, &event.Object, done)
		case "DELETED":
			delete(done, event.Object.Metadata.UID)
		default: // an error: what there was since is not known any more
			return nil
		}
	}
}

// consider mends a pod, once for each time that its container has ended.
func (a *Agent) consider(ctx context.Context, p *cni.Pod, done map[string]int) {
	attempt, is := p.Uncaptured()
	if uid := p.Metadata.UID; !is || done[uid] > attempt {
		return
	} else {
		done[uid] = attempt + 1
	}
	w, not, err := p.Wanted()
	if err == nil && w == nil {
		err = errors.New("it " + not)
	}
	log := a.o.Log.With("pod", p.Metadata.Namespace+"/"+p.Metadata.Name)
	a.stats.Inc(uncaptured)
	switch {
	case err != nil:
	case a.o.Repair == RepairLabel:
		if err = a.label(ctx, p); err == nil {
			a.stats.Inc(labelled)
			log.Warn("was started before the plugin was there, and got a label: delete it, so that it is made anew", "label", label)
		}
	default:
		var why string
		if why, err = a.capture(p, w); err == nil {
			a.stats.Inc(repaired)
			log.Info("was started before the plugin was there, and "+why, "attempt", attempt)
		}
	}
	if err != nil {
		a.stats.Inc(repairFailures)
		log.Warn("was started before the plugin was there, and is not mended: delete it, so that it is made anew", "error", err)
	}
}

func (a *Agent) label(ctx context.Context, p *cni.Pod) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.Metadata.UID, "labels": map[string]string{label: "true"}}})
	if err != nil {
		return err
	}
	return a.o.Server.Ask(ctx, http.MethodPatch, "/api/v1/namespaces/"+url.PathEscape(p.Metadata.Namespace)+"/pods/"+url.PathEscape(p.Metadata.Name), "application/merge-patch+json", patch, nil)
}
