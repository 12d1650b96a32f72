package netns

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const greeterIP = "10.96.9.9"

// TestDubboCallsAreMoved has an application of dubbo-go behind a sidecar call another one, all the time and from many sides at once: a VirtualService with a condition on an argument moves some of its calls from one version to the other, while everything goes
// on and every hop is mutual TLS, and taking it away moves them back. Nothing is lost.
func TestDubboCallsAreMoved(t *testing.T) {
	client, one, two := newPod(t), newPod(t), newPod(t)
	services := fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.shop.internal]
  addresses: [%s]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 20880, name: dubbo, protocol: DUBBO}]
  endpoints:
  - {address: %s, labels: {app: greeter, version: v1}, serviceAccount: greeter}
  - {address: %s, labels: {app: greeter, version: v2}, serviceAccount: greeter}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: shop}
spec:
  host: greeter.shop.internal
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`, greeterIP, one.ip, two.ip)
	// All go to the first version, but for those of one argument once they are moved.
	routes := func(moved string) string {
		return services + `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.shop.internal]
  dubbo:
  - services: [{prefix: org.example.peers.}]
    routes:
    - match: [{method: {name: greet, argc: 1, args: [{index: 1, type: java.lang.String, strValue: {patterns: [{exact: ` + moved + `}]}}]}}]
      route: [{destination: {host: greeter.shop.internal, subset: v2}}]
    - route: [{destination: {host: greeter.shop.internal, subset: v1}}]
`
	}
	m := newMesh(t, routes("nobody"))
	apply := func(manifests string) {
		t.Helper()
		path := filepath.Join(m.config, "mesh.yaml")
		err := os.WriteFile(path+".new", []byte(manifests), 0o644)
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(folder, "dubbogo")
	if out, err := exec.Command("go", "-C", "../peers/dubbogo", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, p := range map[string]*pod{"v1": one, "v2": two} {
		p.injected(t, m, "greeter")
		p.speaks(t, program, "server", name, "dubbo", "20880")
	}
	client.injected(t, m, "client")
	caller := client.speaks(t, program, "load", "dubbo://"+greeterIP+":20880", "16", "ann", "bob")

	// answers are whose there were to each argument since this was asked last.
	total, lost := 0, 0
	answers := func() map[string]int {
		t.Helper()
		got := map[string]int{}
		for _, word := range strings.Fields(caller.asks("count")) {
			var n int
			what, number, _ := strings.Cut(word, "=")
			if _, err := fmt.Sscan(number, &n); err != nil {
				t.Fatalf("%q: %v", word, err)
			}
			if got[what] = n; what == "lost" {
				lost += n
			} else {
				total += n
			}
		}
		return got
	}
	// goes waits until the calls go where they are to, each of them, and looks whether they do from then on.
	goes := func(ann, bob string) {
		t.Helper()
		for _, what := range []string{"some hundred calls go", "some hundred calls go on"} {
			got := map[string]int{}
			eventually(t, fmt.Sprintf("%s to %s with ann, and to %s with bob", what, ann, bob), func() bool {
				for where, n := range answers() {
					got[where] += n
				}
				strayed := len(got) > 3 // and what is lost
				if strayed && what == "some hundred calls go on" {
					t.Fatalf("ann to %s, bob to %s: %v", ann, bob, got)
				}
				if strayed || got["ann/"+ann] == 0 && got["bob/"+bob] == 0 {
					clear(got)
				}
				return got["ann/"+ann] > 300 && got["bob/"+bob] > 300
			})
		}
	}
	goes("v1", "v1")
	for range 3 {
		apply(routes("ann"))
		goes("v2", "v1")
		apply(routes("bob"))
		goes("v1", "v2")
		apply(routes("nobody"))
		goes("v1", "v1")
	}
	if t.Logf("%d calls, %d lost", total, lost); lost > 0 {
		t.Errorf("%d of %d calls were lost", lost, total)
	}
}

// speaker is a program that answers each line with one.
type speaker struct {
	t   *testing.T
	in  io.Writer
	out chan string
}

// speaks starts one in a pod, and waits until it says that it is ready. What else it says is read and passed over.
func (p *pod) speaks(t *testing.T, program string, args ...string) *speaker {
	t.Helper()
	c := exec.Command(program, args...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	c.Stdout = w
	begins(t, p, c)
	t.Cleanup(func() { r.Close() }) // before its end is waited for, which is when all that it has said is taken
	k := &speaker{t: t, in: in, out: make(chan string, 100)}
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if said, is := strings.CutPrefix(lines.Text(), "said "); is || lines.Text() == "ready" {
				k.out <- said
			}
		}
	}()
	k.line()
	return k
}

// line is the next that it says.
func (k *speaker) line() string {
	k.t.Helper()
	select {
	case said := <-k.out:
		return said
	case <-time.After(time.Minute):
		k.t.Fatal("nothing is said within a minute")
	}
	return ""
}

func (k *speaker) asks(line string) string {
	k.t.Helper()
	if _, err := fmt.Fprintln(k.in, line); err != nil {
		k.t.Fatal(err)
	}
	return k.line()
}
