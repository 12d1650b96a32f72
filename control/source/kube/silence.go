package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// SilentKey is the key of a namespace's label by which a webhook is never asked: both that it is there and that it is not are wanted. The annotation of that name says who has silenced it, and why.
const SilentKey = "weftmesh.io/injection-off"

// silenceTries is how often a configuration is read again that somebody else has written meanwhile.
const silenceTries = 5

// Silence has an API server not ask the webhooks of control planes of ours about pods any more, of whatever revision, or has it ask them again, by taking away what Silence has added and nothing else. It needs no control plane, and the rights to
// list and update mutatingwebhookconfigurations. note is kept beside it, for people. It gives the names of the configurations that were changed; those that are so already are not.
func (s *Server) Silence(ctx context.Context, off bool, note string) (changed []string, err error) {
	const path = "/apis/" + webhookGroup + "/v1/mutatingwebhookconfigurations"
	var list struct{ Items []json.RawMessage }
	if err := s.read(ctx, http.MethodGet, path, url.Values{"labelSelector": {appLabel + "=" + webhookApp}}, nil, &list); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, errors.New("the API server has no MutatingWebhookConfiguration with the label " + appLabel + "=" + webhookApp + ": nobody puts sidecars of ours into pods there")
	}
	for _, text := range list.Items {
		for try := 1; ; try++ {
			one, err := whole(text)
			if err != nil {
				return changed, err
			}
			meta, _ := one["metadata"].(map[string]any)
			name, _ := meta["name"].(string)
			if !hush(one, off, note) {
				break
			}
			body, err := json.Marshal(one)
			if err != nil {
				return changed, err
			}
			// The version that was read is in it: what somebody else writes meanwhile is not lost.
			err = s.read(ctx, http.MethodPut, path+"/"+url.PathEscape(name), url.Values{"fieldManager": {"weftctl"}}, body, nil)
			if apierrors.IsConflict(err) && try < silenceTries {
				if err := s.read(ctx, http.MethodGet, path+"/"+url.PathEscape(name), nil, nil, &text); err != nil {
					return changed, err
				}
				continue
			}
			if err != nil {
				return changed, fmt.Errorf("%s: %w", name, err)
			}
			changed = append(changed, name)
			break
		}
	}
	return changed, nil
}

// read asks, and reads what is answered.
func (s *Server) read(ctx context.Context, method, path string, query url.Values, body []byte, into any) error {
	answer, _, err := s.Call(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, maxAnswer+1))
	switch {
	case err != nil || into == nil:
		return err
	case len(text) > maxAnswer:
		return fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return json.Unmarshal(text, into)
}

// whole is an object with all its fields, and numbers as they are.
func whole(text []byte) (one map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&one)
	return one, err
}

// hush changes a configuration; false: it is so already.
func hush(one map[string]any, off bool, note string) (changed bool) {
	webhooks, _ := one["webhooks"].([]any)
	for _, w := range webhooks {
		webhook, is := w.(map[string]any)
		if !is {
			continue
		}
		selector, _ := webhook["namespaceSelector"].(map[string]any)
		if selector == nil {
			selector = map[string]any{}
		}
		all, _ := selector["matchExpressions"].([]any)
		others := slices.DeleteFunc(slices.Clone(all), func(e any) bool {
			expression, _ := e.(map[string]any)
			return expression["key"] == SilentKey
		})
		was := len(all) - len(others)
		switch {
		case off && was == 2 || !off && was == 0:
			continue
		case off:
			others = append(others, map[string]any{"key": SilentKey, "operator": "Exists"}, map[string]any{"key": SilentKey, "operator": "DoesNotExist"})
		}
		if selector["matchExpressions"] = others; len(others) == 0 {
			delete(selector, "matchExpressions")
		}
		webhook["namespaceSelector"], changed = selector, true
	}
	meta, _ := one["metadata"].(map[string]any)
	if !changed || meta == nil {
		return changed
	}
	notes, _ := meta["annotations"].(map[string]any)
	if notes == nil {
		notes = map[string]any{}
	}
	if delete(notes, SilentKey); off {
		notes[SilentKey] = note
	}
	meta["annotations"] = notes
	return true
}
