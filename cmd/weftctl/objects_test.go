package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	plane "github.com/weftmesh/weft/control"
)

// shopOf is a VirtualService with a share for its first version.
func shopOf(first int) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  namespace: a
spec:
  hosts: [shop.test]
  http:
  - route:
    - destination: {host: shop.test, subset: v1}
      weight: %d
    - destination: {host: shop.test, subset: v2}
      weight: %d
`, first, 100-first)
}

// expect runs a command and holds its exit code and parts of what it writes; "" is for nothing at all.
func expect(t *testing.T, code int, out, wrong string, args ...string) string {
	t.Helper()
	gotCode, gotOut, gotWrong := control(args...)
	if gotCode != code || !strings.Contains(gotOut, out) || !strings.Contains(gotWrong, wrong) || (out == "") != (gotOut == "") || (wrong == "") != (gotWrong == "") {
		t.Errorf("weftctl %q: exit code %d, output\n%s\nerrors\n%s\nwant %d, %q, %q", args, gotCode, gotOut, gotWrong, code, out, wrong)
	}
	return gotOut
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestObjects(t *testing.T) {
	p := weftdWith(t, map[string]string{"ns.yaml": "{apiVersion: v1, kind: Namespace, metadata: {name: a}}"}, plane.Options{Store: filepath.Join(t.TempDir(), "store")})
	canary := written(t, "canary.yaml", "# a canary\n"+shopOf(100))
	expect(t, exitUsage, "", "want -f FILE", "apply")
	expect(t, exitFailed, "", "there is no such file", "apply", "-f", "nowhere.yaml")
	expect(t, exitDone, "virtualservice.networking.istio.io/shop created (dry run)\n", "", "apply", "-f", canary, "--dry-run")
	bare := written(t, "bare.yaml", strings.Replace(shopOf(1), "  namespace: a\n", "", 1))
	expect(t, exitDone, "created", "", "apply", "-f", bare, "-n", "c")
	expect(t, exitFailed, "", "metadata.namespace: is a, and c is asked for", "apply", "-f", canary, "-n", "c")
	if code, out, _ := control("diff", "-f", bare, "-n", "c"); code != 0 {
		t.Errorf("diff: %d\n%s", code, out)
	}
	expect(t, 1, "+++", "", "diff", "-f", bare)
	expect(t, exitDone, "deleted", "", "delete", "-f", bare, "-n", "c")
	expect(t, exitUsage, "", "which vs? want its name behind it", "history", "vs")
	expect(t, exitUsage, "", `there is no kind "virtualservce": did you mean "virtualservice"?`, "get", "virtualservce")
	expect(t, exitFailed, "", "there is no VirtualService a/shop", "get", "vs", "shop", "-n", "a")
	expect(t, 1, "+  name: shop\n", "", "diff", "-f", canary)
	expect(t, exitDone, "virtualservice.networking.istio.io/shop created\n", "", "apply", "-f", canary, "--as", "ann")
	expect(t, exitDone, "virtualservice.networking.istio.io/shop unchanged\n", "", "apply", "-f", canary, "--as", "ann")
	if code, out, wrong := control("diff", "-f", canary); code != 0 || out != "" || wrong != "" {
		t.Errorf("diff: %d, %q, %q", code, out, wrong)
	}
	for i := range 8 {
		step := written(t, "step.yaml", shopOf(99-i))
		expect(t, exitDone, "configured", "", "apply", "-f", step, "--as", "canary")
	}
	got := expect(t, 1, "+++ ", "", "diff", "-f", canary)
	if want := "@@ -13,9 +13,9 @@\n     - destination:\n         host: shop.test\n         subset: v1\n-      weight: 92\n+      weight: 100\n     - destination:\n         host: shop.test\n         subset: v2\n-      weight: 8\n+      weight: 0\n"; !strings.HasSuffix(got, want) && !strings.Contains(got, "-          weight: 92\n+          weight: 100\n") {
		t.Errorf("diff is\n%s", got)
	}
	history := expect(t, exitDone, "VERSION", "", "history", "vs/shop", "-n", "a")
	if rows := strings.Count(history, "\n"); rows != 7 || !strings.Contains(history, "1         ann") || !strings.Contains(history, "in force") || !strings.Contains(history, "9         canary") {
		t.Errorf("history is\n%s", history)
	}
	expect(t, exitDone, "weight: 100\n", "", "history", "vs", "shop", "-n", "a", "--version", "1")
	expect(t, exitDone, `"author": "ann"`, "", "history", "vs", "shop", "-n", "a", "-o", "json")
	expect(t, exitUsage, "", "want --to N", "rollback", "vs", "shop", "-n", "a")
	expect(t, exitFailed, "", "there is no version 2 of VirtualService a/shop, or it is kept no more", "rollback", "vs", "shop", "-n", "a", "--to", "2")
	expect(t, exitDone, "virtualservice.networking.istio.io/shop would be rolled back to version 1 (dry run)\n", "", "rollback", "vs/shop", "-n", "a", "--to", "1", "--dry-run")
	expect(t, exitDone, "virtualservice.networking.istio.io/shop rolled back to version 1, as version 10\n", "", "rollback", "vs/shop", "-n", "a", "--to", "1", "--as", "ben")
	if code, out, _ := control("diff", "-f", canary); code != 0 {
		t.Errorf("it is not what it was:\n%s", out)
	}
	expect(t, exitDone, "ben", "", "get", "vs", "-n", "a")
	expect(t, exitDone, "virtualservice/shop", "", "get", "all", "-A")
	expect(t, exitDone, "namespace/a\n", "", "get", "ns", "-o", "name")
	expect(t, exitDone, "- apiVersion: networking.istio.io/v1\n", "", "get", "vs", "-A", "-o", "yaml")
	// What is got can be applied, and is written upon what it was.
	yaml := expect(t, exitDone, "resourceVersion: ", "", "get", "vs", "shop", "-n", "a", "-o", "yaml")
	expect(t, exitDone, "configured", "", "apply", "-f", written(t, "got.yaml", strings.Replace(yaml, "weight: 100", "weight: 99", 1)))
	expect(t, exitFailed, "", "has been changed by", "apply", "-f", written(t, "again.yaml", strings.Replace(yaml, "weight: 100", "weight: 98", 1)))
	// Nothing is applied if something is wrong, in whichever file.
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": strings.Replace(shopOf(50), "name: shop", "name: other", 1), "b/b.yaml": "\n# two\n" + strings.Replace(shopOf(50), "weight:", "wieght:", 1), "b/.hidden.yaml": "[", "c.txt": "["} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, exitFailed, "", filepath.Join(dir, "b/b.yaml")+":13: VirtualService a/shop: spec.http[0].route[0].wieght: is no field of HTTPRouteDestination: weight?", "apply", "-f", dir)
	expect(t, exitFailed, "", "there is no VirtualService a/other", "get", "vs", "other", "-n", "a")
	// What a file has is for its author to change.
	if err := os.WriteFile(filepath.Join(p.ConfigDir, "own.yaml"), []byte(strings.Replace(shopOf(10), "name: shop", "name: own", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, "own.yaml:1", "get", "vs", "-n", "a")
	if err := os.WriteFile(filepath.Join(p.ConfigDir, "own.yaml"), []byte(strings.Replace(shopOf(20), "name: shop", "name: own", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, "2 file", "history", "vs", "own", "-n", "a")
	expect(t, exitFailed, "weight: 10\n", "VirtualService a/own is of files (own.yaml): change the file, to the manifest of version 1", "rollback", "vs", "own", "-n", "a", "--to", "1")
	expect(t, exitFailed, "", "is in files (own.yaml), and that one counts: change the file", "delete", "vs", "own", "-n", "a")
	// Gone, and back.
	expect(t, exitDone, "virtualservice.networking.istio.io/shop deleted (dry run)\n", "", "delete", "-f", canary, "--dry-run")
	expect(t, exitDone, "virtualservice.networking.istio.io/shop deleted\n", "", "delete", "vs/shop", "-n", "a")
	expect(t, exitFailed, "", "there is no VirtualService a/shop", "delete", "vs/shop", "-n", "a")
	if code, _, _ := control("delete", "vs/shop", "-n", "a", "--ignore-not-found"); code != exitDone {
		t.Error("an object that is not there is a failure all the same")
	}
	expect(t, exitDone, "taken away", "", "history", "vs/shop", "-n", "a")
	expect(t, exitDone, "rolled back to version 1", "", "rollback", "vs/shop", "-n", "a", "--to", "1")
}

// Without a store that lasts it is said what becomes of what is applied.
func TestApplyToMemory(t *testing.T) {
	weftdWith(t, nil, plane.Options{})
	expect(t, exitDone, "created", "Warning: weftd keeps it in memory", "apply", "-f", written(t, "a.yaml", shopOf(1)))
}

// Over TLS weftd is asked by who shows who he is, and a token is shown to weftd alone.
func TestObjectsOverTLS(t *testing.T) {
	hash := sha256.Sum256([]byte("secret"))
	users := written(t, "users.yaml", fmt.Sprintf("users:\n- {name: ann, tokenSHA256: %s, roles: {a: editor}}\n- {name: all, tokenSHA256: %s, roles: {'*': viewer}}\n", hex.EncodeToString(hash[:]), func() string { h := sha256.Sum256([]byte("view")); return hex.EncodeToString(h[:]) }()))
	audit := filepath.Join(t.TempDir(), "audit")
	p := weftdWith(t, nil, plane.Options{HTTP: "127.0.0.1:0", Users: users, AuditLog: audit})
	_, roots, _ := control("ca", "roots")
	ca, token, shop := written(t, "roots.pem", roots), written(t, "token", "secret\n"), written(t, "shop.yaml", shopOf(1))
	_, port, _ := net.SplitHostPort(p.HTTPAddress.String())
	server := "https://localhost:" + port
	with := func(args ...string) []string {
		return append(args, "--server", server, "--token-file", token, "--ca-file", ca)
	}
	expect(t, exitDone, "created", "Warning: weftd keeps it in memory", with("apply", "-f", shop)...)
	expect(t, exitFailed, "", `ann may not write as "ben"`, with("apply", "-f", shop, "--as", "ben")...)
	expect(t, exitDone, "ann", "", with("get", "vs", "-n", "a")...)
	expect(t, exitFailed, "", "that takes the role viewer in namespace b, and the roles are {a: editor}", with("get", "vs", "-n", "b")...)
	expect(t, exitFailed, "", "that takes the role editor in namespace b", with("apply", "-f", written(t, "b.yaml", strings.Replace(shopOf(1), "namespace: a", "namespace: b", 1)))...)
	expect(t, exitFailed, "", "that takes the role viewer everywhere", with("status")...)
	expect(t, exitUsage, "", "weftd takes this from its own host only", "ca", "roots", "--server", server)
	expect(t, exitUsage, "", "who asks? want --token-file", "get", "vs", "--server", server)
	expect(t, exitUsage, "", "are about https", "get", "vs", "--token-file", token)
	expect(t, exitUsage, "", "no such file", "get", "vs", "--server", server, "--token-file", "nowhere")
	expect(t, exitUsage, "", "has no certificate", "get", "vs", "--server", server, "--token-file", token, "--ca-file", token)
	t.Setenv(serverEnv, server)
	t.Setenv(caEnv, ca)
	t.Setenv(tokenEnv, "view")
	expect(t, exitDone, "1 objects", "", "status")
	expect(t, exitFailed, "", "all may not take VirtualService a/shop away: that takes the role editor in namespace a", "delete", "vs/shop", "-n", "a")
	t.Setenv(tokenEnv, "wrong")
	expect(t, exitFailed, "", "nobody knows who asks", "get", "vs")
	t.Setenv(caEnv, written(t, "other.pem", roots+"\n"))
	t.Setenv(caEnv, "")
	expect(t, exitFailed, "", "certificate", "get", "vs")
	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"what":"object","from":"127.0.0.1:`, `"by":"token","object":"VirtualService a/shop","change":"created","version":1,"author":"ann","source":"store"}`,
		`"change":"deleted"`, `"refused":"all may not `,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the audit log has no %s:\n%s", want, text)
		}
	}
}

func TestCompletion(t *testing.T) {
	weftdWith(t, map[string]string{"shop.yaml": shopOf(1)}, plane.Options{})
	for _, one := range []struct {
		line []string
		want string
	}{
		{[]string{"hist"}, "history\n"},
		{[]string{"get", "virtual"}, "virtualservice\n"},
		{[]string{"get", "al"}, "all\n"},
		{[]string{"delete", "al"}, ""},
		{[]string{"get", "vs", "-n", "a", ""}, "shop\n"},
		{[]string{"history", "-n", "a", "vs/"}, "vs/shop\n"},
		{[]string{"history", "-n", "b", "vs/"}, ""},
		{[]string{"rollback", "vs", "shop", "--t"}, "--to\n--token-file\n"},
		{[]string{"proxy", "rou"}, "routes\n"},
		{[]string{"proxy", "routes", "--ad"}, "--admin\n"},
		{[]string{"ca", "ro"}, "roots\nrotate\n"},
		{[]string{"completion", "b"}, "bash\n"},
		{[]string{"get", "nokind", ""}, ""},
		{[]string{"apply", "-f", ""}, ""}, // which is for the shell
		{nil, ""},
	} {
		code, out, wrong := control(append([]string{completeWord}, one.line...)...)
		if sorted := strings.Join(sortedLines(out), ""); code != exitDone || sorted != one.want || wrong != "" {
			t.Errorf("%q: %d, %q, %q: want %q", one.line, code, out, wrong, one.want)
		}
	}
	expect(t, exitUsage, "", "want bash, zsh or fish", "completion")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := expect(t, exitDone, completeWord, "", "completion", shell)
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		if out, err := exec.Command(path, "-n", written(t, "script", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
	// A real bash asks a program of that name.
	if bash, err := exec.LookPath("bash"); err == nil {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "weftctl"), []byte("#!/bin/sh\nshift\nprintf '%s|' \"$@\" >&2\nprintf 'one two\\nthree\\n'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, script, _ := control("completion", "bash")
		c := exec.Command(bash, "-c", script+"COMP_WORDS=(weftctl get vs ''); COMP_CWORD=3; _weftctl; printf '<%s>' \"${COMPREPLY[@]}\"")
		c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		if out, err := c.Output(); err != nil || string(out) != "<one two><three>" {
			t.Errorf("bash completes %q, %v", out, err)
		}
	}
}

func sortedLines(text string) (out []string) {
	for line := range strings.Lines(text) {
		out = append(out, line)
	}
	return out
}

// TestUnified holds what is written to what diff -u writes, by patching with it: the tool itself is asked where there is one.
func TestUnified(t *testing.T) {
	lines := func(words string) string {
		if words == "" {
			return ""
		}
		return strings.Join(strings.Fields(words), "\n") + "\n"
	}
	long := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "%d ", i)
		}
		return b.String()
	}
	for _, c := range []struct{ a, b string }{
		{"", "a"}, {"a", ""}, {"a b c", "a x c"}, {"a b c d e f g h i j", "a b c d X f g h i j"}, {long(0, 50), long(1, 49)},
		{long(0, 20) + "x " + long(20, 40), long(0, 10) + "y " + long(10, 40) + "z"}, {"a b a b a b", "b a b a b a"}, {long(0, 9) + "x", "y " + long(0, 9)},
	} {
		a, b := lines(c.a), lines(c.b)
		var got bytes.Buffer
		if err := unified(&got, "was", "is", a, b); err != nil {
			t.Fatal(err)
		}
		if patch, err := exec.LookPath("patch"); err == nil {
			was := written(t, "was", a)
			cmd := exec.Command(patch, "-s", "--fuzz=0", was)
			cmd.Stdin = bytes.NewReader(got.Bytes())
			out, err := cmd.CombinedOutput()
			now, _ := os.ReadFile(was)
			if err != nil || string(now) != b {
				t.Errorf("%q to %q: patch says %v %s and makes %q by\n%s", c.a, c.b, err, out, now, got.String())
			}
		}
		head := strings.Count(got.String(), "\n") - strings.Count(got.String(), "\n ") - strings.Count(got.String(), "\n+") - strings.Count(got.String(), "\n-")
		if !strings.HasPrefix(got.String(), "--- was\n+++ is\n@@ -") || head < 1 {
			t.Errorf("%q to %q:\n%s", c.a, c.b, got.String())
		}
	}
}

func TestSince(t *testing.T) {
	for ago, want := range map[time.Duration]string{-time.Hour: "0s", 90 * time.Second: "90s", 5 * time.Minute: "5m", 3 * time.Hour: "3h", 100 * time.Hour: "4d"} {
		if got := since(time.Now().Add(-ago)); got != want {
			t.Errorf("%v ago is %s: want %s", ago, got, want)
		}
	}
}
