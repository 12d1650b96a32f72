// Command weftd is the control plane: it takes Istio's resources and tells proxies by Envoy's xDS what they mean.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/memory"
)

// version is set when a release is linked.
var version = "0.1.0"

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// How much garbage there may be beside what lives, in percent, while the mesh is read and afterwards, unless GOGC says otherwise. 200 sidecars of 1,000
// services that connect at once leave 146 MB with the latter, and 190 with Go's usual 100, at the same cost (26 November 2026, 2-core AMD EPYC).
const (
	startGC   = 400
	servingGC = 50
)

// settle gives back what reading the mesh has left behind.
func settle(percent int) {
	debug.SetGCPercent(percent)
	memory.Return()
}

// run is the program: 0 if it ended as it was told to, 1 if something was wrong.
func run(args, env []string, stdout, stderr io.Writer) int {
	began := time.Now()
	f, err := parse(args, env, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "weftd:", err)
		return 1
	case f.version:
		fmt.Fprintln(stdout, "weftd", version)
		return 0
	}
	o := f.Options
	o.Version = version
	o.Level = &slog.LevelVar{}
	o.Level.Set(f.level)
	o.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: o.Level}))
	asked := debug.SetGCPercent(startGC)
	if os.Getenv("GOGC") == "" {
		asked = servingGC
	}
	signal.Ignore(syscall.SIGPIPE)
	stop, again := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(again, syscall.SIGHUP)
	p, err := control.Start(o)
	if err != nil {
		fmt.Fprintln(stderr, "weftd: cannot start:", err)
		return 1
	}
	defer p.Close()
	if p.Serves() {
		o.Log.Info("serves", "version", version, "grpc", p.GRPCAddress, "secure-grpc", p.SecureAddress, "http", p.HTTPAddress, "monitoring", p.MonitoringAddress, "webhook", p.WebhookAddress, "admin", p.AdminAddress, "config-dir", o.ConfigDir, "kubeconfig", o.Kubeconfig)
	}
	readied := p.Readied()
	for {
		select {
		case <-readied:
			settle(asked)
			o.Log.Info("ready", "after", time.Since(began).Round(time.Millisecond))
			readied = nil
		case got := <-stop:
			o.Log.Info("ends", "signal", got.String())
			return 0
		case <-again:
			p.Reread()
		case err := <-p.Failed():
			if readied != nil {
				fmt.Fprintln(stderr, "weftd: cannot start:", err)
				return 1
			}
			o.Log.Error("the directory is not followed any more: what is known goes on being served", "because", err)
		}
	}
}
