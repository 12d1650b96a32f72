package netns

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Two pods with what injection puts into them, under weftd: what a workload asks of a service arrives over mTLS, as who it is, and by TPROXY from its address; nobody else is let in; a kubelet's questions are answered, through probes and all.
func TestPodsOfAMesh(t *testing.T) {
	for _, mode := range []string{"REDIRECT", "TPROXY"} {
		t.Run(mode, func(t *testing.T) { podsOfAMesh(t, mode) })
	}
}

func podsOfAMesh(t *testing.T, mode string) {
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
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 9000, name: tcp, protocol: TCP}]
  endpoints: [{address: %s, labels: {app: web}, serviceAccount: web}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: STRICT}}
`, web.ip))
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr, " ", r.Header.Get("X-Forwarded-Client-Cert"))
	})}
	t.Cleanup(func() { app.Close() })
	go app.Serve(web.listen(t, web.ip+":8080"))
	web.injectedBy(t, m, mode, "web", `ISTIO_KUBE_APP_PROBERS={"/app-health/app/readyz":{"httpGet":{"path":"/","port":8080}}}`)
	client.injectedBy(t, m, mode, "client")

	ask := http.Client{Transport: client.transport(""), Timeout: 5 * time.Second}
	said := ""
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	eventually(t, "the client is taken as itself", func() bool {
		r, err := ask.Get("http://10.96.7.7/")
		if err != nil {
			said = err.Error()
			return false
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		said = string(b)
		return strings.Contains(said, "URI=spiffe://cluster.local/ns/shop/sa/client")
	})
	if host, _, _ := strings.Cut(said, ":"); (host == client.ip) != (mode == "TPROXY") {
		t.Errorf("the application sees %q, and its client is %s", said, client.ip)
	}
	// The mesh's names are known in the pod, to the C library as to others.
	if out := client.run("getent", "ahostsv4", "web.shop.internal"); !strings.HasPrefix(out, "10.96.7.7 ") {
		t.Errorf("web.shop.internal is %q: want 10.96.7.7", out)
	}
	// Who has no sidecar is not let in, by whatever port.
	stranger := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := stranger.Get("http://" + web.ip + ":8080/"); err == nil {
		r.Body.Close()
		t.Errorf("who has no certificate is answered with %s", r.Status)
	}
	// A kubelet, which has none, is answered: whether the sidecar is ready, how the application does, and by Prometheus's way.
	for _, path := range []string{":15021/healthz/ready", ":15020/app-health/app/readyz", ":15020/stats/prometheus", ":15090/stats/prometheus"} {
		r, err := stranger.Get("http://" + web.ip + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if r.Body.Close(); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	// What ends the sidecar is for who is in the pod.
	if r, err := stranger.Post("http://"+web.ip+":15020/quitquitquit", "", nil); err == nil {
		if r.Body.Close(); r.StatusCode == http.StatusOK {
			t.Error("somebody from outside has ended the sidecar")
		}
	}
}
