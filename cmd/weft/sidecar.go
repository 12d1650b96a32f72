package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/sidecar"
)

const sidecarHead = `weft %[1]s is %[2]s of a mesh in one process: proxy and agent. It proves to the control plane who it is (weftd or istiod),
gets and renews its certificate, and answers kubelets and Prometheus. What injection writes into a pod's environment is read; each flag below stands for a variable, and counts before it.

Usage:
  weft %[1]s [flags] [-- COMMAND ARGUMENTS]

Examples:
  weft %[1]s                                           in a pod: all is in the environment and in mounted files
  weft %[1]s --discovery weftd.example.org:15012 --roots roots.pem --join-token-file token --namespace shop --service-account web --label app=web --state /var/lib/weft
                                                         on a host without Kubernetes: the token is from weftctl token, and good once
  weft %[1]s --discovery 127.0.0.1:15012 --roots roots.pem --state /var/lib/weft --namespace shop --service-account web --interception-mode NONE
                                                         the same again later, by the certificate that it has; nobody redirects traffic to it
  weft %[1]s --state /var/lib/weft … -- ./app --port 8080
                                                         start the application when all is ready, and end with it, by its exit code
  weft upgrade 4711                                      take the place of the sidecar with that process id, with its settings, and lose nothing
  weft %[1]s --take-over                               the same from another container of its pod, where it cannot be seen
  weft pilot-agent wait --timeoutSeconds 10              wait until it is ready
  weft pilot-agent request GET /config_dump              ask its admin pages

Flags:
`

// sidecarVariables are the flags that stand for a variable of the environment.
var sidecarVariables = []struct{ flag, variable, help string }{
	{"discovery", "WEFT_DISCOVERY", "the control plane, `HOST:PORT`; istiod.istio-system.svc:15012 if PROXY_CONFIG says nothing else"},
	{"discovery-name", "ISTIOD_SAN", "the `name` in the control plane's certificate; unsaid, its host, or istiod.istio-system.svc if that is this host"},
	{"roots", "XDS_ROOT_CA", "`file` with whom the control plane is believed by; SYSTEM: those that this host trusts"},
	{"ca", "CA_ADDR", "who signs, `HOST:PORT`; unsaid, the control plane"},
	{"ca-roots", "CA_ROOT_CA", "`file` with whom that is believed by; unsaid, --roots"},
	{"join-token-file", "WEFT_JOIN_TOKEN_FILE", "`file` with a join token of weftd's, good for the first certificate"},
	{"state", "OUTPUT_CERTS", "`folder` in which the certificate is kept, so that who has joined comes back; ./etc/certs with a join token"},
	{"certificates", "PROV_CERT", "`folder` with a certificate that is shown to who signs: cert-chain.pem, key.pem"},
	{"name", "POD_NAME", "the workload's `name`; unsaid, the host's"},
	{"namespace", "POD_NAMESPACE", "the workload's `namespace`"},
	{"service-account", "SERVICE_ACCOUNT", "the workload's service `account`"},
	{"trust-domain", "TRUST_DOMAIN", "`domain` that its certificate has to be of; unsaid, any"},
	{"address", "INSTANCE_IP", "the workload's `address`; unsaid, the first of this host"},
	{"cluster-id", "ISTIO_META_CLUSTER_ID", "`name` of its cluster"},
	{"network", "ISTIO_META_NETWORK", "`name` of its network"},
	{"group", "ISTIO_META_AUTO_REGISTER_GROUP", "`name` of the WorkloadGroup that it registers itself of"},
	{"interception-mode", "ISTIO_META_INTERCEPTION_MODE", "`mode`: REDIRECT, TPROXY, or NONE where nobody redirects traffic to it"},
	{"ready-port", "ENVOY_STATUS_PORT", "`port` of /healthz/ready; 15021, 0: none"},
	{"prometheus-port", "ENVOY_PROMETHEUS_PORT", "`port` of the proxy's metrics; 15090, 0: none"},
	{"dns-addr", "DNS_PROXY_ADDR", "`HOST:PORT` where names are answered if ISTIO_META_DNS_CAPTURE says so; localhost:15053"},
}

// agentFlags are what the command line says beside the environment.
type agentFlags struct {
	args        []string // as they were given, with the words before them
	env         map[string]string
	domain      string
	concurrency int    // below 0: unsaid
	logLevel    string // of the proxy
	components  string // levels of single components
	agentLevel  string
	asJSON      bool
	command     []string // the application's
}

// environment is the process's own.
func environment() map[string]string {
	env := map[string]string{}
	for _, one := range os.Environ() {
		name, value, _ := strings.Cut(one, "=")
		env[name] = value
	}
	return env
}

// runSidecar is weft sidecar and weft gateway.
func runSidecar(role sidecar.Role, args []string, stdout, stderr io.Writer) int {
	word, what := "sidecar", "a workload's sidecar"
	if role == sidecar.Router {
		word, what = "gateway", "a gateway"
	}
	a := &agentFlags{args: append([]string{word}, args...), env: environment()}
	set := flag.NewFlagSet("weft "+word, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, v := range sidecarVariables {
		set.Func(v.flag, v.help+" ("+v.variable+")", func(text string) error {
			a.env[v.variable] = text
			return nil
		})
	}
	set.BoolFunc("take-over", "take the place of the sidecar that runs here with the same admin port, in whatever container of the pod, and lose nothing; or be the first (WEFT_TAKE_OVER)", func(text string) error {
		a.env["WEFT_TAKE_OVER"] = text
		return nil
	})
	labels := map[string]string{}
	set.Func("label", "`name=value` of the workload; as often as there are labels (ISTIO_METAJSON_LABELS)", func(text string) error {
		name, value, is := strings.Cut(text, "=")
		if !is || name == "" {
			return errors.New("want NAME=VALUE")
		}
		labels[name] = value
		return nil
	})
	ports := map[string]uint{}
	for _, p := range []struct{ flag, field, help string }{{"admin-port", "proxyAdminPort", "`port` of the admin pages; 15000"}, {"agent-port", "statusPort", "`port` where kubelets and Prometheus ask; 15020"}} {
		set.Func(p.flag, p.help+" ("+p.field+" of PROXY_CONFIG)", func(text string) error {
			n, err := strconv.ParseUint(text, 10, 16)
			ports[p.field] = uint(n)
			return err
		})
	}
	set.StringVar(&a.domain, "domain", "", "`domain` in which the workload looks names up; NAMESPACE.svc.cluster.local")
	set.IntVar(&a.concurrency, "concurrency", -1, "event `loops`; 0: one for each processor; unsaid, as PROXY_CONFIG or ISTIO_CPU_LIMIT say")
	set.StringVar(&a.logLevel, "log-level", "warning", "the proxy's `level`: trace, debug, info, warning, error, critical or off")
	set.StringVar(&a.logLevel, "l", "warning", "short for --log-level")
	set.StringVar(&a.components, "component-log-level", "", "levels of single components, such as `upstream:debug`")
	set.StringVar(&a.agentLevel, "agent-log-level", "info", "the agent's `level`")
	set.BoolVar(&a.asJSON, "log-as-json", false, "write the log as JSON")
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, sidecarHead, word, what)
		set.SetOutput(stdout)
		set.PrintDefaults()
		return 0
	}
	switch n := set.NArg(); {
	case err != nil || n == 0:
	case n == len(args) || args[len(args)-n-1] != "--":
		err = fmt.Errorf("unexpected argument %q: the application's command stands behind --", set.Arg(0))
	default:
		a.command = set.Args()
	}
	if err == nil && len(labels) > 0 {
		a.env["ISTIO_METAJSON_LABELS"], err = over(a.env["ISTIO_METAJSON_LABELS"], labels)
	}
	if err == nil && len(ports) > 0 {
		a.env["PROXY_CONFIG"], err = over(a.env["PROXY_CONFIG"], ports)
	}
	if err != nil {
		fmt.Fprintf(stderr, "weft %s: %v (weft %[1]s --help lists the flags)\n", word, err)
		return 1
	}
	if a.env["CA_ROOT_CA"] == "" {
		a.env["CA_ROOT_CA"] = a.env["XDS_ROOT_CA"]
	}
	return a.run(role, stderr)
}

// over is a text of JSON, or nothing, with members of an object put in place of its own.
func over[V any](text string, members map[string]V) (string, error) {
	all := map[string]any{}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return "", fmt.Errorf("flags cannot be put over a variable that is no JSON: %w", err)
		}
	}
	for name, v := range members {
		all[name] = v
	}
	out, err := json.Marshal(all)
	return string(out), err
}

// run serves by what the environment and the flags say.
func (a *agentFlags) run(role sidecar.Role, stderr io.Writer) int {
	f, settings, err := a.settings(role, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "weft: the settings cannot be used:")
		fmt.Fprintln(stderr, err)
		return 1
	}
	return serve(f, settings, stderr)
}

// jsonLog is a log line as Istio's agent writes it with --log_as_json.
const jsonLog = `{"level":"%l","time":"%Y-%m-%dT%T.%fZ","scope":"%n","msg":"%j"}`

// settings makes the agent's settings, and the command line that the proxy would be started with beside it. What is set and does nothing is said.
func (a *agentFlags) settings(role sidecar.Role, stderr io.Writer) (*flags, *sidecar.Settings, error) {
	s, said, err := sidecar.Read(role, a.env, a.domain)
	for _, one := range said {
		fmt.Fprintln(stderr, "weft: is set and does nothing:", one)
	}
	if err != nil {
		return nil, nil, err
	}
	loops := s.Concurrency
	if a.concurrency >= 0 {
		loops = a.concurrency
	}
	loops = min(loops, runtime.NumCPU())
	seconds := int(s.Drain.Seconds())
	args := []string{"--config-yaml", "{}", "--drain-time-s", strconv.Itoa(max(seconds, 1)), "--drain-strategy", "immediate", "--parent-shutdown-time-s", strconv.Itoa(seconds + 1), "--base-id", strconv.Itoa(int(s.AdminPort)), // which two in one network namespace cannot have
		"--file-flush-interval-msec", strconv.Itoa(int(s.FlushEvery.Milliseconds())), "--file-flush-min-size-kb", strconv.FormatUint(uint64(s.FlushKB), 10), "--concurrency", strconv.Itoa(loops)}
	// As Istio's agent, a level may have those of components behind it.
	level, components, _ := strings.Cut(a.logLevel, ",")
	var levels []string
	for _, one := range []string{"agent:" + a.agentLevel, components, a.components} {
		if one != "" {
			levels = append(levels, one)
		}
	}
	args = append(args, "--log-level", level, "--component-log-level", strings.Join(levels, ","))
	if a.asJSON {
		args = append(args, "--log-format", jsonLog)
	}
	if s.Override != "" {
		args = append(args, "--config-path", s.Override)
	}
	f, err := parse(args, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	f.configYAML, f.command, f.args, f.sidecar, f.takeOver = "", a.command, a.args, true, s.TakeOver
	if f.takeOver && len(f.command) > 0 {
		return nil, nil, errors.New("--take-over and an application to be started: want one of the two, since the one that runs has its own")
	}
	if f.made, err = s.Bootstrap(); err != nil {
		return nil, nil, err
	}
	return f, s, nil
}
