package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/control/source"
)

// podText is a Pod as an API server tells it: with all that nobody reads here.
func podText(i int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"shop-7c9b8d6f5-%05[1]d","generateName":"shop-7c9b8d6f5-","namespace":"shop","uid":"6c1a2f0e-9c1b-4f1e-8d7a-%012[1]d","resourceVersion":"%[1]d",
"creationTimestamp":"2026-11-26T10:00:00Z","labels":{"app":"shop","version":"v1","pod-template-hash":"7c9b8d6f5-%[2]d","security.istio.io/tlsMode":"istio","service.istio.io/canonical-name":"shop"},
"annotations":{"sidecar.istio.io/status":"{}","kubectl.kubernetes.io/default-container":"app","prometheus.io/port":"15020"},
"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"shop-7c9b8d6f5-%[2]d","uid":"6c1a2f0e-9c1b-4f1e-8d7a-000000000000","controller":true}],
"managedFields":[{"manager":"kubelet","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:status":{}}}}}}]},
"spec":{"volumes":[{"name":"token","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}]}}],
"containers":[{"name":"app","image":"registry.example.com/shop:1.2.3","ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],"env":[{"name":"A","value":"b"}],"resources":{"limits":{"cpu":"1"}}},
{"name":"istio-proxy","image":"registry.example.com/proxy:1.2.3","ports":[{"name":"http-envoy-prom","containerPort":15090,"protocol":"TCP"}]}],
"serviceAccountName":"shop","nodeName":"node-%03[3]d","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists"}]},
"status":{"phase":"Running","hostIP":"192.168.0.1","podIP":"10.%[4]d.%[5]d.%[6]d","podIPs":[{"ip":"10.%[4]d.%[5]d.%[6]d"}],"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-11-26T10:00:05Z"}],
"containerStatuses":[{"name":"app","ready":true,"restartCount":0,"imageID":"registry.example.com/shop@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}]}}`,
		i, i%50, i%200, i>>16, i>>8&255, i&255)
}

func clusterOf() *Cluster {
	return New(Options{Server: &Server{Name: "test"}, Namespace: "istio-system", MeshConfig: true, Log: slog.New(slog.DiscardHandler)})
}

func (c *Cluster) shelfOf(kind source.Kind) (*shelf, reader) {
	for _, f := range append(c.feeds, c.taught...) {
		if f.what == source.Forms[kind].Plural || f.what == source.Forms[kind].Plural+"."+source.Forms[kind].Group {
			return f.into.(*shelf), f.read
		}
	}
	return nil, nil
}

// What is kept of a Pod is a third of its text, and a twentieth of what it is as Kubernetes' own struct: 600 bytes, with all that is needed to find it.
func TestPodsAreSmall(t *testing.T) {
	const pods, most = 5000, 700
	c := clusterOf()
	s, read := c.shelfOf(source.Pod)
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	func() {
		var all []any
		for i := range pods {
			one, err := read(podText(i))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
		s.Replace(all, "1")
		c.hold.dirty = map[source.Key]change{} // as when it has been told
	}()
	each := (used() - before) / pods
	t.Logf("%d bytes a Pod, of %d as it is told", each, len(podText(pods-1)))
	if len(s.have) != pods || each > most {
		t.Errorf("%d Pods, %d bytes each: want at most %d", len(s.have), each, most)
	}
	runtime.KeepAlive(c)
}

// What was held back for kinds that are to be listed again is told when they have been, and if one of them cannot be, after a while all the same.
func TestWhatIsHeldBackIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clusterOf()
		h := c.hold
		c.known.Replace(nil, "1")
		for _, f := range append(c.feeds, c.taught...) {
			f.into.runs(true)
			f.into.Replace(nil, "1")
		}
		pods, read := c.shelfOf(source.Pod)
		services, _ := c.shelfOf(source.Service)
		if _, news, _ := h.batch(time.Now()); !news {
			t.Fatal("the first batch is not told")
		}
		if _, news, _ := h.batch(time.Now()); news {
			t.Error("it is told again")
		}
		add := func(i int) {
			one, err := read(podText(i))
			if err != nil {
				t.Fatal(err)
			}
			pods.Add(one)
		}
		told := func(what string, want int, wants time.Duration) {
			t.Helper()
			b, news, wait := h.batch(time.Now())
			if len(b.Changes) != want || news != (want > 0) || wait != wants {
				t.Errorf("%s: %d changes, %v, wait %v: want %d, wait %v", what, len(b.Changes), news, wait, want, wants)
			}
		}
		add(1)
		told("one", 1, 0)
		pods.lost()
		services.lost()
		pods.Replace(nil, "2")
		told("one that is gone, before Services are listed", 0, gathering)
		time.Sleep(time.Second)
		add(2)
		told("another", 0, gathering-time.Second)
		services.Replace(nil, "2")
		told("all at once", 2, 0)
		services.lost()
		add(3)
		told("again", 0, gathering)
		time.Sleep(gathering)
		told("although Services cannot be listed", 1, 0)
		add(4)
		told("and from then on at once", 1, 0)
		one, _ := read(podText(4))
		pods.Delete(one)
		add(4)
		told("what was gone for a moment", 1, 0)
		add(4)
		told("the same", 0, 0)
	})
}

// TestObjectsOfAnAttachedClusterAreBounded has no more be read than may be, in whichever way they come and of whichever kind, what there is be kept, and room be made by what goes.
func TestObjectsOfAnAttachedClusterAreBounded(t *testing.T) {
	full := 0
	c := New(Options{Server: &Server{Name: "east"}, Attached: true, Discovery: true, Full: func() { full++ }, Log: slog.New(slog.DiscardHandler)})
	if c.hold.most != maxAttached || clusterOf().hold.most != 0 {
		t.Fatalf("%d and %d objects may there be", c.hold.most, clusterOf().hold.most)
	}
	c.hold.most = 10
	feedOf := func(kind source.Kind) *feed {
		for _, f := range c.feeds {
			if f.what == source.Forms[kind].Plural {
				return f
			}
		}
		return nil
	}
	services, spaces := feedOf(source.Service), feedOf(source.Namespace)
	list := func(f *feed, from, n int, further bool) error {
		t.Helper()
		var text []string
		for i := range n {
			text = append(text, fmt.Sprintf(`{"metadata":{"namespace":"a","name":"s%d"},"spec":{"ports":[{"port":80}]}}`, from+i))
		}
		if !further {
			f.into.begins()
		}
		l, err := readList(strings.NewReader(`{"metadata":{"resourceVersion":"1"},"items":[`+strings.Join(text, ",")+`]}`), f.reads)
		if err != nil {
			f.into.lost()
			return err
		}
		var all []any
		for _, one := range l.Items {
			all = append(all, one)
		}
		if from == 0 {
			f.into.Replace(all, "1")
		}
		return nil
	}
	event := func(f *feed, name string) error {
		e := newEventReader(io.NopCloser(strings.NewReader(fmt.Sprintf(`{"type":"ADDED","object":{"metadata":{"namespace":"a","name":%q},"spec":{"ports":[{"port":81}]}}}`, name))), f.reads, nil)
		_, one, err := e.Decode()
		if err == nil {
			f.into.Add(one)
		}
		return err
	}
	is := func(what string, err error, fits bool, n int) {
		t.Helper()
		if fits != (err == nil) || err != nil && !strings.Contains(err.Error(), errTooMany.Error()) || len(c.hold.keys()) != n {
			t.Errorf("%s: %v, and %d are there, want %d", what, err, len(c.hold.keys()), n)
		}
		if bad := (unreadable{}); err != nil && !errors.As(ofAnswer(err), &bad) {
			t.Errorf("%s: %v would have the server be lost", what, err)
		}
	}
	is("a list", list(services, 0, 6, false), true, 6)
	is("another kind", list(spaces, 0, 4, false), true, 10)
	is("the same again", list(services, 0, 6, false), true, 10)
	is("another version", event(services, "s1"), true, 10)
	is("one more", event(services, "more"), false, 10)
	is("a longer list", list(services, 0, 7, false), false, 10)
	is("and one beside it, as before", event(spaces, "s1"), true, 10)
	is("a shorter one", list(spaces, 0, 2, false), true, 8)
	is("which makes room", event(services, "more"), true, 9)
	is("a page", list(spaces, 10, 3, false), true, 9)
	is("and a further one, of more than there may be", list(spaces, 20, 1, true), false, 9)
	if full != 3 {
		t.Errorf("%d times full, want 3", full)
	}
	// What comes and goes before it is told leaves nothing.
	for i := range 100 {
		is("one that comes", event(services, fmt.Sprint("brief", i)), true, 10)
		services.into.Delete(&item{read: []source.Served{{Key: source.Key{Cluster: "east", Kind: source.Service, Namespace: "a", Name: fmt.Sprint("brief", i)}}}})
	}
	if n := len(c.hold.dirty); n != 9 {
		t.Errorf("%d are to be told, want 9", n)
	}
}

// TestListsWithoutEndEnd has an API server tell objects without end, as a watch and as lists of many pages, and weftd read as many as there may be, and say so.
func TestListsWithoutEndEnd(t *testing.T) {
	for _, streams := range []bool{true, false} {
		t.Run(fmt.Sprint("streams ", streams), func(t *testing.T) {
			var number, full atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				watches, pods := r.URL.Query().Get("watch") != "", r.URL.Path == "/api/v1/pods"
				one := func() string {
					return fmt.Sprintf(`{"metadata":{"namespace":"a","name":"p%d","resourceVersion":"1"}}`, number.Add(1))
				}
				switch {
				case watches && !streams:
					w.WriteHeader(http.StatusBadRequest) // as one that knows no such lists
				case watches && pods:
					for r.Context().Err() == nil {
						io.WriteString(w, `{"type":"ADDED","object":`+one()+`}`)
					}
				case watches:
					io.WriteString(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}`)
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				case pods:
					fmt.Fprintf(w, `{"metadata":{"resourceVersion":"1","continue":"on"},"items":[%s,%s]}`, one(), one())
				default:
					io.WriteString(w, `{"metadata":{"resourceVersion":"1"},"items":[]}`)
				}
			}))
			defer s.Close()
			c := New(Options{Server: &Server{Name: "east", URL: s.URL, client: s.Client(), reviews: make(chan struct{}, 1)}, Attached: true, Discovery: true, Full: func() { full.Add(1) }, Log: slog.New(slog.DiscardHandler)})
			c.hold.most = 100
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); c.Watch(ctx, func(source.Batch) {}) }()
			defer func() { cancel(); <-ended }()
			end := time.Now().Add(20 * time.Second)
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				if slices.ContainsFunc(c.Status().Waits, func(why string) bool {
					return strings.HasPrefix(why, "pods cannot be listed and watched") && strings.Contains(why, "more than 100 objects")
				}) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("it is not said: %+v, after %d", c.Status(), number.Load())
				}
			}
			if full.Load() == 0 || len(c.hold.keys()) > 100 {
				t.Errorf("%d times full, and %d are there", full.Load(), len(c.hold.keys()))
			}
		})
	}
}

// What a watch costs: events as a server tells them, of Pods and of VirtualServices.
func BenchmarkReadEvents(b *testing.B) {
	c := clusterOf()
	for kind, text := range map[source.Kind][]byte{source.Pod: podText(1), source.VirtualService: []byte(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":{\"annotations\":{},\"name\":\"s1\",\"namespace\":\"town\"},\"spec\":{\"hosts\":[\"s1\"],\"http\":[{\"route\":[{\"destination\":{\"host\":\"s1\",\"subset\":\"v1\"},\"weight\":90}]}]}}\n"},
"creationTimestamp":"2026-11-26T10:00:00Z","generation":1,"managedFields":[{"apiVersion":"networking.istio.io/v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}},"f:spec":{".":{},"f:hosts":{},"f:http":{}}},"manager":"kubectl","operation":"Update","time":"2026-11-26T10:00:00Z"}],
"name":"s1","namespace":"town","resourceVersion":"123","uid":"6c1a2f0e-9c1b-4f1e-8d7a-000000000000"},"spec":{"hosts":["s1"],"http":[{"route":[{"destination":{"host":"s1","subset":"v1"},"weight":90},{"destination":{"host":"s1","subset":"v2"},"weight":10}]}]}}`)} {
		b.Run(kind.String(), func(b *testing.B) {
			_, read := c.shelfOf(kind)
			var all bytes.Buffer
			const n = 100
			for range n {
				all.WriteString(`{"type":"ADDED","object":`)
				json.Compact(&all, text)
				all.WriteString("}\n")
			}
			b.SetBytes(int64(all.Len() / n))
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; left -= n { // an object is an operation
				e := newEventReader(io.NopCloser(bytes.NewReader(all.Bytes())), read, nil)
				for range min(left, n) {
					if _, _, err := e.Decode(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// Of an object of Kubernetes' counts what is read of it, whatever others write into it every few seconds.
func TestWhatIsNotReadChangesNothing(t *testing.T) {
	c := clusterOf()
	kinds := 0
	for kind, form := range source.Forms {
		if !slices.Equal(form.Versions, []string{"v1"}) || strings.HasSuffix(form.Group, "istio.io") {
			continue
		}
		_, read := c.shelfOf(source.Kind(kind))
		if read == nil {
			t.Errorf("%s is not read", form.Name)
			continue
		}
		kinds++
		object := func(revision string) *source.Object {
			version := strings.TrimPrefix(form.Group+"/v1", "/")
			one, err := read(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"name":"a","namespace":"b","resourceVersion":%q,"labels":{"kubernetes.io/service-name":"s"},"managedFields":[{"manager":%[3]q}]},"addressType":"IPv4","status":{"said":%[3]q}}`, version, form.Name, revision))
			if err != nil || len(one.read) == 0 || one.read[0].Object == nil {
				t.Fatalf("%s: %+v, %v", form.Name, one, err)
			}
			return one.read[0].Object
		}
		if !same(object("1"), object("2")) {
			t.Errorf("%s: its status changes it", form.Name)
		}
	}
	if kinds < 9 {
		t.Errorf("%d kinds", kinds)
	}
}

// Ingresses are read of the first cluster alone, whatever else an attached one gives.
func TestIngressesAreTheFirstClusters(t *testing.T) {
	for _, one := range []struct {
		o    Options
		want bool
	}{{Options{}, true}, {Options{Attached: true}, false}, {Options{Attached: true, Discovery: true}, false}} {
		one.o.Server, one.o.Log = &Server{Name: "one"}, slog.New(slog.DiscardHandler)
		read := map[string]bool{}
		for _, f := range New(one.o).feeds {
			read[f.what] = true
		}
		if read["ingresses.networking.k8s.io"] != one.want || read["ingressclasses.networking.k8s.io"] != one.want || !read["services"] {
			t.Errorf("attached %v, discovery %v: %v", one.o.Attached, one.o.Discovery, read)
		}
	}
}
