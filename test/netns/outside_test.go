package netns

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A workload is taken out of the mesh, and comes back, under load: nothing is lost, by those who call it or of what it calls; while it is outside whoever comes is let in, in plain text and past its policies, and STRICT and they hold as soon as it is back.
func TestAWorkloadIsOutside(t *testing.T) {
	client, web := newPod(t), newPod(t)
	m := newMesh(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  addresses: [10.96.7.7]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: %s, labels: {app: web}, serviceAccount: web}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{to: [{operation: {paths: [/secret]}}]}]}
`, web.ip))
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Forwarded-Client-Cert"))
	})}
	t.Cleanup(func() { app.Close() })
	go app.Serve(web.listen(t, web.ip+":8080"))
	web.injected(t, m, "web")
	client.injected(t, m, "client")

	// Each asks on a connection of its own each time, and one on one that it keeps.
	ask := func(c *http.Client, to string) (status int, said string) {
		r, err := c.Get(to)
		if err != nil {
			return 0, err.Error()
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	anew := &http.Client{Transport: client.transport(""), Timeout: 5 * time.Second}
	stranger := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	known := func(want bool) func() bool {
		return func() bool {
			status, said := ask(anew, "http://10.96.7.7/")
			return status == http.StatusOK && strings.Contains(said, "URI=spiffe://cluster.local/ns/shop/sa/client") == want
		}
	}
	eventually(t, "the client is taken as itself", known(true))
	kept := &http.Client{Transport: client.transport(""), Timeout: 5 * time.Second}
	kept.Transport.(*http.Transport).DisableKeepAlives = false
	stop := make(chan struct{})
	var all sync.WaitGroup
	var done atomic.Int64
	for _, c := range []*http.Client{anew, kept} {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, said := ask(c, "http://10.96.7.7/"); status != http.StatusOK {
					t.Errorf("lost: %d %s", status, said)
					return
				}
				done.Add(1)
			}
		})
	}
	end := sync.OnceFunc(func() { close(stop); all.Wait() })
	defer end()
	change := func(method, labels, body string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://127.0.0.1:9876/api/broken/workload/shop/"+labels, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got.Body.Close(); got.StatusCode != http.StatusOK {
			t.Fatal(method, labels, got.Status)
		}
	}
	closed := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { status, _ := ask(stranger, "http://"+web.ip+":8080/"); return status == 0 })
		if status, _ := ask(anew, "http://10.96.7.7/secret"); status != http.StatusForbidden {
			t.Errorf("%s, and what is denied gets %d: want 403", what, status)
		}
	}
	closed("who has no certificate is not let in")
	change(http.MethodPut, "app=web", `{"reason": "does it work without?"}`)
	eventually(t, "who has no certificate is let in", func() bool {
		status, _ := ask(stranger, "http://"+web.ip+":8080/secret")
		return status == http.StatusOK
	})
	eventually(t, "the client comes in plain text", known(false))
	change(http.MethodDelete, "app=web", "")
	eventually(t, "the client is taken as itself again", known(true))
	closed("it is back, and nobody else is let in")
	end()
	t.Logf("%d requests, none lost", done.Load())
	if done.Load() < 100 {
		t.Error("that is too few to say anything")
	}
	// Of the one who calls: it has no identity outside, and is not let in where one is wanted.
	change(http.MethodPut, "app=client", `{"reason": "does it work without?"}`)
	eventually(t, "the client is not let in", func() bool { status, _ := ask(anew, "http://"+web.ip+":8080/"); return status == 0 })
	change(http.MethodDelete, "app=client", "")
	eventually(t, "the client is taken as itself again", known(true))
}
