package control

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, mesh string) (p *Plane, meshFile string) { return startAt(t, mesh, "") }

// startAt is start with an authority at an address, if that is not empty.
func startAt(t *testing.T, mesh, secure string) (p *Plane, meshFile string) {
	t.Helper()
	dir := t.TempDir()
	if mesh != "" {
		meshFile = filepath.Join(t.TempDir(), "mesh.yaml")
		if err := os.WriteFile(meshFile, []byte(mesh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Start(Options{ConfigDir: dir, MeshConfig: meshFile, GRPC: "127.0.0.1:0", SecureGRPC: secure, Admin: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Level: &slog.LevelVar{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	select {
	case <-p.Readied():
	case <-time.After(20 * time.Second):
		t.Fatal("it does not become ready")
	}
	return p, meshFile
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not: %s", what)
		}
	}
}

func ask(t *testing.T, p *Plane, method, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+p.AdminAddress.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, _ := io.ReadAll(got.Body)
	return got.StatusCode, string(b)
}

func TestPagesAnswer(t *testing.T) {
	p, _ := start(t, "")
	for _, one := range []struct {
		method, path string
		code         int
		has          string
	}{
		{"GET", "/", 200, "syncz, connections"},
		{"GET", "/ready", 200, "ready"},
		{"GET", "/status", 200, `"refused": []`},
		{"GET", "/debug/", 200, "/debug/registryz"},
		{"GET", "/debug/syncz", 200, "[]"},
		{"GET", "/debug/config_dump", 400, "proxyID"},
		{"GET", "/debug/config_dump?proxyID=a.b", 404, "another instance"},
		{"GET", "/metrics", 200, "\nweftd_push_streams 0\n"},
		{"GET", "/metrics", 200, "\npilot_services 0\n"},
		{"GET", "/debug/pprof/heap", 200, ""},
		{"GET", "/logging?level=debug", 405, "POST"},
		{"POST", "/logging?level=loud", 400, "want debug"},
		{"POST", "/logging?level=debug", 200, "DEBUG"},
		{"GET", "/nowhere", 404, ""},
	} {
		if code, body := ask(t, p, one.method, one.path); code != one.code || !strings.Contains(body, one.has) {
			t.Errorf("%s %s: %d %.200s: want %d, %q", one.method, one.path, code, body, one.code, one.has)
		}
	}
	if p.Level.Level() != slog.LevelDebug {
		t.Error("the level stays")
	}
}

// The mesh's own configuration is read when it is said to be, and a wrong one is not taken.
func TestTheMeshConfigurationIsReadAgain(t *testing.T) {
	p, file := start(t, "trustDomain: one\n")
	rounds := func() int { return p.push.Status().Last.Number }
	before := rounds()
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("trustDoman: two\n")
	p.Reread()
	write("trustDomain: two\n")
	p.Reread()
	eventually(t, "it is taken", func() bool { return rounds() == before+1 })
	if n := p.push.Status().Objects["MeshConfig"]; n != 1 {
		t.Errorf("%d mesh configurations", n)
	}
	write("trustDoman: two\n")
	_, err := Start(Options{ConfigDir: t.TempDir(), MeshConfig: file, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "mesh.yaml:1") || !strings.Contains(err.Error(), "trustDoman") {
		t.Errorf("a wrong one is served: %v", err)
	}
}

// Certificates of two trust domains do not trust one another: where some have been issued, the domain stays.
func TestATrustDomainStays(t *testing.T) {
	p, file := startAt(t, "trustDomain: one\n", "127.0.0.1:0")
	before := p.push.Status().Last.Number
	for _, text := range []string{"trustDomain: two\n", "trustDomain: one\naccessLogFile: /dev/stdout\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p.Reread()
	}
	eventually(t, "the second is taken, and the first is not", func() bool { return p.push.Status().Last.Number == before+1 })
}

// What says nothing without something else is refused.
func TestOptionsNeedOneAnother(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("users: [{name: ann, roles: {}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		o    Options
		want string
	}{
		{Options{CADir: "x"}, "--secure-grpc-addr"},
		{Options{ClusterName: "a/b"}, "--cluster-name: the name of a cluster \"a/b\""},
		{Options{MeshNetworks: "nowhere"}, "--mesh-networks: open nowhere: no such file"},
		{Options{SecureNames: []string{"x"}}, "--secure-grpc-addr"},
		{Options{Users: "x"}, "--users is about who comes to --http-addr"},
		{Options{HTTP: "127.0.0.1:0"}, "--http-addr lets nobody in without --users"},
		{Options{HTTP: "127.0.0.1:0", Users: "nowhere"}, "--users: console: users: stat nowhere: no such file"},
		{Options{HTTP: "127.0.0.1:0", Users: users}, "users[0].roles: are not said"},
		{Options{Store: "nowhere/store"}, "--store"},
		{Options{MachineGrace: -time.Second}, "--machine-grace is -1s"},
		{Options{CAUpstreamRoots: "x"}, "--secure-grpc-addr"},
		{Options{SecureGRPC: "127.0.0.1:0", CASigner: "a/b", CAUpstreamRoots: "x"}, "--ca-upstream-roots is about whoever --ca-upstream names"},
	} {
		one.o.ConfigDir, one.o.Log = t.TempDir(), slog.New(slog.DiscardHandler)
		if _, err := Start(one.o); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%+v: %v: want %q", one.o, err, one.want)
		}
	}
	if _, err := Start(Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "by --kubeconfig, or by --store") {
		t.Error(err)
	}
}
