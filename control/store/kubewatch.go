package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// List implements Store.
func (k *Kubernetes) List(ctx context.Context, prefix string) ([]Entry, error) {
	all, _, _, err := k.list(ctx, prefix)
	return all, err
}

// list reads all at one time, and gives the number of the last commit then, and the version of all from which a watch goes on. Where somebody has taken the head
// away, the last commit is the last that is carried over: a lower number would have later values of its keys pass for newer.
func (k *Kubernetes) list(ctx context.Context, prefix string) (all []Entry, number int64, version string, err error) {
	var h head
	var last int64
	entries := map[string]Entry{}
	for next := ""; ; {
		var page struct {
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
				Continue        string `json:"continue"`
			} `json:"metadata"`
			Items []kubeSecret `json:"items"`
		}
		query := url.Values{"labelSelector": {kubeLabel}, "limit": {strconv.Itoa(kubePage)}}
		if next != "" {
			query.Set("continue", next)
		}
		status, err := k.read(ctx, query, func(body io.Reader) error { return json.NewDecoder(io.LimitReader(body, maxPage)).Decode(&page) })
		if status == http.StatusGone && next != "" { // what was there when it began is forgotten: it begins anew
			next, h, last = "", head{}, 0
			clear(entries)
			continue
		}
		if err != nil {
			return nil, 0, "", k.why(ctx, prefix, status, err)
		}
		for i := range page.Items {
			s := &page.Items[i]
			last = max(last, s.number())
			switch e := s.entry(); {
			case s.Metadata.Name == kubeHead:
				if h, err = readHead(s); err != nil {
					return nil, 0, "", failed(prefix, err)
				}
			case strings.HasPrefix(e.Key, prefix) && e.Revision != Absent:
				entries[e.Key] = e
			}
		}
		if version, next = page.Metadata.ResourceVersion, page.Metadata.Continue; next == "" {
			break
		}
	}
	for _, e := range h.entries {
		if strings.HasPrefix(e.Key, prefix) {
			if entries[e.Key] = e; e.Revision == Absent {
				delete(entries, e.Key)
			}
		}
	}
	if h.version == "" {
		h.number = last
	}
	for _, e := range entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return all, h.number, version, nil
}

// read asks about several.
func (k *Kubernetes) read(ctx context.Context, query url.Values, read func(io.Reader) error) (int, error) {
	ctx, cancel := k.asking(ctx, kubeTime)
	defer cancel()
	body, status, err := k.api.Call(ctx, http.MethodGet, k.path, query, nil)
	if err != nil {
		return status, err
	}
	defer body.Close()
	return status, read(body)
}

// Watch implements Store. It returns when the API server does not answer.
func (k *Kubernetes) Watch(ctx context.Context, prefix string, each func([]Event)) error {
	if k.ctx.Err() != nil {
		return failed(prefix, ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.ctx, cancel)()
	var w watchers
	var parts sync.WaitGroup
	var away error
	err := w.watch(ctx, prefix, func(join func()) ([]Entry, error) {
		join()
		all, number, version, err := k.list(ctx, prefix)
		if err != nil {
			return nil, err
		}
		parts.Go(func() {
			if away = k.follow(ctx, prefix, all, number, version, &w); away != nil {
				cancel()
			}
		})
		return all, nil
	}, each)
	cancel()
	parts.Wait()
	switch {
	case k.ctx.Err() != nil:
		return failed(prefix, ErrClosed)
	case away != nil:
		return away
	}
	return err
}

// follow tells each commit after one, until the context ends or the server does not answer. It knows what it has told, for when a watch cannot be taken up.
func (k *Kubernetes) follow(ctx context.Context, prefix string, all []Entry, number int64, version string, w *watchers) error {
	known := make(map[string]Revision, len(all))
	for _, one := range all {
		known[one.Key] = one.Revision
	}
	for {
		var whole bool
		var err error
		number, version, whole, err = k.followOnce(ctx, prefix, number, version, known, w)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return k.why(ctx, prefix, 0, err)
		}
		if whole {
			continue // it has only ended
		}
		now, last, at, err := k.list(ctx, prefix)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		w.tell(difference(now, known))
		number, version = last, at
	}
}

// kubeWatch is how long a watch may last, in seconds: then it is taken up anew.
const kubeWatch = "240"

// followOnce tells commits until the watch ends, and gives the number and the version up to which it has; whole: nothing was missed. An error says that the server is not
// there.
func (k *Kubernetes) followOnce(ctx context.Context, prefix string, number int64, version string, known map[string]Revision, w *watchers) (int64, string, bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, status, err := k.api.Call(ctx, http.MethodGet, k.path, url.Values{"watch": {"true"}, "fieldSelector": {"metadata.name=" + kubeHead}, "resourceVersion": {version},
		"allowWatchBookmarks": {"true"}, "timeoutSeconds": {kubeWatch}}, nil)
	if status == http.StatusGone {
		return number, version, false, nil
	}
	if err != nil {
		return number, version, false, err
	}
	defer body.Close()
	from := &allowance{from: body}
	for d := json.NewDecoder(from); ; {
		var event struct {
			Type   string     `json:"type"`
			Object kubeSecret `json:"object"`
		}
		from.left = maxEvent
		if err := d.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) {
				return number, version, true, nil
			}
			return number, version, false, err
		}
		s := &event.Object
		switch event.Type {
		case "ADDED", "MODIFIED":
			h, err := readHead(s)
			if err != nil || h.number > number+1 {
				return number, version, false, nil // what was missed, or is wrong, a list finds out
			}
			if h.number <= number {
				break
			}
			number = h.number
			var events []Event
			for _, e := range h.entries {
				if !strings.HasPrefix(e.Key, prefix) {
					continue
				}
				if known[e.Key] = e.Revision; e.Revision == Absent {
					delete(known, e.Key)
				}
				events = append(events, Event{e})
			}
			w.tell(events)
		case "BOOKMARK":
		default: // it is gone, or an error: of what is forgotten, mostly
			return number, version, false, nil
		}
		version = s.Metadata.ResourceVersion
	}
}

// allowance is a stream of which only so much is read before left is set again.
type allowance struct {
	from io.Reader
	left int
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, fmt.Errorf("an event has more than %d bytes", maxEvent)
	}
	n, err := a.from.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}
