package control

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/inject"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/telemetry"
)

// What an API server may take that asks about objects.
const (
	maxReview     = 8 << 20 // bytes: an object has 1.5 MB at most, and an update has two of them
	reviewHead    = 5 * time.Second
	reviewRead    = 10 * time.Second // which is as long as it waits for an answer
	reviewWrite   = 15 * time.Second
	reviewIdle    = 15 * time.Second
	reviewWaits   = 5 * time.Second // for a turn
	reviewsAtOnce = 8
	// Nobody shows here who he is, so that somebody may send as slowly as he likes. Most objects are small, and are read without waiting for others; of large ones
	// a few are read at a time.
	smallReview  = 256 << 10 // bytes
	largeAtOnce  = 4
	maxReviewers = 256 // connections
)

// webhookStats is what is counted of webhooks.
var webhookStats = &telemetry.Table{Kind: "webhook", Metrics: []telemetry.Metric{
	injected:      {Name: "injected_total"},
	notInjected:   {Name: "injection_skipped_total"},
	notInjectable: {Name: "injection_refused_total"},
	validated:     {Name: "validated_total"},
	invalid:       {Name: "validation_refused_total"},
	unanswered:    {Name: "unanswered_total"},
}}

const (
	injected      = iota // pods that got a sidecar
	notInjected          // pods that get none
	notInjectable        // pods that were refused
	validated            // objects that were let through
	invalid              // objects that were refused
	unanswered           // questions that are none, are too large, or came when there were too many
)

// webhook answers what an API server asks before it keeps an object.
type webhook struct {
	plane   *Plane
	server  *http.Server
	install atomic.Pointer[inject.Install]
	turns   chan struct{} // has room for those that are answered at a time
	large   chan struct{} // has room for the large ones that are read at a time
	stats   *telemetry.Values
}

// openWebhook has API servers come over TLS.
func (p *Plane) openWebhook() error {
	if p.Webhook == "" {
		if p.InjectConfig != "" {
			return errors.New("--inject-config is about what --webhook-addr serves: name an address by that, such as :15017")
		}
		return nil
	}
	h := &webhook{plane: p, turns: make(chan struct{}, reviewsAtOnce), large: make(chan struct{}, largeAtOnce), stats: p.stats.Acquire(webhookStats, "webhook.").Loop(0)}
	in, err := readInstall(p.InjectConfig)
	if err != nil {
		return err
	}
	if in.Image == "" {
		p.Log.Warn("no image of sidecars is named, and pods that name none themselves are refused: say it as image in the file of --inject-config")
	}
	h.install.Store(in)
	l, err := p.listen("--webhook-addr", p.Webhook)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /inject", func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, h.inject) })
	mux.HandleFunc("POST /inject/", func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, h.inject) })
	mux.HandleFunc("POST /validate", func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, h.validate) })
	h.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: reviewHead, ReadTimeout: reviewRead, WriteTimeout: reviewWrite, IdleTimeout: reviewIdle, MaxHeaderBytes: maxHead, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: reviewsAtOnce},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.secure.ca.ServerTLS(p.names()).GetCertificate, NextProtos: []string{"h2", "http/1.1"}},
		ErrorLog:  slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
	}
	p.webhook, p.WebhookAddress = h, l.Addr()
	p.parts.Go(func() { h.server.ServeTLS(p.crowd(l, maxReviewers), "", "") })
	return nil
}

// readInstall reads what is said of all sidecars; of no file: nothing.
func readInstall(path string) (*inject.Install, error) {
	var data []byte
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--inject-config: %w", err)
		}
		defer f.Close()
		if data, err = io.ReadAll(io.LimitReader(f, inject.MaxInstall+1)); err != nil {
			return nil, fmt.Errorf("--inject-config: %w", err)
		}
	}
	in, err := inject.ReadInstall(data)
	if err != nil {
		return nil, fmt.Errorf("--inject-config: %s: %w", path, err)
	}
	return in, nil
}

// reread reads that again. If something is wrong with it, what was read before stays in force.
func (h *webhook) reread() {
	in, err := readInstall(h.plane.InjectConfig)
	if err != nil {
		h.plane.Log.Error("what is said of sidecars is not read again: what was read before stays in force", "because", err)
		return
	}
	h.install.Store(in)
}

// answer reads a question, and answers it. What is no question has no uid to be answered with, and is said by HTTP.
func (h *webhook) answer(w http.ResponseWriter, r *http.Request, decide func(*inject.Request, *http.Request) *inject.Response) {
	no := func(code int, why string) {
		h.stats.Add(unanswered, 1)
		http.Error(w, why, code)
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		no(http.StatusUnsupportedMediaType, fmt.Sprintf("%.64q: want application/json", kind))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewWaits)
	defer cancel()
	turn := func(of chan struct{}) bool {
		select {
		case of <- struct{}{}:
			return true
		case <-ctx.Done():
			no(http.StatusServiceUnavailable, fmt.Sprintf("%d others are being answered, and it was waited for %v", cap(of), reviewWaits))
			return false
		}
	}
	if r.ContentLength < 0 || r.ContentLength > smallReview {
		if !turn(h.large) {
			return
		}
		defer func() { <-h.large }()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		no(http.StatusRequestEntityTooLarge, fmt.Sprintf("has more than %d bytes", maxReview))
		return
	}
	if err != nil {
		no(http.StatusBadRequest, "cannot be read: "+err.Error())
		return
	}
	q, err := inject.ReadReview(body)
	if err != nil {
		no(http.StatusBadRequest, err.Error())
		return
	}
	if !turn(h.turns) {
		return
	}
	defer func() { <-h.turns }()
	text, err := q.Answer(decide(q, r))
	if err != nil {
		no(http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

// inject answers what becomes of a pod.
func (h *webhook) inject(q *inject.Request, r *http.Request) *inject.Response {
	namespace, is := q.Pod()
	if !is {
		return inject.Allowed(fmt.Sprintf("weftd is asked to put a sidecar into what is no new Pod (%.64s %.64s): nothing is done", q.Operation, q.Kind.Kind))
	}
	if off := h.plane.broken.off(console.Injection); off != nil { // whatever else is known
		h.stats.Add(notInjected, 1)
		h.plane.broken.stats.Add(podsPassed, 1)
		return inject.Allowed(fmt.Sprintf("injection is switched off until %s, by %.128s: %.256s: this pod has no sidecar, and keeps no policy, until it is made anew", off.Until.Format(time.RFC3339), off.Author, off.Reason))
	}
	world, err := h.world(namespace, r.URL.Path)
	if err != nil {
		return inject.Failed(err.Error())
	}
	a, skipped := q.Decide(world)
	log := h.plane.Log.With("namespace", namespace, "pod", q.Name)
	switch {
	case !a.Allowed:
		h.stats.Add(notInjectable, 1)
		log.Debug("a pod is refused", "because", a.Status.Message) // which its author is told, and anybody may bring about
	case skipped != "":
		h.stats.Add(notInjected, 1)
		log.Debug("a pod gets no sidecar", "because", skipped)
	default:
		h.stats.Add(injected, 1)
		log.Debug("a pod gets a sidecar", "warnings", len(a.Warnings))
	}
	return a
}

// world is what the mesh says about the pods of a namespace. A path may say of which cluster and network they are: /inject/cluster/east/net/one.
func (h *webhook) world(namespace, path string) (*inject.World, error) {
	p := h.plane
	m := p.push.Mesh()
	if m == nil {
		return nil, errors.New("weftd has not read all that it has to yet: without it, it does not know what a sidecar is to be like")
	}
	install := *h.install.Load()
	words := strings.Split(strings.Trim(strings.TrimPrefix(path, "/inject"), "/"), "/")
	for i := 0; i+1 < len(words); i += 2 {
		value := strings.ReplaceAll(words[i+1], "--slash--", "/") // as Istio's paths have one in a name
		switch words[i] {
		case "cluster":
			install.Cluster = value
		case "net":
			install.Network = value
		default:
			return nil, fmt.Errorf("the path of the webhook says %.64q, which is not known: want /inject, or /inject/cluster/NAME/net/NAME", words[i])
		}
	}
	of := func(space string) []*source.Object {
		return append(m.Objects(source.ProxyConfig).In(space), m.Objects(source.ASMProxyConfig).In(space)...)
	}
	return &inject.World{Install: &install, Config: m.Settings.Config, Revision: p.Revision, Discovery: p.serviceName() + ":15012",
		Namespace: namespace, RootNamespace: m.Settings.RootNamespace, Root: of(m.Settings.RootNamespace), Space: of(namespace)}, nil
}

// serviceName is the one by which this control plane is found in its cluster, as weftctl manifests has it.
func (p *Plane) serviceName() string {
	if p.Revision != "" && p.Revision != "default" {
		return "weftd-" + p.Revision + "." + p.KubeNamespace + ".svc"
	}
	return "weftd." + p.KubeNamespace + ".svc"
}

// validate answers whether an object may be kept: as it would be read from the API server, and with the words that it would be kept out with.
func (h *webhook) validate(q *inject.Request, _ *http.Request) *inject.Response {
	if q.Operation != "CREATE" && q.Operation != "UPDATE" {
		return inject.Allowed()
	}
	kind, known := source.KindOf(q.Kind.Kind + "." + q.Kind.Group)
	if !known {
		return inject.Allowed(fmt.Sprintf("weftd knows no kind %.64s of %.64s, and does not look at it", q.Kind.Kind, q.Kind.Group))
	}
	object, going := named(q.Object)
	if going { // whoever keeps it from going has to be able to let it go, whatever is wrong with it
		return inject.Allowed()
	}
	s, err := source.ReadServed(kind, object, source.Origin{Source: fromCluster})
	if err != nil {
		h.stats.Add(invalid, 1)
		return inject.Refused(err.Error())
	}
	problems := s.Problems
	if s.Object != nil {
		problems = append(problems, push.Check(s.Object)...)
	}
	var wrong, warnings []string
	for _, one := range problems {
		if one.Warning {
			warnings = append(warnings, push.SayWhat(one))
		} else {
			wrong = append(wrong, push.SayWhat(one))
		}
	}
	if len(wrong) > 0 {
		h.stats.Add(invalid, 1)
		return inject.Refused(strings.Join(wrong, "; "), warnings...)
	}
	h.stats.Add(validated, 1)
	return inject.Allowed(warnings...)
}

// named is an object that has a name, of which the API server will make one if it has none yet; going: it is being deleted.
func named(text json.RawMessage) (_ json.RawMessage, going bool) {
	var o struct {
		Metadata struct {
			Name, GenerateName string
			DeletionTimestamp  *string
		} `json:"metadata"`
	}
	if json.Unmarshal(text, &o) != nil {
		return text, false
	}
	if o.Metadata.DeletionTimestamp != nil {
		return text, true
	}
	if o.Metadata.Name != "" || o.Metadata.GenerateName == "" {
		return text, false
	}
	var all map[string]json.RawMessage
	var meta map[string]json.RawMessage
	if json.Unmarshal(text, &all) != nil || json.Unmarshal(all["metadata"], &meta) != nil {
		return text, false
	}
	meta["name"], _ = json.Marshal(o.Metadata.GenerateName + "x")
	all["metadata"], _ = json.Marshal(meta)
	out, err := json.Marshal(all)
	if err != nil {
		return text, false
	}
	return out, false
}
