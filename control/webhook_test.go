package control

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/inject"
	"github.com/weftmesh/weft/control/push"
)

// startWebhook is a plane over a directory that API servers may ask, and how they do.
func startWebhook(t *testing.T, config string) (p *Plane, file string, client *http.Client) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "inject.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Start(Options{ConfigDir: t.TempDir(), KubeNamespace: "mesh", Revision: "two", Webhook: "127.0.0.1:0", InjectConfig: file, Log: slog.New(slog.DiscardHandler), Level: &slog.LevelVar{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	<-p.Readied()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.secure.ca.RootsPEM())
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "weftd-two.mesh.svc"}}}
	t.Cleanup(client.CloseIdleConnections)
	return p, file, client
}

// review asks as an API server does.
func review(t *testing.T, p *Plane, client *http.Client, path, operation, group, kind, object string) *inject.Response {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "kind": {"group": %q, "version": "v1", "kind": %q}, "namespace": "shop", "operation": %q, "object": %s}}`, group, kind, operation, object)
	r, err := client.Post("https://"+p.WebhookAddress.String()+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	var a inject.Review
	if err := json.Unmarshal(text, &a); err != nil || r.StatusCode != http.StatusOK || a.Response == nil || a.Response.UID != "u" {
		t.Fatalf("%d %s %v", r.StatusCode, text, err)
	}
	return a.Response
}

const onePod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {"containers": [{"name": "one", "image": "one"}]}}`

func TestWebhookInjects(t *testing.T) {
	p, file, client := startWebhook(t, "image: registry.test/a:1\ncluster: east\n")
	a := review(t, p, client, "/inject", "CREATE", "", "Pod", onePod)
	if !a.Allowed || a.PatchType != "JSONPatch" || !bytes.Contains(a.Patch, []byte("registry.test/a:1")) || !bytes.Contains(a.Patch, []byte(`\"revision\":\"two\"`)) || !bytes.Contains(a.Patch, []byte("weftd-two.mesh.svc:15012")) || !bytes.Contains(a.Patch, []byte(`"east"`)) {
		t.Errorf("%+v %s", a, a.Patch)
	}
	// A path may say of which cluster and network a pod is.
	if a := review(t, p, client, "/inject/cluster/we--slash--st/net/n1", "CREATE", "", "Pod", onePod); !bytes.Contains(a.Patch, []byte(`"we/st"`)) || !bytes.Contains(a.Patch, []byte(`"topology.istio.io/network":"n1"`)) {
		t.Errorf("%s", a.Patch)
	}
	if a := review(t, p, client, "/inject/clutser/a", "CREATE", "", "Pod", onePod); a.Allowed || a.Status.Code != 503 || !strings.Contains(a.Status.Message, `"clutser", which is not known`) {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct{ operation, kind string }{{"UPDATE", "Pod"}, {"CREATE", "Deployment"}} {
		if a := review(t, p, client, "/inject", c.operation, "", c.kind, onePod); !a.Allowed || a.Patch != nil || len(a.Warnings) != 1 {
			t.Errorf("%+v: %+v", c, a)
		}
	}
	// What is said of sidecars is read again; if that is wrong, what there was stays in force.
	for _, c := range []struct{ text, want string }{{"image: registry.test/b:1", "registry.test/b:1"}, {"imagee: registry.test/c:1", "registry.test/b:1"}} {
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		p.Reread()
		if a := review(t, p, client, "/inject", "CREATE", "", "Pod", onePod); !bytes.Contains(a.Patch, []byte(c.want)) {
			t.Errorf("%s: %s", c.text, a.Patch)
		}
	}
	// Without an image a pod is refused, and one that names its own is not.
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.Reread()
	if a := review(t, p, client, "/inject", "CREATE", "", "Pod", onePod); a.Allowed || !strings.Contains(a.Status.Message, "no image of a sidecar is named") {
		t.Errorf("%+v", a)
	}
	if a := review(t, p, client, "/inject", "CREATE", "", "Pod", strings.Replace(onePod, `"name": "one"}`, `"name": "one", "annotations": {"sidecar.istio.io/proxyImage": "a/b:1"}}`, 1)); !a.Allowed || a.Patch == nil {
		t.Errorf("%+v", a)
	}
}

func TestWebhookValidates(t *testing.T) {
	p, _, client := startWebhook(t, "")
	const host = `{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {%s "namespace": "shop"}, "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}, "%s": 1}]}]}}`
	for _, c := range []struct{ operation, group, kind, object, why string }{
		{"CREATE", "networking.istio.io", "VirtualService", fmt.Sprintf(host, `"name": "a",`, "weight"), ""},
		{"CREATE", "networking.istio.io", "VirtualService", fmt.Sprintf(host, `"generateName": "a-",`, "weight"), ""},
		{"CREATE", "networking.istio.io", "VirtualService", fmt.Sprintf(host, `"generateName": "a-",`, "wieght"), "VirtualService shop/a-x: spec.http[0].route[0].wieght: is no field of HTTPRouteDestination: weight?"},
		{"UPDATE", "networking.istio.io", "VirtualService", fmt.Sprintf(host, `"name": "a",`, "wieght"), "VirtualService shop/a: spec.http[0].route[0].wieght: is no field of HTTPRouteDestination: weight?"},
		{"UPDATE", "networking.istio.io", "VirtualService", fmt.Sprintf(host, `"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z",`, "wieght"), ""},
		{"DELETE", "networking.istio.io", "VirtualService", "null", ""},
		{"CREATE", "networking.istio.io", "VirtualService", "null", "cannot be read"},
		{"CREATE", "networking.istio.io", "VirtualService", `{"spec": {}}`, "cannot be read"},
		{"CREATE", "networking.istio.io", "Mystery", `{}`, ""},
	} {
		a := review(t, p, client, "/validate", c.operation, c.group, c.kind, c.object)
		if a.Allowed != (c.why == "") || a.Status != nil && !strings.Contains(a.Status.Message, c.why) {
			t.Errorf("%+v: %+v %+v", c, a, a.Status)
		}
		if (c.kind == "Mystery") != (len(a.Warnings) == 1) {
			t.Errorf("%+v: %q", c, a.Warnings)
		}
	}
}

// Until all is read nothing is known of sidecars: a pod is refused, and not let through without one.
func TestWebhookIsClosedAtFirst(t *testing.T) {
	p, _, _ := startWebhook(t, "image: a/b:1")
	h := &webhook{plane: &Plane{Options: p.Options, push: push.New(push.Options{Log: p.Log}), broken: p.broken}, stats: p.webhook.stats}
	h.install.Store(p.webhook.install.Load())
	q, err := inject.ReadReview([]byte(`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "object": ` + onePod + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	if a := h.inject(q, &http.Request{URL: &url.URL{Path: "/inject"}}); a.Allowed || a.Status.Code != 503 || !strings.Contains(a.Status.Message, "weftd has not read all that it has to yet") {
		t.Errorf("%+v", a)
	}
}

// Whoever comes is bounded: what is no question, what is too large, who is too slow (hazard 81).
func TestWebhookIsBounded(t *testing.T) {
	t.Parallel() // it waits most of the time
	p, _, client := startWebhook(t, "image: a/b:1")
	post := func(path, kind string, body io.Reader) (int, string) {
		r, err := client.Post("https://"+p.WebhookAddress.String()+path, kind, body)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(text)
	}
	for _, c := range []struct {
		path, kind, body string
		code             int
		says             string
	}{
		{"/inject", "text/plain", "{}", 415, "want application/json"},
		{"/validate", "application/json", "garbage", 400, "is no AdmissionReview"},
		{"/inject", "application/json; charset=utf-8", "{}", 400, "want an AdmissionReview"},
		{"/inject", "application/json", strings.Repeat("[", 5<<20), 400, "is no AdmissionReview"},
		{"/inject", "application/json", `"` + strings.Repeat("a", maxReview) + `"`, 413, "has more than"},
		{"/other", "application/json", "{}", 404, ""},
	} {
		if code, text := post(c.path, c.kind, strings.NewReader(c.body)); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s %s %.20s: %d %s", c.path, c.kind, c.body, code, text)
		}
	}
	if r, err := client.Get("https://" + p.WebhookAddress.String() + "/inject"); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v", r, err)
	}
	// Some who send large bodies slowly keep large bodies waiting, and no small ones.
	for range largeAtOnce {
		c, err := tls.Dial("tcp", p.WebhookAddress.String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", smallReview+1)
	}
	eventually(t, "they are being read", func() bool { return len(p.webhook.large) == largeAtOnce })
	if a := review(t, p, client, "/inject", "CREATE", "", "Pod", onePod); !a.Allowed || a.Patch == nil {
		t.Errorf("%+v", a)
	}
	began := time.Now()
	if code, text := post("/inject", "application/json", strings.NewReader(strings.Repeat("[", smallReview+1))); code != 503 && code != 400 || time.Since(began) > reviewRead+reviewWaits {
		t.Errorf("after %v: %d %s", time.Since(began), code, text)
	}
}

func TestWebhookOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{InjectConfig: "a"}, "--inject-config is about what --webhook-addr serves"},
		{Options{Webhook: "127.0.0.1:0", InjectConfig: filepath.Join(t.TempDir(), "none")}, "--inject-config: open"},
		{Options{Webhook: "nowhere"}, "--webhook-addr"},
	} {
		c.o.ConfigDir, c.o.Log, c.o.Level = t.TempDir(), slog.New(slog.DiscardHandler), &slog.LevelVar{}
		if p, err := Start(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
			if p != nil {
				p.Close()
			}
		}
	}
}
