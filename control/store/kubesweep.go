package store

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
)

// sweep takes away the Secrets of keys that have been gone for long.
func (k *Kubernetes) sweep() {
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-time.After(kubeSweep):
		}
		k.sweepOnce(time.Now().Add(-kubeKept)) // what it cannot do now is done the next time
	}
}

func (k *Kubernetes) sweepOnce(before time.Time) {
	var page struct {
		Items []kubeSecret `json:"items"`
	}
	query := url.Values{"labelSelector": {kubeLabel + "," + kubeGone}}
	if _, err := k.read(k.ctx, query, func(body io.Reader) error { return json.NewDecoder(io.LimitReader(body, maxPage)).Decode(&page) }); err != nil {
		return
	}
	for i := range page.Items {
		m := &page.Items[i].Metadata
		if since, err := time.Parse(time.RFC3339, m.Annotations[kubeSince]); err != nil || since.After(before) {
			continue
		}
		// Only if it is still that one: it may be there again by now.
		text, _ := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": map[string]string{"resourceVersion": m.ResourceVersion}})
		ctx, cancel := k.asking(k.ctx, kubeTime)
		if body, _, err := k.api.Call(ctx, http.MethodDelete, k.path+"/"+m.Name, nil, text); err == nil {
			body.Close()
		}
		cancel()
	}
}
