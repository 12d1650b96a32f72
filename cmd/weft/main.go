// Command weft is the data plane: an L4/L7 proxy that takes Envoy's command line, bootstrap and configuration.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/weftmesh/weft/cni"
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/memory"
	"github.com/weftmesh/weft/sidecar"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds"
)

// version is set when a release is linked.
var version = "0.1.0"

// servingGC is how much garbage there may be beside what lives, in percent, unless GOGC says otherwise. Requests make none, so that it is
// handshakes and changes of configuration that leave it, and half of Go's usual is memory saved for nothing: an idle TLS connection takes 12.0 KiB
// and not 16.5, and a handshake of P-256 570 µs and not 573, medians of three rounds (26 November 2026, 2-core AMD EPYC).
const servingGC = 50

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == agentName { // a link, in images that stand in for Istio's
		args = append([]string{agentName}, args...)
	}
	if filepath.Base(os.Args[0]) == cni.Name { // a copy, among a host's plugins
		os.Exit(cni.Run(os.Stdout, os.Stderr))
	}
	os.Exit(run(args, os.Stdout, os.Stderr))
}

// run is the program: 0 if it ended as it was told to, 1 if something was wrong.
func run(args []string, stdout, stderr io.Writer) int {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	switch word {
	case agentName:
		return runAgent(args[1:], stdout, stderr)
	case "sidecar":
		return runSidecar(sidecar.Sidecar, args[1:], stdout, stderr)
	case "gateway":
		return runSidecar(sidecar.Router, args[1:], stdout, stderr)
	case "node":
		return runNode(args[1:], stdout, stderr)
	case "capture":
		return captureCommand(args[1:], stdout, stderr)
	case "istio-iptables":
		return istioIPTables(args[1:], stdout, stderr)
	case "version":
		fmt.Fprintln(stdout, "weft  version:", versionLine())
		return 0
	case "upgrade":
		if len(args) == 2 && (args[1] == "-h" || args[1] == "--help") {
			io.WriteString(stdout, upgradeHead)
			return 0
		}
		next, err := upgraded(args[1:])
		if err != nil {
			fmt.Fprintln(stderr, "weft: upgrade:", err)
			return 1
		}
		args = next
	}
	f, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "weft:", err)
		return 1
	case f.version:
		fmt.Fprintln(stdout, "weft  version:", versionLine())
		return 0
	case f.hotRestartVersion:
		fmt.Fprintln(stdout, restartVersion)
		return 0
	}
	if f.mode == "validate" {
		if _, _, err := newLog(f); err != nil {
			fmt.Fprintln(stderr, "weft:", err)
			return 1
		}
		if err := xds.Validate(f.source(), builtin.All()); err != nil {
			return refuse(stderr, err)
		}
		fmt.Fprintf(stdout, "configuration '%s' OK\n", f.configPath)
		return 0
	}
	return serve(f, nil, stderr)
}

// serve runs until it is told to end. With settings it is a sidecar, or a gateway, that is its own agent.
func serve(f *flags, settings *sidecar.Settings, stderr io.Writer) int {
	levels, logger, err := newLog(f)
	if err != nil {
		fmt.Fprintln(stderr, "weft:", err)
		return 1
	}
	stats := telemetry.NewStore(int(f.concurrency))
	var row *row
	var agent *sidecar.Agent
	if settings != nil {
		// Before the bootstrap is read, which names files that are written here.
		if row, agent, err = beginSidecar(f, settings, stats, logger); err != nil {
			fmt.Fprintln(stderr, "weft: cannot start:", err)
			return 1
		}
		defer agent.Close()
		defer row.leave()
	}
	boot, err := xds.ReadBootstrap(f.source(), builtin.All())
	if err != nil {
		return refuse(stderr, err)
	}
	if boot.LogFormat != "" {
		if f.logFormat != defaultLogFormat {
			fmt.Fprintln(stderr, "weft: --log-format and application_log_config of the bootstrap: want one of the two")
			return 1
		}
		f.logFormat = boot.LogFormat
		if levels, logger, err = newLog(f); err != nil {
			fmt.Fprintln(stderr, "weft:", err)
			return 1
		}
	}
	succeeds := row.succeeds()
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	rotate := make(chan os.Signal, 1)
	signal.Notify(rotate, syscall.SIGUSR1)
	if agent == nil {
		row, err = joinRow(f, logger("main"))
	}
	var s *process
	if err == nil {
		s, err = start(f, boot, stats, row, agent, levels, logger)
	}
	if faults := (xds.Faults)(nil); errors.As(err, &faults) {
		return refuse(stderr, err)
	}
	if err == nil && agent != nil && !succeeds {
		if err = agent.Serve(); err != nil {
			s.close()
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "weft: cannot start:", err)
		return 1
	}
	life, app := newLife(agent), newApplication(f.command, logger("main"))
	readied, late := s.feed.Readied(), time.After(startLimit)
	for {
		select {
		case <-readied:
			readied, late = nil, time.After(settling)
			continue
		case <-late: // what a control plane says after all is settled when it is there
			settle()
			continue
		case <-rotate:
			s.logs.Reopen()
			logger("main").Info("access logs were opened anew")
			continue
		case got := <-stop:
			// As Envoy: a signal ends the process at once. Whoever wants clients to go first asks for a drain before. A sidecar's agent does, which is this process itself; a second signal ends that, too.
			app.leave()
			if life.leave() {
				logger("main").Info("is told to end", "signal", got.String())
				continue
			}
			logger("main").Info("ends", "signal", got.String())
		case <-life.asked:
			logger("main").Info("is told to end", "because", "/quitquitquit")
			app.leave()
			life.leave()
			continue
		case <-life.over:
			logger("main").Info("ends")
		case <-app.ready:
			if agent.Ready() == nil {
				app.start()
			}
			continue
		case <-app.ended:
			logger("main").Info("ends", "because", "the application has ended", "code", app.code)
		case <-s.quit:
			logger("main").Info("ends", "because", s.why)
		}
		code := app.end()
		if s.failed {
			code = 1
		}
		life.end()
		s.close()
		return code
	}
}

// beginSidecar takes the place of a sidecar, or of another one, and begins the agent's part of it.
func beginSidecar(f *flags, settings *sidecar.Settings, stats *telemetry.Store, logger func(string) *slog.Logger) (*row, *sidecar.Agent, error) {
	row, err := joinRow(f, logger("main"))
	if err != nil {
		return nil, nil, err
	}
	o := sidecar.Options{Settings: settings, Stats: stats, Log: logger("agent")}
	if row.succeeds() {
		o.Handed, o.Before = row.handed, row.bequest
		row.bequest = nil
	}
	agent, err := sidecar.Begin(o)
	if err != nil {
		row.leave()
		return nil, nil, err
	}
	return row, agent, nil
}

// startLimit is how long a process may wait for its first configuration before it settles without.
const startLimit = 10 * time.Second

// settling is how long after the first configuration is there its buffers are still in use.
const settling = 200 * time.Millisecond

// settle gives back what reading the first configuration has left behind: it is more than all that serving will need. While it is read, the heap
// may grow by as much as lives, as Go has it: with room for four times as much the CPU of a mesh's first configuration is 0.60 s and not 0.73, but
// what stays then lies scattered over 77 MB and not 59 (26 November 2026, 2-core AMD EPYC).
func settle() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(servingGC)
	}
	runtime.GC() // what pools keep outlives one collection, and the buffers of a first configuration are as large as it
	memory.Return()
}

// refuse says what is wrong with a configuration: where, what, and what would be right.
func refuse(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "weft: the configuration cannot be used:")
	fmt.Fprintln(stderr, err)
	return 1
}

func (f *flags) source() xds.Source {
	return xds.Source{
		Made: f.made, Path: f.configPath, YAML: f.configYAML, AllowUnknownFields: f.allowUnknownStatic,
		Node: config.Node{ID: f.serviceNode, Cluster: f.serviceCluster, Zone: f.serviceZone},
	}
}

// versionLine is revision/version/state/build/runtime, as Envoy's.
func versionLine() string {
	revision, state := "unknown", "Clean"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.modified":
				if dirty, _ := strconv.ParseBool(s.Value); dirty {
					state = "Modified"
				}
			}
		}
	}
	return revision + "/" + version + "/" + state + "/RELEASE/" + runtime.Version()
}
