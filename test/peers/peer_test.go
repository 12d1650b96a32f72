package peers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bounds of time: of a build, which fetches what it needs the first time, and of anything that a peer is to do.
const (
	buildLimit = 10 * time.Minute
	limit      = time.Minute
)

// programs are the peers' command lines up to what each is to do.
type programs struct{ golang, javaServer, javaClient []string }

// build makes them, both at once.
func build(t *testing.T) programs {
	t.Helper()
	for _, tool := range []string{"mvn", "java", "javac"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: install maven and default-jdk-headless (make setup does)", tool)
		}
	}
	out := t.TempDir()
	ctx, stop := context.WithTimeout(t.Context(), buildLimit)
	defer stop()
	run := func(dir string, command ...string) {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir = dir
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s in %s: %v\n%s", strings.Join(command, " "), dir, err, said)
		}
	}
	classpath, binary := filepath.Join(out, "classpath"), filepath.Join(out, "dubbogo")
	var both sync.WaitGroup
	both.Go(func() { run("dubbogo", "go", "build", "-o", binary, ".") })
	both.Go(func() {
		run("dubbojava", "mvn", "-q", "-B", "-Dout="+out, "compile", "dependency:build-classpath", "-Dmdep.outputFile="+classpath)
	})
	both.Wait()
	if t.Failed() {
		t.FailNow()
	}
	path, err := os.ReadFile(classpath)
	if err != nil {
		t.Fatal(err)
	}
	java := []string{"java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(out, "classes") + ":" + strings.TrimSpace(string(path))}
	return programs{[]string{binary}, append(java[:len(java):len(java)], "org.example.peers.Server"), append(java[:len(java):len(java)], "org.example.peers.Client")}
}

// peer is a running one, which is asked and answers by lines.
type peer struct {
	name string
	in   io.Writer
	out  chan string // lines
	log  bytes.Buffer
}

// start runs one until the test ends. It has said that it is ready.
func start(t *testing.T, name string, command ...string) *peer {
	t.Helper()
	p := &peer{name: name, out: make(chan string, 1000)}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = t.TempDir() // where they leave logs
	cmd.Stderr = &p.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.out)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if text := lines.Text(); strings.HasPrefix(text, "ready") || strings.HasPrefix(text, "said ") {
				p.out <- text
			}
		}
	}()
	t.Cleanup(func() {
		in.Close()
		late := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		<-read
		cmd.Wait()
		late.Stop()
		if t.Failed() {
			said := p.log.Bytes()
			t.Logf("%s said at last:\n%s", name, said[max(0, len(said)-4000):])
		}
	})
	if got := p.line(t); got != "ready" {
		t.Fatalf("%s: %q", name, got)
	}
	return p
}

// line is the next that the peer says.
func (p *peer) line(t *testing.T) string {
	t.Helper()
	select {
	case text, ok := <-p.out:
		if !ok {
			t.Fatalf("%s has ended", p.name)
		}
		return text
	case <-time.After(limit):
		t.Fatalf("%s says nothing within %v", p.name, limit)
	}
	return ""
}

// ask gives a client something to do, and gives what it says of it.
func (p *peer) ask(t *testing.T, words ...string) string {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, strings.Join(words, " ")); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return strings.TrimPrefix(p.line(t), "said ")
}

// listening waits until there is somebody at a port.
func listening(t *testing.T, port int) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens at port %d after %v: %v", port, limit, err)
		}
	}
}
