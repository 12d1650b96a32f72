package report

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/weftmesh/weft/test/envoy"
)

// patience bounds how long anything is waited for.
const patience = 20 * time.Second

// binaries are the two programs; ours is built from here.
var binaries = sync.OnceValues(func() (map[string]string, error) {
	theirs, err := envoy.Find()
	if err != nil {
		return nil, err
	}
	weft := filepath.Join(folder, "weft")
	if out, err := exec.Command("go", "build", "-o", weft, "github.com/weftmesh/weft/cmd/weft").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return map[string]string{"envoy": theirs, "weft": weft}, nil
})

var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "weft"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// process is one of the two, serving a bootstrap.
type process struct {
	t     *testing.T
	name  string
	admin string
	at    map[string]string // where its listeners are
}

// start runs one of the two until the test ends, and waits for that many listeners.
func start(t *testing.T, name, bootstrap string, listeners int) *process {
	t.Helper()
	return startWith(t, name, bootstrap, "", listeners)
}

// startWith is start with more of the admin's configuration.
func startWith(t *testing.T, name, bootstrap, more string, listeners int) *process {
	t.Helper()
	all, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, admin := filepath.Join(dir, "bootstrap.yaml"), filepath.Join(dir, "admin")
	bootstrap += "\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}" + more + "}\n"
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := exec.Command(all[name], "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--admin-address-path", admin)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if said, _ := os.ReadFile(out.Name()); t.Failed() {
			t.Logf("%s said:\n%.4000s", name, said)
		}
	})
	p := &process{t: t, name: name, at: map[string]string{}}
	p.eventually("listeners", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s does not serve", name)
		default:
		}
		b, _ := os.ReadFile(admin)
		if p.admin = strings.TrimSpace(string(b)); p.admin == "" {
			return false
		}
		var listening struct {
			Statuses []struct {
				Name    string
				Address struct {
					Socket struct {
						Port int `json:"port_value"`
					} `json:"socket_address"`
				} `json:"local_address"`
			} `json:"listener_statuses"`
		}
		if json.Unmarshal([]byte(p.page("/listeners?format=json")), &listening) != nil || len(listening.Statuses) != listeners {
			return false
		}
		for _, l := range listening.Statuses {
			p.at[l.Name] = "127.0.0.1:" + strconv.Itoa(l.Address.Socket.Port)
		}
		return p.page("/ready") == "LIVE\n"
	})
	return p
}

// eventually waits for something that follows in its own time.
func (p *process) eventually(what string, ok func() bool) {
	p.t.Helper()
	for over, tick := time.Now().Add(patience), time.NewTicker(5*time.Millisecond); !ok(); <-tick.C {
		if time.Now().After(over) {
			p.t.Fatalf("%s: no %s", p.name, what)
		}
	}
}

// page reads a page of the admin address; "" if it cannot be.
func (p *process) page(path string) string {
	r, err := http.Get("http://" + p.admin + path)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// stat is a number; 0 if there is none of that name.
func (p *process) stat(name string) int64 {
	for lines := bufio.NewScanner(strings.NewReader(p.page("/stats?filter=^" + strings.ReplaceAll(name, ".", "\\.") + "$"))); lines.Scan(); {
		if got, value, _ := strings.Cut(lines.Text(), ": "); got == name {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

// grpcServer serves until the test ends.
func grpcServer(t *testing.T, register func(*grpc.Server)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	register(s)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().(*net.TCPAddr).Port
}

// upstream is an HTTP server in both versions that fails as its path says.
func upstream(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/reset":
			panic(http.ErrAbortHandler)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(patience):
			}
		case "/error":
			w.WriteHeader(http.StatusInternalServerError)
		case "/trailers":
			w.Header().Set("trailer", "x-sum")
			io.WriteString(w, "a body")
			w.Header().Set("x-sum", "42")
		default:
			w.Header().Add("x-answer", "one")
			w.Header().Add("x-answer", "two")
			io.WriteString(w, "hello")
		}
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.ErrorLog = nil
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// echo gives back what it is sent, and closes after an end.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// client speaks one version of HTTP, each request on a connection of its own.
func client(two bool, conf *tls.Config) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!two)
	p.SetUnencryptedHTTP2(two && conf == nil)
	p.SetHTTP2(two && conf != nil)
	return &http.Client{Timeout: patience, Transport: &http.Transport{Protocols: p, DisableKeepAlives: !two, TLSClientConfig: conf, DisableCompression: true}}
}

// send makes a request and forgets the answer.
func send(t *testing.T, c *http.Client, method, url, body string, head ...string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		if head[i] == "host" {
			r.Host = head[i+1]
		}
		r.Header.Add(head[i], head[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		return // that is what some requests come to
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}
