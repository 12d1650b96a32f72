package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/sidecar"
)

// agentName is that of Istio's agent. Called by it, weft takes its command line, so that what is injected for Istio's image finds what it looks for.
const agentName = "pilot-agent"

const agentHead = `weft pilot-agent speaks as Istio's agent does. It is what runs when weft is called by the name pilot-agent.

Usage:
  pilot-agent proxy sidecar|router [flags]        be a sidecar or a gateway; see weft sidecar --help for what the environment says
  pilot-agent request [--debug-port PORT] METHOD PATH
                                                  ask the admin pages of the proxy, at 127.0.0.1:15000, or what is at another port of this host
  pilot-agent wait [--timeoutSeconds N] [--periodMillis N] [--requestTimeoutMillis N] [--url URL]
                                                  wait until the sidecar is ready
  pilot-agent istio-iptables [flags]              have the kernel hand the pod's traffic to the sidecar
  pilot-agent version                             print the version

Examples:
  pilot-agent request GET clusters
  pilot-agent request --debug-port=15020 POST drain
  pilot-agent wait --timeoutSeconds 30
`

// runAgent is weft as Istio's agent.
func runAgent(args []string, stdout, stderr io.Writer) int {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	var err error
	switch word {
	case "proxy":
		return runProxy(args[1:], stdout, stderr)
	case "istio-iptables":
		return istioIPTables(args[1:], stdout, stderr)
	case "istio-clean-iptables":
		return captureCommand(append([]string{"clean"}, args[1:]...), stdout, stderr)
	case "request":
		err = request(args[1:], stdout)
	case "wait":
		err = await(args[1:], stdout)
	case "version":
		fmt.Fprintln(stdout, "weft  version:", versionLine())
	case "help", "-h", "--help":
		io.WriteString(stdout, agentHead)
	default:
		err = fmt.Errorf("%q is no command: want proxy, request, wait, istio-iptables or version (pilot-agent --help)", word)
	}
	if errors.Is(err, flag.ErrHelp) {
		io.WriteString(stdout, agentHead)
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "pilot-agent:", err)
		return 1
	}
	return 0
}

// Flags of the agent's proxy command: those that are run are in runProxy.
var (
	// agentHarmless change nothing here, whatever they say.
	agentHarmless = []string{"binaryPath", "ctrlz_address", "ctrlz_port", "grpcKeepaliveInterval", "keepaliveInterval", "keepaliveMaxServerConnectionAge", "keepaliveTimeout", "log_caller", "log_rotate", "log_rotate_max_age",
		"log_rotate_max_backups", "log_rotate_max_size", "log_stacktrace_level", "profiling", "stackdriver", "tokenManagerPlugin", "trust-domain", "vklog"}
	// agentRefused ask for what is not here.
	agentRefused = map[string]string{
		"stsPort":      "no security token service is here",
		"templateFile": "the bootstrap is made here; a piece of your own is merged by ISTIO_BOOTSTRAP_OVERRIDE",
	}
	agentSwitches = []string{"log_as_json", "profiling", "vklog"} // that need no value
)

// runProxy is pilot-agent proxy.
func runProxy(args []string, stdout, stderr io.Writer) int {
	role := sidecar.Sidecar
	a := &agentFlags{args: append([]string{agentName, "proxy"}, args...), env: environment(), concurrency: -1, logLevel: "warning", agentLevel: "info"}
	for i := 0; i < len(args); i++ {
		name, value, whole := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") {
			if role = sidecar.Role(args[i]); role != sidecar.Sidecar && role != sidecar.Router {
				fmt.Fprintf(stderr, "pilot-agent: %q is no role that is served: want sidecar or router\n", args[i])
				return 1
			}
			continue
		}
		if !whole && !slices.Contains(agentSwitches, name) && i+1 < len(args) {
			i++
			value = args[i]
		}
		if err := a.take(name, value, stderr); errors.Is(err, flag.ErrHelp) {
			io.WriteString(stdout, agentHead)
			return 0
		} else if err != nil {
			fmt.Fprintln(stderr, "pilot-agent:", err)
			return 1
		}
	}
	return a.run(role, stderr)
}

// take takes a flag of the agent's.
func (a *agentFlags) take(name, value string, stderr io.Writer) (err error) {
	switch name {
	case "domain":
		a.domain = value
	case "serviceCluster":
		if value != "istio-proxy" { // as it is if nobody says it
			a.env["PROXY_CONFIG"], err = over(a.env["PROXY_CONFIG"], map[string]string{"serviceCluster": value})
		}
	case "proxyLogLevel":
		a.logLevel = value
	case "proxyComponentLogLevel":
		a.components = value
	case "concurrency":
		if _, err = fmt.Sscan(value, &a.concurrency); err == nil && a.concurrency == 0 {
			a.concurrency = -1 // says nothing
		}
	case "log_output_level":
		a.agentLevel = agentLevel(value)
	case "log_as_json":
		a.asJSON = value == "" || value == "true"
	case "log_target":
		if value != "stdout" && value != "stderr" {
			err = fmt.Errorf("--log_target %s: the log is written to standard error", value)
		}
	case "meshConfig": // which is the usual place, and in pods nothing is there
		if _, is := os.Stat(value); is == nil {
			fmt.Fprintf(stderr, "pilot-agent: --meshConfig %s is not read: what it says as defaultConfig has to be in PROXY_CONFIG\n", value)
		}
	case "outlierLogPath":
		a.env["ISTIO_META_OUTLIER_LOG_PATH"] = value
	case "h", "help":
		return flag.ErrHelp
	default:
		if why, is := agentRefused[name]; is {
			if value == "" || value == "0" {
				return nil
			}
			return fmt.Errorf("--%s: %s", name, why)
		}
		if !slices.Contains(agentHarmless, name) { // the agent takes what it does not know, lest images and injectors have to be of one age
			fmt.Fprintf(stderr, "pilot-agent: --%s is not known, and does nothing\n", name)
		}
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", name, err)
	}
	return nil
}

// agentLevel is the level of the default scope in what Istio's agent takes: SCOPE:LEVEL, ...
func agentLevel(text string) string {
	level := "info"
	for one := range strings.SplitSeq(text, ",") {
		scope, of, is := strings.Cut(one, ":")
		if !is {
			scope, of = "default", scope
		}
		if scope == "default" || scope == "all" {
			level = of
		}
	}
	switch level {
	case "warn":
		return "warning"
	case "fatal":
		return "critical"
	case "none":
		return "off"
	}
	return level
}

// asking bounds a question to a process on this host.
const asking = time.Minute

// request asks the admin pages, or what is at another port of this host.
func request(args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("request", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	port := set.Int("debug-port", 15000, "")
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() != 2 {
		return errors.New("request: want a method and a path: pilot-agent request GET clusters")
	}
	ctx, cancel := context.WithTimeout(context.Background(), asking)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, strings.ToUpper(set.Arg(0)), fmt.Sprintf("http://localhost:%d/%s", *port, strings.TrimPrefix(set.Arg(1), "/")), nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("request: nobody answers: %w", err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(stdout, a.Body); err != nil {
		return err
	}
	if a.StatusCode >= 400 {
		return fmt.Errorf("request: the answer is %s", a.Status)
	}
	return nil
}

// await waits until the sidecar is ready, as what starts the application does.
func await(args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("wait", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	limit := set.Int("timeoutSeconds", 60, "")
	set.IntVar(limit, "timeout", 60, "")
	period := set.Int("periodMillis", 500, "")
	each := set.Int("requestTimeoutMillis", 500, "")
	url := set.String("url", "http://localhost:15021/healthz/ready", "")
	if err := set.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*limit)*time.Second)
	defer cancel()
	client := http.Client{Timeout: time.Duration(*each) * time.Millisecond}
	tick := time.NewTicker(max(time.Duration(*period)*time.Millisecond, time.Millisecond))
	defer tick.Stop()
	var last error // why it was not, when there was time to find out
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, *url, nil)
		if err != nil {
			return err
		}
		a, err := client.Do(r)
		if err == nil {
			body, _ := io.ReadAll(io.LimitReader(a.Body, 1<<10))
			if a.Body.Close(); a.StatusCode == http.StatusOK {
				fmt.Fprintln(stdout, "the sidecar is ready")
				return nil
			}
			err = fmt.Errorf("%s: %s", a.Status, strings.TrimSpace(string(body)))
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait: the sidecar is not ready within %d s: %w", *limit, last)
		}
	}
}
