package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/ground"
)

// stage is everything that the demo runs, and the folder with their files.
type stage struct {
	dir      string
	programs string // the folder of weft and weftd
	ground   *ground.Ground
	at       layout
	weftd    *process
	pods     []*workload
	outside  *ground.Plot // of somebody who is not in the mesh
	mesh     *traffic
	door     *traffic           // through the gateway
	hush     context.CancelFunc // ends the traffic
	quiet    bool               // it has ended
}

// workload is a pod that runs.
type workload struct {
	pod
	sidecar *process
	hello   *hello // nil: it is none
}

const (
	startLimit = 30 * time.Second // from the start of a process until it is ready
	applyLimit = 10 * time.Second // from a change until it is in force
	sidecarUID = 1337             // whose traffic is not captured
	doorRate   = 20               // requests a second through the gateway
	// certificates live as long as it takes to see them renewed.
	certificateLife = 40 * time.Second
)

// identities that the demo asks of.
func spiffe(account string) string {
	return "spiffe://cluster.local/ns/" + namespace + "/sa/" + account
}

// raise starts everything, with all traffic to v1. What has been started when something fails is for fall to end. say is told what is being done.
func raise(ctx context.Context, programs, kind string, rate int, say func(string)) (*stage, error) {
	s := &stage{programs: programs}
	var err error
	if s.dir, err = os.MkdirTemp("", "weft-demo-"); err == nil {
		err = os.Chmod(s.dir, 0o755) // sidecars are another user, who reads what is his in it
	}
	if err != nil {
		return s, fmt.Errorf("demo: making a folder for the files: %w", err)
	}
	said, err := s.settle(ctx, kind)
	if err != nil {
		return s, err
	}
	say(said)
	for _, w := range s.pods {
		if w.serves != "" {
			if w.hello, err = newHello(w.Plot, w.serves, answers[w.version[1]-'1']); err != nil {
				return s, err
			}
		}
	}
	say("starting weftd, with what Kubernetes would tell of them")
	if err := s.govern(ctx); err != nil {
		return s, err
	}
	if err := s.apply(ctx, versions, door(s.pod("gateway").pod, s.at.gateway), split(weights{100, 0})); err != nil {
		return s, err
	}
	for _, w := range s.pods {
		say("starting the sidecar of " + w.name)
		if err := s.join(ctx, w); err != nil {
			return s, err
		}
	}
	for _, w := range s.pods {
		if err := s.ready(ctx, w); err != nil {
			return s, err
		}
	}
	// The traffic has a context of its own: its end comes with fall, when everything that it needs still runs.
	var flowing context.Context
	flowing, s.hush = context.WithCancel(context.Background())
	s.mesh = send(flowing, s.pod("sleep").Plot, s.asked(), host, rate)
	s.door = send(flowing, s.outside, fmt.Sprintf("%s:%d", s.pod("gateway").IP, s.at.gateway), "hello.example", doorRate)
	return s, nil
}

func (s *stage) file(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *stage) pod(name string) *workload {
	for _, w := range s.pods {
		if w.name == name {
			return w
		}
	}
	panic("demo: there is no pod " + name)
}

// processes are those that are not to end.
func (s *stage) processes() (all []*process) {
	all = append(all, s.weftd)
	for _, w := range s.pods {
		if w.sidecar != nil {
			all = append(all, w.sidecar)
		}
	}
	return all
}

// govern starts weftd.
func (s *stage) govern(ctx context.Context) error {
	var pods []pod
	for _, w := range s.pods {
		pods = append(pods, w.pod)
	}
	objects := world(pods, s.at)
	if !s.ground.Apart() {
		objects += ingress(pods, s.at)
	}
	err := os.Mkdir(s.file("mesh"), 0o755)
	if err == nil {
		err = os.WriteFile(s.file("mesh", "world.yaml"), []byte(objects), 0o644)
	}
	if err != nil {
		return fmt.Errorf("demo: writing what there is: %w", err)
	}
	wire := s.ground.Wire
	s.weftd, err = start(program{path: filepath.Join(s.programs, "weftd"), at: wire, dir: s.dir, log: s.file("weftd.log"), args: []string{"--config-dir", s.file("mesh"), "--store", s.file("weftd.db"),
		"--grpc-addr", "", "--secure-grpc-addr", fmt.Sprintf("%s:%d", wire.IP, s.at.plane), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", s.at.planeAdmin), "--audit-log", s.file("audit.json")}})
	if err != nil {
		return err
	}
	err = until(ctx, startLimit, "weftd is ready", []*process{s.weftd}, func(ctx context.Context) error {
		_, err := s.weftdSays(ctx, http.MethodGet, "/ready", "")
		return err
	})
	if err != nil {
		return err
	}
	roots, err := s.weftdSays(ctx, http.MethodGet, "/ca/roots", "")
	if err == nil {
		err = os.WriteFile(s.file("roots.pem"), []byte(roots), 0o644)
	}
	return err
}

// weftdSays asks weftd's admin pages.
func (s *stage) weftdSays(ctx context.Context, method, path, body string) (string, error) {
	status, text, err := ask(ctx, s.ground.Wire, method, fmt.Sprintf("http://127.0.0.1:%d%s", s.at.planeAdmin, path), "", body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("demo: weftd answers %s with %d: %s", path, status, strings.TrimSpace(text))
	}
	return text, err
}

// apply has weftd have objects, as weftctl apply does.
func (s *stage) apply(ctx context.Context, objects ...string) error {
	_, err := s.weftdSays(ctx, http.MethodPost, "/api/objects?as=demo", strings.Join(objects, "---\n"))
	return err
}

// takes applies objects and waits until each proxy has answered that it has them. It gives how long that took.
func (s *stage) takes(ctx context.Context, objects ...string) (time.Duration, error) {
	began, before := time.Now(), 0
	number, err := s.round(ctx)
	if err != nil {
		return 0, err
	}
	before = number.Last.Number
	if err := s.apply(ctx, objects...); err != nil {
		return 0, err
	}
	err = until(ctx, applyLimit, "every proxy has what was applied", s.processes(), func(ctx context.Context) error {
		now, err := s.round(ctx)
		if err != nil {
			return err
		}
		if now.Last.Number == before {
			return fmt.Errorf("it is not told yet")
		}
		for _, p := range now.Proxies {
			if !p.Synced {
				return fmt.Errorf("%s has not answered", p.ID)
			}
		}
		return nil
	})
	return time.Since(began), err
}

// standing is the part of weftd's status that is looked at.
type standing struct {
	Last    struct{ Number int }
	Proxies []struct {
		ID     string
		Synced bool
	}
}

func (s *stage) round(ctx context.Context) (now standing, err error) {
	text, err := s.weftdSays(ctx, http.MethodGet, "/status", "")
	if err == nil {
		err = json.Unmarshal([]byte(text), &now)
	}
	return now, err
}

// join gives a workload its sidecar: a token that is good once, and a process, of a user of its own where it is captured.
func (s *stage) join(ctx context.Context, w *workload) error {
	dir := s.file(w.name)
	token, err := s.weftdSays(ctx, http.MethodPost, "/ca/token", url.Values{"identity": {spiffe(w.account)}}.Encode())
	if err != nil {
		return err
	}
	err = os.Mkdir(dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600)
	}
	if err == nil {
		err = s.own(filepath.Join(dir, "token"), dir)
	}
	if err != nil {
		return fmt.Errorf("demo: the files of %s: %w", w.name, err)
	}
	word := "sidecar"
	if w.app == "gateway" {
		word = "gateway"
	}
	args := []string{word,
		"--discovery", fmt.Sprintf("%s:%d", s.ground.Wire.IP, s.at.plane), "--discovery-name", "istiod.istio-system.svc", "--roots", s.file("roots.pem"), "--join-token-file", filepath.Join(dir, "token"), "--state", filepath.Join(dir, "state"),
		"--name", w.name, "--namespace", namespace, "--service-account", w.account, "--address", w.IP.String(), "--label", "app=" + w.app, "--label", "version=" + w.version, "--concurrency", "1",
		"--admin-port", strconv.Itoa(w.ports.admin), "--agent-port", strconv.Itoa(w.ports.agent), "--ready-port", strconv.Itoa(w.ports.ready), "--prometheus-port", strconv.Itoa(w.ports.prometheus)}
	if !s.ground.Apart() {
		args = append(args, "--interception-mode", "NONE")
	}
	w.sidecar, err = start(program{path: filepath.Join(s.programs, "weft"), at: w.Plot, user: s.user(), dir: dir, log: s.file(w.name + ".log"), args: args,
		env: []string{"SECRET_TTL=" + certificateLife.String(), `PROXY_CONFIG={"proxyStatsMatcher":{"inclusionPrefixes":["cluster.outbound"]}}`}}) // or a sidecar keeps the numbers of clusters to itself
	return err
}

// ready waits until a sidecar says that it is.
func (s *stage) ready(ctx context.Context, w *workload) error {
	return until(ctx, startLimit, "the sidecar of "+w.name+" is ready", s.processes(), func(ctx context.Context) error {
		status, text, err := ask(ctx, w.Plot, http.MethodGet, fmt.Sprintf("http://%s:%d/healthz/ready", w.IP, w.ports.ready), "", "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answers %d: %s", status, strings.TrimSpace(text))
		}
		return err
	})
}

// page is what a sidecar's admin pages say.
func (w *workload) page(ctx context.Context, path string) (string, error) {
	status, text, err := ask(ctx, w.Plot, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", w.ports.admin, path), "", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("demo: the sidecar of %s answers %s with %d: %s", w.name, path, status, strings.TrimSpace(text))
	}
	return text, err
}

// still ends the traffic, while all that it needs still runs, so that its end loses nothing.
func (s *stage) still() {
	if s.mesh != nil && !s.quiet {
		s.quiet = true
		s.hush()
		s.mesh.wait()
		s.door.wait()
	}
}

// fall ends everything, what sends before what answers.
func (s *stage) fall() {
	s.still()
	for _, w := range s.pods {
		if w.sidecar != nil {
			w.sidecar.kill() // it has nobody to drain for
		}
		if w.hello != nil {
			w.hello.close()
		}
	}
	if s.weftd != nil {
		s.weftd.stop()
	}
	if s.ground != nil {
		s.ground.Close()
	}
}

// clean removes the files.
func (s *stage) clean() {
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// lost is all that was, since the traffic began.
func (s *stage) lost() (n uint64, first string) {
	if s.mesh == nil {
		return 0, ""
	}
	_, a, why := s.mesh.totals()
	_, b, other := s.door.totals()
	if why == "" && other != "" {
		why = "through the gateway: " + other
	}
	return a + b, why
}

func (s *stage) sent() uint64 {
	if s.mesh == nil {
		return 0
	}
	a, _, _ := s.mesh.totals()
	b, _, _ := s.door.totals()
	return a + b
}
