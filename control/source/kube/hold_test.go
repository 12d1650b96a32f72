package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
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
