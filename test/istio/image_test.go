package istio

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/envoy"
)

// buildah runs it with stores of its own.
func buildah(t *testing.T, dir string) func(args ...string) string {
	stores := []string{"--root", filepath.Join(dir, "images"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}
	return func(args ...string) string {
		t.Helper()
		c := exec.Command("buildah", append(append([]string{}, stores...), args...)...)
		c.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("buildah %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
}

// TestImageOfWeftAlone builds the recipe without Istio's agent over nothing at all, and runs each program in it, and weft by both its names.
func TestImageOfWeftAlone(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	run := buildah(t, t.TempDir())
	run("bud", "-q", "-f", filepath.Join(root, "deploy/weft.Containerfile"), "-t", "localhost/weft:test", root)
	made := run("from", "localhost/weft:test")
	defer run("rm", made)
	if got := run("inspect", "--format", "{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}", made); got != "1337:1337 [/usr/local/bin/pilot-agent]" {
		t.Errorf("user and entry point are %s: want the agent's", got)
	}
	for _, one := range [][3]string{{"weft", "version", "weft  version:"}, {"pilot-agent", "version", "weft  version:"}, {"weftctl", "version", "weftctl "}, {"weftd", "--version", "0.1"}} {
		if got := run("run", made, "--", "/usr/local/bin/"+one[0], one[1]); !strings.Contains(got, one[2]) {
			t.Errorf("%s says %q", one[0], got)
		}
	}
}

// TestImage builds the recipe over an image that is like Istio's, as far as the recipe goes: it has an Envoy, no shell, and a user who is not root.
func TestImage(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := buildah(t, dir)
	base := filepath.Join(dir, "base")
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(envoy.Binary(t))
	if err != nil || os.WriteFile(filepath.Join(base, "envoy"), theirs, 0o755) != nil {
		t.Fatalf("copy Envoy: %v", err)
	}
	like := "FROM scratch\nCOPY envoy /usr/local/bin/envoy\nUSER 1337:1337\nENTRYPOINT [\"/usr/local/bin/pilot-agent\"]\n"
	if err := os.WriteFile(filepath.Join(base, "Containerfile"), []byte(like), 0o644); err != nil {
		t.Fatal(err)
	}
	run("bud", "-q", "-t", "localhost/proxyv2:test", base)
	run("bud", "-q", "-f", filepath.Join(root, "deploy/istio-proxy.Containerfile"), "--build-arg", "ISTIO=localhost/proxyv2:test", "-t", "localhost/proxyv2-weft:test", root)
	made := run("from", "localhost/proxyv2-weft:test")
	defer run("rm", made)
	if got := run("inspect", "--format", "{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}", made); got != "1337:1337 [/usr/local/bin/pilot-agent]" {
		t.Errorf("user and entry point are %s: want the agent's", got)
	}
	if got := run("run", made, "--", "/usr/local/bin/envoy", "--version"); !strings.Contains(got, "weft  version:") {
		t.Errorf("in Envoy's place there is a program that says %q", got)
	}
	in := run("mount", made)
	s, err := os.Stat(filepath.Join(in, "usr/local/bin/envoy"))
	if err != nil || s.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v: want a program that everybody may run and nobody write", s, err)
	}
	if b, err := os.ReadFile(filepath.Join(in, "usr/local/bin/envoy.istio")); err != nil || !bytes.Equal(b, theirs) {
		t.Errorf("%d bytes, %v: want Envoy itself beside it, which needs libraries that this image has not", len(b), err)
	}
}
