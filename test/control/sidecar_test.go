package control

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// look is how often sidecars look at files.
const look = 5 * time.Second

// beside is a weft that is its own agent, in a folder that stands for a pod's files.
type beside struct {
	*process
	t                            testing.TB
	folder                       string
	admin, agent, ready, numbers int // ports: of the admin pages, of the agent, of readiness and of metrics
	args, env                    []string
}

// besideAs makes one for a service account of the namespace shop, without beginning it.
func (s *securePlane) besideAs(word, app, account string, more ...string) *beside {
	s.t.Helper()
	ports := vacant.Ports(s.t, 4)
	b := &beside{t: s.t, folder: s.t.TempDir(), admin: ports[0], agent: ports[1], ready: ports[2], numbers: ports[3]}
	b.put("roots.pem", s.trusted())
	b.args = append([]string{word, "--discovery", fmt.Sprintf("127.0.0.1:%d", s.port), "--roots", "roots.pem", "--namespace", "shop", "--service-account", account, "--name", app, "--label", "app=" + app, "--address", "127.0.0.1",
		"--interception-mode", "NONE", "--admin-port", fmt.Sprint(b.admin), "--agent-port", fmt.Sprint(b.agent), "--ready-port", fmt.Sprint(b.ready), "--prometheus-port", fmt.Sprint(b.numbers), "--concurrency", "1"}, more...)
	return b
}

// put writes a file in its folder, at once.
func (b *beside) put(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.folder, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+".new", []byte(text), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// begin starts it, or starts it again.
func (b *beside) begin() *beside {
	b.t.Helper()
	c := exec.Command(program(b.t, "weft"), b.args...)
	c.Dir, c.Env = b.folder, append(os.Environ(), b.env...)
	b.process = runs(b.t, c)
	return b
}

// over waits until it has ended.
func (b *beside) over() {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(deadline):
		b.t.Fatalf("it has not ended within %v", deadline)
	}
}

// isReady waits until it is.
func (b *beside) isReady() *beside {
	b.t.Helper()
	eventually(b.t, "the sidecar is ready", b.says)
	return b
}

// says tells whether it says that it is ready.
func (b *beside) says() bool {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", b.ready))
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// joinToken is one for a service account of the namespace shop.
func (s *securePlane) joinToken(account string) string {
	s.t.Helper()
	code, token := s.post("/ca/token", url.Values{"identity": {"spiffe://cluster.local/ns/shop/sa/" + account}})
	if code != http.StatusOK {
		s.t.Fatal(code, token)
	}
	return token
}

// joinsBeside starts a sidecar that has joined by a token.
func (s *securePlane) joinsBeside(app, account string, more ...string) *beside {
	s.t.Helper()
	b := s.besideAs("sidecar", app, account, append([]string{"--join-token-file", "token", "--state", "state"}, more...)...)
	b.put("token", s.joinToken(account))
	return b.begin()
}

// load asks again and again, over one connection and over new ones; whatever is lost fails the test.
type load struct {
	done atomic.Bool
	n    atomic.Int64
	all  sync.WaitGroup
}

func (p *pair) loads() *load {
	l := &load{}
	p.t.Cleanup(func() { l.end() })
	for range 2 {
		l.all.Go(func() {
			for tick := time.NewTicker(5 * time.Millisecond); !l.done.Load(); <-tick.C {
				line, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.tcp))
				if err != nil {
					p.t.Error(err)
					return
				}
				good := echoes(line)
				if line.Close(); !good {
					p.t.Error("a connection was lost")
					return
				}
				if _, err := p.ask(p.t.Context()); err != nil {
					p.t.Errorf("a request was lost: %v", err)
					return
				}
				l.n.Add(1)
			}
		})
	}
	return l
}

// end waits for what is under way, and says how much there was.
func (l *load) end() int64 {
	l.done.Store(true)
	l.all.Wait()
	return l.n.Load()
}

// shown is the certificate that the server's proxy shows.
func (p *pair) shown() *x509.Certificate {
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.in[1]), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return &x509.Certificate{}
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// Two sidecars that have joined by tokens speak by mTLS, strictly, with keys that they have made themselves; killed, they come back by what they have got.
func TestSidecarsJoin(t *testing.T) {
	p := newPair(t)
	web := p.plane.joinsBeside("web", "web").isReady()
	client := p.plane.joinsBeside("client", "client").isReady()
	p.opens()
	for _, one := range p.plane.status().Proxies {
		if one.By != "certificate" {
			t.Errorf("%+v: want that it has shown its certificate", one)
		}
	}
	for _, b := range []*beside{web, client} {
		b.kill()
		b.begin().isReady()
	}
	p.client.CloseIdleConnections()
	p.opens()
}

// Sidecars in pods show the tokens of their service accounts, each time as they are then, and need nothing else.
func TestSidecarsOfServiceAccounts(t *testing.T) {
	p := newPairUnder(t, func(t *testing.T, files map[string]string) *securePlane {
		s := &securePlane{port: vacant.Ports(t, 1)[0], store: filepath.Join(t.TempDir(), "store")}
		s.plane = newPlaneOf(t, sources[1], files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", s.store, "--cluster-name", "home")
		return s
	})
	begins := func(account string) *beside {
		p.plane.cluster.Account("shop", account)
		b := p.plane.besideAs("sidecar", account, account, "--cluster-id", "home")
		b.put("var/run/secrets/tokens/istio-token", p.plane.cluster.Token("shop", account, "istio-ca")+"\n")
		return b.begin().isReady()
	}
	web := begins("web")
	begins("client")
	p.opens()
	// The token is another one, and what was there is worth nothing any more: the next connection shows it.
	web.kill()
	web.put("var/run/secrets/tokens/istio-token", "nonsense")
	web.begin()
	eventually(t, "who shows nonsense is not ready, and says why", func() bool { return strings.Contains(web.said.String(), "Unauthenticated") })
	if web.says() {
		t.Error("who shows nonsense is ready")
	}
	web.put("var/run/secrets/tokens/istio-token", p.plane.cluster.Token("shop", "web", "istio-ca"))
	web.isReady()
	p.opens()
}

// Certificates are renewed, a root takes another's place, and weftd is started anew, all under load: nothing is lost.
func TestSidecarsRenewUnderLoad(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := newPairUnder(t, func(t *testing.T, files map[string]string) *securePlane {
		return newPlaneHere(t, files, control.Options{RootOverlap: 4 * look})
	})
	var all []*beside
	for _, account := range []string{"web", "client"} {
		b := p.plane.besideAs("sidecar", account, account, "--join-token-file", "token", "--state", "state")
		b.put("token", p.plane.joinToken(account))
		b.env = []string{"SECRET_TTL=1m", "SECRET_GRACE_PERIOD_RATIO=0.95"} // renewed after 3 s
		b.args = append(b.args, "--component-log-level", "config:info")
		all = append(all, b.begin().isReady())
	}
	p.opens()
	l := p.loads()
	old := p.plane.roots()[0]
	first := p.shown()
	eventually(t, "the certificate is renewed", func() bool { return !p.shown().Equal(first) })
	if code, text := p.plane.post("/ca/rotate", nil); code != http.StatusOK {
		t.Fatal(code, text)
	}
	eventually(t, "both roots are trusted", func() bool { return len(p.plane.roots()) == 2 })
	for _, b := range all { // as a kubelet has it with a ConfigMap
		b.put("roots.pem", p.plane.trusted())
	}
	for _, b := range all {
		eventually(t, "the control plane is believed by both", func() bool { return strings.Count(b.said.String(), "name=xds-roots") == 2 })
	}
	next := p.plane.roots()[1]
	eventually(t, "the new root has signed what is shown", func() bool { return p.shown().CheckSignatureFrom(next) == nil })
	if p.shown().CheckSignatureFrom(old) == nil {
		t.Error("the old root has signed it")
	}
	second := p.shown()
	eventually(t, "and it is renewed by that", func() bool { return !p.shown().Equal(second) })
	if n := l.end(); n < 100 {
		t.Errorf("only %d requests and handshakes", n)
	} else {
		t.Logf("%d requests, and as many handshakes", n)
	}
}

// weftd is killed and started again under load, and the sidecars come back to it.
func TestSidecarsOutliveTheirPlane(t *testing.T) {
	p := newPair(t)
	for _, account := range []string{"web", "client"} {
		p.plane.joinsBeside(account, account).isReady()
	}
	p.opens()
	l := p.loads()
	p.plane.kill()
	p.plane.start()
	eventually(t, "both have come back", func() bool { return len(p.plane.status().Proxies) == 2 })
	l.end()
}

// Who is told to end lets nobody new in and serves who is there; what its workload asks of others is served to the end.
func TestSidecarsLeave(t *testing.T) {
	p := newPair(t)
	const term = 3 * time.Second
	config := "PROXY_CONFIG=" + `{"terminationDrainDuration": "3s"}`
	joins := func(account string, env ...string) *beside {
		b := p.plane.besideAs("sidecar", account, account, "--join-token-file", "token", "--state", "state")
		b.put("token", p.plane.joinToken(account))
		b.env = env
		return b.begin().isReady()
	}
	web, client := joins("web", config), joins("client", config)
	p.opens()

	// The client's is told to end: until it has, everything that is asked through it is answered, over new connections, too.
	began := time.Now()
	client.cmd.Process.Signal(syscall.SIGTERM)
	for asked := 0; time.Since(began) < term*8/10; asked++ {
		p.client.CloseIdleConnections()
		if who, err := p.ask(t.Context()); err != nil {
			t.Fatalf("%v after it was told to end, of which it has %v: %s, %v", time.Since(began), term, who, err)
		}
	}
	client.over()
	if took := time.Since(began); took < term {
		t.Errorf("it has ended after %v: want %v", took, term)
	}
	joins("client")
	p.opens()

	// The server's is told to end: what is under way is answered, who is connected is served, and nobody new is let in.
	line := p.line()
	if !echoes(line) {
		t.Fatal("a connection does not work")
	}
	slow := make(chan string)
	p.pause.Store(int64(time.Second))
	go func() {
		who, err := p.ask(t.Context())
		slow <- fmt.Sprint(who, err)
	}()
	eventually(t, "the slow request is at the application", func() bool { return p.under.Load() == 1 })
	web.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "nobody new is let in", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.in[1]))
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if !echoes(line) {
		t.Error("who was connected is not served")
	}
	if said := <-slow; !strings.Contains(said, "sa/client") {
		t.Error("what was under way is lost: ", said)
	}
	p.pause.Store(0)
	web.over()
}

// One that goes on until nobody is connected does, and a second signal ends it all the same.
func TestSidecarsWaitForThoseWhoAreThere(t *testing.T) {
	p := newPair(t)
	b := p.plane.besideAs("sidecar", "web", "web", "--join-token-file", "token", "--state", "state")
	b.put("token", p.plane.joinToken("web"))
	b.env = []string{"EXIT_ON_ZERO_ACTIVE_CONNECTIONS=true", "MINIMUM_DRAIN_DURATION=100ms"}
	b.begin().isReady()
	p.plane.joinsBeside("client", "client").isReady()
	p.opens()
	p.client.CloseIdleConnections()
	line := p.line()
	if !echoes(line) {
		t.Fatal("a connection does not work")
	}
	b.cmd.Process.Signal(syscall.SIGTERM)
	for began := time.Now(); time.Since(began) < time.Second; {
		if !echoes(line) {
			t.Fatal("it has ended while somebody was connected")
		}
	}
	line.Close()
	b.over()
	b.begin().isReady()
	line = p.line()
	eventually(t, "a connection works", func() bool {
		line.Close()
		line = p.line()
		return echoes(line)
	})
	b.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "it leaves", func() bool { return strings.Contains(b.said.String(), "clients are asked to go") })
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.over()
}

// Somebody else's socket and somebody else's files count: nobody is asked to sign.
func TestSidecarsWithOthersIdentities(t *testing.T) {
	p := newPair(t)
	// Files: of weftd's own authority, as others have written them.
	web := p.plane.besideAs("sidecar", "web", "web")
	_, folder := p.plane.join("spiffe://cluster.local/ns/shop/sa/web")
	for from, to := range map[string]string{"chain": "cert-chain.pem", "key": "key.pem", "roots": "root-cert.pem"} {
		text, err := os.ReadFile(filepath.Join(folder, from))
		if err != nil {
			t.Fatal(err)
		}
		web.put("var/run/secrets/workload-spiffe-credentials/"+to, string(text))
	}
	web.begin().isReady()
	// A socket: what it tells is shown to weftd as well.
	client := p.plane.besideAs("sidecar", "client", "client")
	agent := newSpire(t)
	_, folder = p.plane.join("spiffe://cluster.local/ns/shop/sa/client")
	for from, to := range map[string]string{"chain": "own.pem", "key": "own.key"} {
		if err := os.Rename(filepath.Join(folder, from), filepath.Join(folder, to)); err != nil {
			t.Fatal(err)
		}
	}
	agent.tells(t, folder, "own", map[string][]byte{"cluster.local": []byte(p.plane.trusted())})
	client.put("var/run/secrets/workload-spiffe-uds/here", "")
	if err := os.Symlink(agent.path, filepath.Join(client.folder, "var/run/secrets/workload-spiffe-uds/socket")); err != nil {
		t.Fatal(err)
	}
	client.begin().isReady()
	p.opens()
	for _, b := range []*beside{web, client} {
		if strings.Contains(b.said.String(), "has a certificate") {
			t.Error("somebody was asked to sign")
		}
	}
}

// The application is started when its sidecar is ready, is served, and ends it, by its own code.
func TestSidecarsHoldTheirApplication(t *testing.T) {
	p := newPair(t)
	p.plane.joinsBeside("web", "web").isReady()
	b := p.plane.besideAs("sidecar", "client", "client", "--join-token-file", "token", "--state", "state")
	// It asks once, as soon as it is started, and says what has become of that.
	b.args = append(b.args, "--", "sh", "-c", fmt.Sprintf("%s pilot-agent request --debug-port %d GET /healthz/ready > said 2>&1; echo $? >> said; exit 7", program(t, "weft"), b.ready))
	b.put("token", p.plane.joinToken("client"))
	b.begin().over()
	if said, err := os.ReadFile(filepath.Join(b.folder, "said")); err != nil || !strings.HasSuffix(string(said), "0\n") {
		t.Errorf("%v: when the application was started the sidecar said %q: want that it is ready", err, said)
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("it has ended with code %d: want the application's, 7", code)
	}
	// Told to end, it tells the application, and ends with it.
	b.args[len(b.args)-1] = "trap 'exit 3' TERM; echo > begun; while :; do sleep 0.01; done"
	b.begin()
	eventually(t, "the application is started", func() bool { return present(filepath.Join(b.folder, "begun")) })
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.over()
	if code := b.cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("it has ended with code %d: want the application's, 3", code)
	}
}

func present(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Of what has come to the application before its sidecar is told to end nothing is lost, under load.
func TestSidecarsLoseNothingThatWasLetIn(t *testing.T) {
	p := newPair(t)
	web := p.plane.joinsBeside("web", "web").isReady()
	p.plane.joinsBeside("client", "client").isReady()
	p.opens()
	p.pause.Store(int64(20 * time.Millisecond))
	var all sync.WaitGroup
	var answered atomic.Int64
	before := p.taken.Load()
	for range 8 {
		all.Go(func() {
			for {
				who, err := p.ask(t.Context())
				if err != nil {
					return // nobody is let in any more
				}
				if !strings.Contains(who, "sa/client") {
					t.Errorf("%s", who)
				}
				answered.Add(1)
			}
		})
	}
	eventually(t, "there is load", func() bool { return answered.Load() > 100 })
	web.cmd.Process.Signal(syscall.SIGTERM)
	all.Wait()
	if took := p.taken.Load() - before; took != answered.Load() {
		t.Errorf("%d requests have come to the application, and %d were answered", took, answered.Load())
	} else {
		t.Logf("%d requests", took)
	}
	web.over()
}

// /quitquitquit ends it as a signal does, and kubelets, Prometheus and tools are answered while it is there.
func TestSidecarsAnswer(t *testing.T) {
	p := newPair(t)
	b := p.plane.joinsBeside("web", "web").isReady()
	for path, want := range map[string]string{
		"/stats/prometheus": "istio_agent", "/healthz/ready": "",
	} {
		if text := pageAt(b.agent, path); !strings.Contains(text, want) {
			t.Errorf("%s at the agent's port has no %q", path, want)
		}
	}
	if text := pageAt(b.numbers, "/stats/prometheus"); !strings.Contains(text, "envoy_cluster_manager_cds_update_success") || !strings.Contains(text, "identity_issued") {
		t.Errorf("the proxy's metrics are\n%s", text)
	}
	weft := program(t, "weft")
	link := filepath.Join(t.TempDir(), "pilot-agent")
	if err := os.Symlink(weft, link); err != nil {
		t.Fatal(err)
	}
	says := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command(link, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("pilot-agent %s: %v, %.300s: want %q", strings.Join(args, " "), err, out, want)
		}
	}
	says("xds-grpc::", "request", "--debug-port", fmt.Sprint(b.admin), "GET", "clusters")
	says("is ready", "wait", "--timeoutSeconds", "5", "--url", fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", b.ready))
	says("version", "version")
	says("", "request", fmt.Sprintf("--debug-port=%d", b.agent), "POST", "quitquitquit")
	b.over()
	if out, err := exec.Command(link, "wait", "--timeoutSeconds", "1", "--url", fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", b.ready)).CombinedOutput(); err == nil || !strings.Contains(string(out), "not ready within 1 s") {
		t.Errorf("%v, %s", err, out)
	}
}

// The real Envoy takes the identity from a sidecar's socket, over the state of the world, and follows it.
func TestEnvoyTakesASidecarsIdentity(t *testing.T) {
	p := newPair(t)
	// Its own proxy is the client's side, with the server's account.
	b := p.plane.besideAs("sidecar", "client", "web", "--join-token-file", "token", "--state", "state")
	b.put("token", p.plane.joinToken("web"))
	b.env = []string{"SECRET_TTL=1m", "SECRET_GRACE_PERIOD_RATIO=0.95"} // renewed after 3 s
	b.begin().isReady()
	boot := bootstrap("NAMESPACE: shop, LABELS: {app: web}", p.plane.grpc, (&spire{path: filepath.Join(b.folder, "var/run/secrets/workload-spiffe-uds/socket")}).cluster())
	envoy.Start(t, asMember(boot, "sidecar", "web"))
	eventually(t, "they speak by mTLS", func() bool {
		who, err := p.ask(t.Context())
		return err == nil && strings.Contains(who, "sa/web")
	})
	first := p.shown()
	eventually(t, "Envoy shows the next certificate", func() bool { is := p.shown(); return len(is.Raw) > 0 && !is.Equal(first) })
	if who, err := p.ask(t.Context()); err != nil || !strings.Contains(who, "sa/web") {
		t.Errorf("%s, %v", who, err)
	}
}

// A gateway is its own agent as well.
func TestGatewaysAreTheirOwnAgent(t *testing.T) {
	port := vacant.Ports(t, 1)[0]
	up := upstream(t, "up")
	p := newSecurePlane(t, map[string]string{"gateway.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec: {selector: {app: door}, servers: [{port: {number: %d, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door, namespace: shop}
spec: {hosts: ["*"], gateways: [door], http: [{route: [{destination: {host: up.test}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: up, namespace: shop}
spec: {hosts: [up.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1, ports: {http: %d}}]}
`, port, up)})
	b := p.besideAs("gateway", "door", "door", "--join-token-file", "token", "--state", "state")
	b.put("token", p.joinToken("door"))
	b.env = []string{`PROXY_CONFIG={"terminationDrainDuration": "2s"}`}
	b.begin().isReady()
	asks := func() string { return answer(t, http.MethodGet, port, "/", "any.test") }
	eventually(t, "it serves", func() bool { return asks() == "200 up" })
	began := time.Now()
	b.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "it is not ready any more", func() bool { return !b.says() })
	for time.Since(began) < 1500*time.Millisecond { // who is before it does not know yet
		if got := asks(); got != "200 up" {
			t.Fatalf("%v after it was told to end: %s", time.Since(began), got)
		}
	}
	b.over()
}

// With 200 services a sidecar is ready at once, and small. What is measured is logged; what is asserted leaves room for a machine that has other things to do.
func TestSidecarsAreQuickAndSmall(t *testing.T) {
	port := vacant.Ports(t, 1)[0]
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s%[1]d, namespace: shop}
spec: {hosts: [s%[1]d.shop.internal], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: %[2]d, name: http, protocol: HTTP}], endpoints: [{address: 10.1.0.%[3]d}, {address: 10.2.0.%[3]d}, {address: 10.3.0.%[3]d}]}
`, i, port, i+1)
	}
	p := newSecurePlane(t, map[string]string{"all.yaml": text.String()})
	b := p.besideAs("sidecar", "web", "web", "--join-token-file", "token", "--state", "state")
	b.put("token", p.joinToken("web"))
	began := time.Now()
	b.begin().isReady()
	took := time.Since(began)
	memory := func() (kb int) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "VmRSS:")
		fmt.Sscan(after, &kb)
		return kb
	}
	eventually(t, "its memory is 35 MB at most", func() bool { return memory() <= 35<<10 })
	t.Logf("ready after %v, %d KB", took.Round(time.Millisecond), memory())
	if took > 3*time.Second {
		t.Errorf("ready after %v: want 0.3 s, and on a machine that has other things to do 3 s at most", took)
	}
}

// Whom a DestinationRule has believed by a file, and what it has shown from files, the sidecar reads and follows.
func TestSidecarsReadFilesOfRules(t *testing.T) {
	a := authority.New(t, t.TempDir())
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	up.TLS = &tls.Config{Certificates: []tls.Certificate{a.Issue("up", []string{"up.test"}, nil)}, ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	up.Config.SetKeepAlivesEnabled(false) // a certificate is that of its connection
	up.StartTLS()
	t.Cleanup(up.Close)
	a.Issue("me", nil, nil)
	port := vacant.Ports(t, 1)[0]
	p := newSecurePlane(t, map[string]string{"up.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: up, namespace: shop}
spec: {hosts: [up.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: %d, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1, ports: {http: %d}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: up, namespace: shop}
spec: {host: up.test, trafficPolicy: {tls: {mode: MUTUAL, sni: up.test, caCertificates: %[3]s/ca.pem, clientCertificate: %[3]s/own.pem, privateKey: %[3]s/own.key}}}
`, port, up.Listener.Addr().(*net.TCPAddr).Port, a.Dir)})
	b := p.joinsBeside("client", "client")
	eventually(t, "it says that a file is not there", func() bool { return strings.Contains(b.said.String(), "own.pem") })
	copies := func(name string) {
		for _, end := range []string{".key", ".pem"} {
			text, err := os.ReadFile(filepath.Join(a.Dir, name+end))
			if err != nil {
				t.Fatal(err)
			}
			a.Write("own"+end, text)
		}
	}
	copies("me")
	asks := func() string { return answer(t, http.MethodGet, port, "/", "up.test") }
	eventually(t, "it is taken as who is in the files", func() bool { return asks() == "200 me" })
	a.Issue("other", nil, nil)
	copies("other")
	eventually(t, "and as who is there later", func() bool { return asks() == "200 other" })
}
