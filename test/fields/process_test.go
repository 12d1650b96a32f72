package fields

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// program builds weft, once, into the folder that TestMain has made.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "weft")
	out, err := exec.Command("go", "build", "-o", path, "github.com/weftmesh/weft/cmd/weft").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// folder is where the program is built.
var folder string

// startProcess runs the program until the test ends; what it prints is in the folder.
func startProcess(t testing.TB, up *e2e.Upstream, text, dir string, _ int) *world {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "weft.yaml"), text)
	c := exec.Command(path, "-c", filepath.Join(dir, "weft.yaml"), "--disable-hot-restart", "--concurrency", "1", "--admin-address-path", filepath.Join(dir, "admin"),
		"--file-flush-interval-msec", "1")
	stdout, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	c.Stdout, c.Stderr = stdout, stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	w := &world{t: t, up: up, dir: dir, text: text}
	w.eventually("an admin address", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "admin"))
		w.admin = string(b)
		return w.admin != ""
	})
	return w
}

// ask reads an admin page of a process.
func (w *world) ask(path string) string {
	w.t.Helper()
	return e2e.Dial(w.t, w.admin).Get(path, "connection: close").Body
}

// listener is where the process listens, once it does.
func (w *world) listener() string {
	_, at, _ := strings.Cut(strings.TrimSpace(w.ask("/listeners")), "::")
	return at
}

const adminAt = "address: {socket_address: {address: 127.0.0.1, port_value: 0}}"

func adminSite(piece string) string { return "admin: {" + piece + "}" }

func logTo(sink string) func(string) string {
	return func(piece string) string {
		return hcm(`access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.`+sink+`AccessLog, log_format: {text_format: "`+piece+`\n"}}}]`) + "\nadmin: {" + adminAt + "}"
	}
}

// printed sends a request through a process and gives the last line of what it prints then.
func printed(name string) func(*world) string {
	return func(w *world) string {
		w.eventually("a listener", func() bool { return w.listener() != "" })
		e2e.Dial(w.t, w.listener()).Get("/").Want(w.t, 200)
		last := ""
		w.eventually("a line of the access log", func() bool {
			b, _ := os.ReadFile(filepath.Join(w.dir, name))
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			last = lines[len(lines)-1]
			return last == "one" || last == "two"
		})
		return last
	}
}

func adminLog(piece string) string {
	return adminSite(adminAt + `, access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "` + piece + `\n"}}]`)
}

var processTrials = []trial{
	{paths: "Admin.address", process: true, site: adminSite, base: adminAt, flip: strings.Replace(adminAt, "127.0.0.1", "127.0.0.2", 1), probe: func(w *world) string {
		host, _, _ := net.SplitHostPort(w.admin)
		return host
	}, want: [2]string{"127.0.0.1", "127.0.0.2"}},
	{paths: "Admin.access_log_path", process: true, site: adminSite, base: adminAt + `, access_log_path: "@DIR@/other"`, flip: adminAt + `, access_log_path: "@DIR@/log"`, probe: func(w *world) string {
		w.ask("/ready")
		for _, name := range []string{"log", "other"} {
			if w.exists(name) && strings.Contains(w.file(name), "GET /ready") {
				return name
			}
		}
		return ""
	}, want: [2]string{"other", "log"}},
	{paths: "Admin.access_log", process: true, site: adminLog, base: "a %REQ(:PATH)% %RESPONSE_CODE%", flip: "b %REQ(:PATH)% %RESPONSE_CODE%", probe: func(w *world) string {
		w.ask("/nothing")
		return w.file("log")
	}, want: [2]string{"a /nothing 404", "b /nothing 404"}},
	{paths: "Admin.profile_path", process: true, site: adminSite, base: adminAt + `, profile_path: "@DIR@/a"`, flip: adminAt + `, profile_path: "@DIR@/b"`, probe: func(w *world) string {
		for _, enable := range []string{"y", "n"} {
			e2e.Dial(w.t, w.admin).Send("POST /cpuprofiler?enable="+enable+" HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").Read("POST").Want(w.t, 200)
		}
		return fmt.Sprintf("%t|%t", w.exists("a"), w.exists("b"))
	}, want: [2]string{"true|false", "false|true"}},
	{paths: "Admin.allow_paths", process: true, site: adminSite, base: adminAt, flip: adminAt + `, allow_paths: [{prefix: /ready}, {exact: /help}]`, probe: func(w *world) string {
		status := func(path string) string {
			return fmt.Sprint(e2e.Dial(w.t, w.admin).Send("GET " + path + " HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").Read("GET").Status)
		}
		w.eventually("ready", func() bool { return status("/ready?x") != "503" }) // its pages are there before it serves
		return strings.Join([]string{status("/ready?x"), status("/help"), status("/help?x"), status("/stats")}, "|")
	}, want: [2]string{"200|200|200|200", "200|200|403|403"}},
	{paths: "LogFormat.text_format", process: true, site: func(p string) string {
		return adminSite(adminAt) + "\napplication_log_config: {log_format: {text_format: \"" + p + "%v\"}}"
	}, base: "a", flip: "b", probe: func(w *world) string { return w.file("stderr")[:1] }, want: [2]string{"a", "b"}},
	{paths: "LogFormat.json_format", process: true, site: func(p string) string {
		return adminSite(adminAt) + "\napplication_log_config: {log_format: {json_format: {k: \"" + p + "%j\"}}}"
	}, base: "a", flip: "b", probe: func(w *world) string { return w.file("stderr")[:7] }, want: [2]string{`{"k":"a`, `{"k":"b`}},
	{paths: "Node.locality", process: true, site: func(p string) string { return adminSite(adminAt) + "\nnode: {locality: {region: " + p + "}}" }, base: "one", flip: "two", probe: func(w *world) string {
		text := w.ask("/server_info")
		return fmt.Sprintf("%t|%t", strings.Contains(text, `"one"`), strings.Contains(text, `"two"`))
	}, want: [2]string{"true|false", "false|true"}},
	{paths: "StdoutAccessLog.log_format", process: true, site: logTo("Stdout"), base: "one", flip: "two", probe: printed("stdout"), want: [2]string{"one", "two"}},
	{paths: "StderrAccessLog.log_format", process: true, site: logTo("Stderr"), base: "one", flip: "two", probe: printed("stderr"), want: [2]string{"one", "two"}},
}
