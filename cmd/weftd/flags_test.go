package main

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestFlagsComeFromTheCommandLineTheEnvironmentAndAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weftd.yaml")
	if err := os.WriteFile(file, []byte("config-dir: of-file\nlog-level: debug\nallow-plaintext-xds: true\ngrpc-addr: ''\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := parse([]string{"--config", file, "--config-dir", "of-line"},
		[]string{"WEFTD_CONFIG_DIR=of-environment", "WEFTD_ADMIN_ADDR=127.0.0.1:1", "HOME=/", "WEFTD_SERVICE_HOST=10.0.0.1", "WEFTD_PORT_15010_TCP=tcp://10.0.0.1:15010"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.ConfigDir != "of-line" || f.Admin != "127.0.0.1:1" || f.level != slog.LevelDebug || !f.AllowPlaintext || f.GRPC != "" {
		t.Errorf("%+v", f)
	}
	if f, err = parse(nil, []string{"WEFTD_CONFIG=" + file}, nil); err != nil || f.ConfigDir != "of-file" || f.Admin != "127.0.0.1:9876" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFlagsThatAreWrongAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "f.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, one := range []struct {
		args, env []string
		file      string
		want      string
	}{
		{args: []string{"--config-dri", "x"}, want: "config-dri"},
		{args: []string{"mesh"}, want: `unexpected argument "mesh"`},
		{args: []string{"--log-level", "loud"}, want: `level "loud": want debug, info, warning or error`},
		{env: []string{"WEFTD_CONFIG_DRI=x"}, want: "WEFTD_CONFIG_DRI in the environment: there is no such flag"},
		{env: []string{"WEFTD_ALLOW_PLAINTEXT_XDS=perhaps"}, want: `WEFTD_ALLOW_PLAINTEXT_XDS in the environment: "perhaps"`},
		{file: "log-level: info\nconfig-dri: x\n", want: `f.yaml:2: there is no flag "config-dri"`},
		{file: "config-dir: [x]\n", want: "f.yaml:1: config-dir: want one value"},
		{file: "- x\n", want: "f.yaml"},
		{file: "version: true\n", want: `there is no flag "version"`},
		{args: []string{"--config", filepath.Join(dir, "none")}, want: "no such file"},
	} {
		if one.file != "" {
			one.args = append(one.args, "--config", file(one.file))
		}
		if _, err := parse(one.args, one.env, nil); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%q %q %q: %v: want %q", one.args, one.env, one.file, err, one.want)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out strings.Builder
	if _, err := parse([]string{"--help"}, nil, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	(&flags{}).define(set)
	set.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(out.String(), "-"+f.Name) {
			t.Errorf("--help does not name --%s", f.Name)
		}
	})
	if !strings.Contains(out.String(), "WEFTD_CONFIG_DIR") {
		t.Error("--help does not name the environment")
	}
}

func TestWhatCannotBeServedEndsTheProgram(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		args []string
		want string
	}{
		{nil, "--config-dir"},
		{[]string{"--config-dir", filepath.Join(t.TempDir(), "none"), "--grpc-addr", "127.0.0.1:0", "--admin-addr", ""}, "no such file"},
		{[]string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, "none: no such file"},
		{[]string{"--kubeconfig", empty}, "no configuration has been provided"},
		{[]string{"--kubeconfig", empty, "--kube-context", "kind"}, `context was not found for specified context: kind`},
		{[]string{"--kubeconfig", "in-cluster"}, "this is no Pod with a service account"},
		{[]string{"--kubeconfig", "in-cluster", "--kube-context", "kind"}, `from inside a cluster there is no context "kind"`},
		{[]string{"--config-dir", t.TempDir(), "--kube-context", "kind"}, "name that by --kubeconfig"},
		{[]string{"--config-dir", t.TempDir(), "--publish-roots"}, "name that by --kubeconfig"},
		{[]string{"--config-dir", t.TempDir(), "--grpc-addr", "0.0.0.0:0", "--admin-addr", ""}, "--allow-plaintext-xds"},
		{[]string{"--config-dir", t.TempDir(), "--grpc-addr", "", "--admin-addr", "0.0.0.0:0"}, "nobody proves there who he is"},
		{[]string{"--config-dir", t.TempDir(), "--grpc-addr", "nowhere", "--admin-addr", ""}, "--grpc-addr"},
	} {
		var out strings.Builder
		said := &lines{}
		if code := run(one.args, nil, &out, said); code != 1 || !strings.Contains(said.String(), one.want) {
			t.Errorf("%q: %d, %s: want %q", one.args, code, said.String(), one.want)
		}
	}
}

// lines is what is said by several at a time.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
