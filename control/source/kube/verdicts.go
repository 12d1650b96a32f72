package kube

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weftmesh/weft/control/source"
)

// What is wrong with an object is a condition in its status, where its author looks: of this type, as long as something is.
const (
	verdictType = "weftmesh.io/Accepted"
	verdictLock = "weftd-status" // the Lease of who writes them
	refusedWord = "Refused"      // of an object that is kept out: its last good version is in force, if there was one
	warnedWord  = "Warned"       // of one that is served all the same
	judging     = 2 * time.Second
	maxVerdict  = 4 << 10 // bytes of a message: Kubernetes' conditions have 32 KB at most
	maxWrites   = 100     // at a time: the others are next
)

var verdictMark = []byte(`"` + verdictType + `"`)

// verdict is what is said of an object.
type verdict struct{ reason, message string }

// writeVerdicts has the status of each object say what is wrong with it, until ctx ends. Of several processes one does it.
func (c *Cluster) writeVerdicts(ctx context.Context) {
	c.Server.Lead(ctx, c.Namespace, leaseOf(verdictLock, c.Revision), c.Log, func(ctx context.Context) {
		written := map[source.Key]verdict{}
		said := map[string]bool{}
		tick := time.NewTicker(judging)
		defer tick.Stop()
		for {
			left := maxWrites
			want := c.verdicts()
			for _, f := range c.taught {
				s := f.into.(*shelf)
				for _, key := range s.unjudged(want, written) {
					if left--; left < 0 || ctx.Err() != nil {
						break
					}
					err := c.writeVerdict(ctx, f, key, want[key])
					if err == nil {
						if written[key] = want[key]; want[key] == (verdict{}) {
							delete(written, key)
						}
						continue
					}
					if why := err.Error(); !said[why] && len(said) < maxProblems {
						said[why] = true
						c.Log.Warn("what is wrong with an object is not written into its status", "cluster", c.Server.Name, "object", key.String(), "because", why)
					}
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// verdicts are what is said of objects of this cluster now.
func (c *Cluster) verdicts() map[source.Key]verdict {
	out := map[source.Key]verdict{}
	for _, p := range c.Verdicts() {
		if p.From.Source != c.Server.Name || p.Name == "" {
			continue
		}
		v := out[p.Key]
		if v.reason == "" || !p.Warning {
			if v.reason = refusedWord; p.Warning {
				v.reason = warnedWord
			}
		}
		text := strings.TrimPrefix(p.Path+": "+p.Text, ": ")
		if v.message != "" {
			text = v.message + "; " + text
		}
		if len(text) > maxVerdict {
			text = strings.ToValidUTF8(text[:maxVerdict], "") + " …"
		}
		if len(v.message) <= maxVerdict {
			v.message = text
		}
		out[p.Key] = v
	}
	return out
}

// unjudged are the objects whose status says something else than is wanted.
func (s *shelf) unjudged(want, written map[source.Key]verdict) (out []source.Key) {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	for key := range s.judged {
		if want[key] == (verdict{}) || written[key] != want[key] {
			out = append(out, key)
		}
	}
	for key := range want {
		if (s.have[key] != nil || s.problems[key] != nil) && written[key] != want[key] && !s.judged[key] {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, source.Compare)
	return out
}

// writeVerdict has an object's status say something, or nothing, unless it does.
func (c *Cluster) writeVerdict(ctx context.Context, f *feed, key source.Key, v verdict) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	collection := f.paths[f.served.Load()]
	at := strings.LastIndexByte(collection, '/')
	path := fmt.Sprintf("%s/namespaces/%s%s/%s", collection[:at], key.Namespace, collection[at:], key.Name)
	var o object
	err := c.Server.answer(ctx, http.MethodGet, path, nil, &o)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	status, _ := o["status"].(object)
	if status == nil {
		status = object{}
	}
	list, _ := status["conditions"].([]any)
	var was object
	var others []any
	for _, one := range list {
		if m, is := one.(object); is && m["type"] == verdictType {
			was = m
		} else {
			others = append(others, one)
		}
	}
	is := object{"type": verdictType, "status": map[bool]string{true: "False", false: "True"}[v.reason == refusedWord], "reason": v.reason, "message": v.message}
	if meta, _ := o["metadata"].(object); meta != nil {
		is["observedGeneration"] = meta["generation"]
	}
	switch {
	case v == (verdict{}) && was == nil:
		return nil
	case v == (verdict{}):
		is = nil
	case was["reason"] == v.reason && was["message"] == v.message && was["observedGeneration"] == is["observedGeneration"]:
		return nil
	case was["status"] == is["status"]:
		is["lastTransitionTime"] = was["lastTransitionTime"]
	default:
		is["lastTransitionTime"] = time.Now().UTC().Format(time.RFC3339)
	}
	if is != nil {
		others = append(others, is)
	}
	if status["conditions"] = others; len(others) == 0 {
		delete(status, "conditions")
	}
	o["status"] = status
	err = c.Server.answer(ctx, http.MethodPut, path+"/status", o, &o)
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // it is gone, or another one, of which we hear
		return nil
	case apierrors.IsForbidden(err):
		plural, group, _ := strings.Cut(f.what, ".")
		return fmt.Errorf(`%w: a ClusterRole of ours needs {apiGroups: [%s], resources: [%s/status], verbs: [update]}`, err, group, plural)
	}
	return err
}

// judged tells whether an object's status says something of ours.
func judged(data []byte) bool { return bytes.Contains(data, verdictMark) }
