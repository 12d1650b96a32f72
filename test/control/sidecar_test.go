package control

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weftmesh/weft/test/vacant"
)

// beside is a weft that is its own agent, in a folder that stands for a pod's files.
type beside struct {
	*process
	t                        testing.TB
	folder                   string
	admin, agent, ready, now int // ports: of the admin pages, of the agent, of readiness and of metrics
	args, env                []string
}

// besideAs makes one for a service account of the namespace shop, without beginning it.
func (s *securePlane) besideAs(word, app, account string, more ...string) *beside {
	s.t.Helper()
	ports := vacant.Ports(s.t, 4)
	b := &beside{t: s.t, folder: s.t.TempDir(), admin: ports[0], agent: ports[1], ready: ports[2], now: ports[3]}
	b.put("roots.pem", s.trusted())
	b.args = append([]string{word, "--discovery", fmt.Sprintf("127.0.0.1:%d", s.port), "--roots", "roots.pem", "--namespace", "shop", "--service-account", account, "--name", app, "--label", "app=" + app, "--address", "127.0.0.1",
		"--interception-mode", "NONE", "--admin-port", fmt.Sprint(b.admin), "--agent-port", fmt.Sprint(b.agent), "--ready-port", fmt.Sprint(b.ready), "--prometheus-port", fmt.Sprint(b.now), "--concurrency", "1"}, more...)
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

// ends tells it to end, and waits until it has.
func (b *beside) ends() {
	b.t.Helper()
	b.cmd.Process.Signal(syscall.SIGTERM)
	<-b.ended
}

// page is what its admin pages say.
func (b *beside) page(path string) string { return pageAt(b.admin, path) }

// isReady waits until it is.
func (b *beside) isReady() *beside {
	b.t.Helper()
	eventually(b.t, "the sidecar is ready", func() bool { return strings.TrimSpace(b.page("/ready")) == "LIVE" })
	return b
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
