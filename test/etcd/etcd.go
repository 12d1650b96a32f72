package etcd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/kube"
)

// patience bounds how long a start may take. It takes half a second alone.
const patience = time.Minute

// Server is an etcd of one member.
type Server struct {
	Address string // HOST:PORT
	Dir     string // with ca.pem, and client.pem and client.key that it takes
	t       testing.TB
	program string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Start runs an etcd until the test ends, that is ready.
func Start(t testing.TB) *Server {
	t.Helper()
	programs, err := kube.Find()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: t.TempDir(), t: t, program: filepath.Join(programs, "etcd")}
	a := authority.New(t, s.Dir)
	a.Issue("server", []string{"127.0.0.1", "localhost"}, nil)
	a.Issue("client", []string{"weftd"}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	l.Close()
	s.run()
	t.Cleanup(s.Stop)
	return s
}

// Store is what weftd's --store says to have its things there, below a prefix.
func (s *Server) Store(prefix string) string {
	file := func(name string) string { return filepath.Join(s.Dir, name) }
	return fmt.Sprintf("etcd://%s/%s?ca=%s&cert=%s&key=%s", s.Address, prefix, file("ca.pem"), file("client.pem"), file("client.key"))
}

func (s *Server) run() {
	s.t.Helper()
	file := func(name string) string { return filepath.Join(s.Dir, name) }
	said, err := os.OpenFile(file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer said.Close()
	s.cmd = exec.Command(s.program, "--data-dir", file("data"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", "https://"+s.Address, "--advertise-client-urls", "https://"+s.Address,
		"--cert-file", file("server.pem"), "--key-file", file("server.key"), "--trusted-ca-file", file("ca.pem"), "--client-cert-auth",
		// Nobody else is a member; the address is there to be said.
		"--listen-peer-urls", "unix://"+s.Address, "--initial-advertise-peer-urls", "http://127.0.0.1:1", "--initial-cluster", "default=http://127.0.0.1:1")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.Dir, said, said
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	cmd := s.cmd
	go func() {
		cmd.Wait()
		close(ended)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		c, err := net.DialTimeout("tcp", s.Address, time.Second)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
			continue
		case <-ended:
		case <-limit:
		}
		text, _ := os.ReadFile(file("log"))
		s.t.Fatalf("etcd does not start: %s", text)
	}
}

// Stop has it die with no word of warning. What it knows stays.
func (s *Server) Stop() {
	s.cmd.Process.Kill()
	<-s.ended
}

// Restart starts it again, at the same address.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.run()
}
