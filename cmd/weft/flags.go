package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// flags is Envoy's command line. What a flag does here is said in flagTable; the ones that are only accepted say why.
type flags struct {
	args                   []string // as they were given
	made                   []byte   // the bootstrap, if this process has made it
	sidecar, takeOver      bool     // it is one; and takes the place of whoever runs, if anybody does
	command                []string // the application's, which is started when the sidecar is ready; none: nobody's
	configPath, configYAML string
	mode                   string
	concurrency            uint
	logLevel               string
	componentLogLevel      string
	logFormat, logPath     string
	logFormatEscaped       bool
	serviceCluster         string
	serviceNode            string
	serviceZone            string
	drainTime              uint
	drainStrategy          string
	parentShutdownTime     uint
	allowUnknownStatic     bool
	allowUnknown           bool
	adminAddressPath       string
	flushInterval          uint
	flushMinSize           uint
	localAddressVersion    string
	restartEpoch           uint
	baseID                 uint
	baseIDPath             string
	disableHotRestart      bool
	useDynamicBaseID       bool
	skipNoParent           bool
	skipParentStats        bool
	socketPath, socketMode string
	version                bool
	hotRestartVersion      bool
	accepted               acceptedFlags
}

// acceptedFlags are flags of Envoy that change nothing that can be seen from outside.
type acceptedFlags struct {
	rejectUnknownDynamic, ignoreUnknownDynamic                     bool
	skipDeprecatedLogs, logStacktraceSingleEntry, fineGrainLogging bool
	mutexTracing, cpusetThreads, coreDump                          bool
}

const usageHead = `weft is an L4/L7 proxy that takes Envoy's command line, bootstrap and configuration.

Usage:
  weft -c FILE [flags]

Examples:
  weft -c bootstrap.yaml                          serve
  weft -c bootstrap.yaml --mode validate          say what is wrong with a configuration, and exit
  weft -c bootstrap.yaml --config-yaml 'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}'
                                                  serve with a piece merged over the file
  weft -c bootstrap.yaml --concurrency 2 -l debug two event loops, more log
  weft upgrade PID                                take the place of a weft that runs, with its own command line, and lose nothing
  weft node --networks-on-host /etc/cni/net.d     keep the CNI plugin of a Kubernetes node in place (weft node --help)
  weft capture apply -i '*' -b '*'                have the kernel bring a workload's traffic to the proxy (weft capture --help)
  weft sidecar --help, weft gateway --help        be a workload's sidecar, or a gateway, of a mesh: no bootstrap is needed, and no agent
  weft version                                    print the version

Flags:
`

// define names every flag, once: with its default, and what it does.
func (f *flags) define(set *flag.FlagSet) {
	set.StringVar(&f.configPath, "config-path", "", "`file` with the bootstrap, in YAML or JSON")
	set.StringVar(&f.configPath, "c", "", "short for --config-path")
	set.StringVar(&f.configYAML, "config-yaml", "", "bootstrap in `YAML`, merged over the file")
	set.StringVar(&f.mode, "mode", "serve", "serve, or validate the configuration and exit")
	set.UintVar(&f.concurrency, "concurrency", 0, "event loops; 0: one for each processor that this process may use")
	set.StringVar(&f.logLevel, "log-level", "info", "trace, debug, info, warning, error, critical or off")
	set.StringVar(&f.logLevel, "l", "info", "short for --log-level")
	set.StringVar(&f.componentLogLevel, "component-log-level", "", "levels of single components, such as `upstream:debug,config:trace`")
	set.StringVar(&f.logFormat, "log-format", defaultLogFormat, "`pattern` of log lines: %Y %m %d %T %e %f %F %E %t %l %L %n %v %j %g %s %# %P %%")
	set.BoolVar(&f.logFormatEscaped, "log-format-escaped", false, "write line ends and other control characters of log messages as escapes")
	set.StringVar(&f.logPath, "log-path", "", "`file` for the log instead of standard error")
	set.StringVar(&f.serviceCluster, "service-cluster", "", "`name` of the cluster that this proxy belongs to, in place of node.cluster")
	set.StringVar(&f.serviceNode, "service-node", "", "`name` of this proxy, in place of node.id")
	set.StringVar(&f.serviceZone, "service-zone", "", "`zone` of this proxy, in place of node.locality.zone")
	set.UintVar(&f.drainTime, "drain-time-s", 600, "`seconds` over which connections are asked to go when a drain is asked for")
	set.StringVar(&f.drainStrategy, "drain-strategy", "gradual", "gradual: spread over the drain time; immediate: all at once")
	set.UintVar(&f.parentShutdownTime, "parent-shutdown-time-s", 900, "`seconds` after which this process ends the one whose place it has taken")
	set.BoolVar(&f.allowUnknownStatic, "allow-unknown-static-fields", false, "warn of unknown fields in the bootstrap instead of refusing it")
	set.BoolVar(&f.allowUnknown, "allow-unknown-fields", false, "old name of --allow-unknown-static-fields")
	set.StringVar(&f.adminAddressPath, "admin-address-path", "", "`file` that the admin address is written to")
	set.UintVar(&f.flushInterval, "file-flush-interval-msec", 10000, "`milliseconds` after which access logs are written")
	set.UintVar(&f.flushMinSize, "file-flush-min-size-kb", 64, "`KiB` of access log that are written without waiting")
	set.StringVar(&f.localAddressVersion, "local-address-ip-version", "v4", "`v4 or v6`: what counts as this host's own address")
	set.UintVar(&f.restartEpoch, "restart-epoch", 0, "`number` of this process in a row of hot restarts: one more than that of the process whose place it takes")
	set.UintVar(&f.baseID, "base-id", 0, "`number` that tells proxies on one host apart: two with the same one take each other's place, or refuse to start")
	set.StringVar(&f.baseIDPath, "base-id-path", "", "`file` that the base id is written to")
	set.BoolVar(&f.disableHotRestart, "disable-hot-restart", false, "neither take a place nor wait for a successor")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	set.BoolVar(&f.hotRestartVersion, "hot-restart-version", false, "print the hot restart compatibility version and exit")
	set.BoolVar(&f.useDynamicBaseID, "use-dynamic-base-id", false, "choose a base id that nobody has")
	set.BoolVar(&f.skipNoParent, "skip-hot-restart-on-no-parent", false, "start as the first where no process is there to take over from")
	set.BoolVar(&f.skipParentStats, "skip-hot-restart-parent-stats", false, "do not take over what the other process has counted")
	set.StringVar(&f.socketPath, "socket-path", "@envoy_domain_socket", "`path` that the sockets begin with at which processes meet; @: in no folder")
	set.StringVar(&f.socketMode, "socket-mode", "600", "`mode` of such a socket in a folder")
	a := &f.accepted
	set.BoolVar(&a.rejectUnknownDynamic, "reject-unknown-dynamic-fields", false, "accepted: unknown fields are always refused there")
	set.BoolVar(&a.ignoreUnknownDynamic, "ignore-unknown-dynamic-fields", false, "accepted, without effect: what is not known is refused")
	set.BoolVar(&a.skipDeprecatedLogs, "skip-deprecated-logs", false, "accepted: deprecated fields are not logged")
	set.BoolVar(&a.logStacktraceSingleEntry, "log-stacktrace-single-entry", false, "accepted: a stack is always one entry")
	set.BoolVar(&a.fineGrainLogging, "enable-fine-grain-logging", false, "accepted: levels are by component")
	set.BoolVar(&a.mutexTracing, "enable-mutex-tracing", false, "accepted: there is nothing to trace")
	set.BoolVar(&a.cpusetThreads, "cpuset-threads", false, "accepted: concurrency always follows the processors that may be used")
	set.BoolVar(&a.coreDump, "enable-core-dump", false, "accepted: set GOTRACEBACK=crash for core dumps")
}

// parse reads a command line. flag.ErrHelp means that help was asked for and written to out.
func parse(args []string, out io.Writer) (*flags, error) {
	f := &flags{args: args}
	set := flag.NewFlagSet("weft", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.define(set)
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		io.WriteString(out, usageHead)
		set.SetOutput(out)
		set.PrintDefaults()
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w (weft --help lists the flags)", err)
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: the configuration is named by -c", set.Arg(0))
	}
	return f, f.check()
}

func (f *flags) check() error {
	oneOf := func(name, value string, allowed ...string) error {
		for _, a := range allowed {
			if value == a {
				return nil
			}
		}
		return fmt.Errorf("--%s is %q: want one of %s", name, value, strings.Join(allowed, ", "))
	}
	if f.version || f.hotRestartVersion {
		return nil
	}
	if f.concurrency == 0 {
		f.concurrency = uint(runtime.NumCPU())
	}
	f.allowUnknownStatic = f.allowUnknownStatic || f.allowUnknown
	switch {
	case f.configPath == "" && f.configYAML == "" && f.made == nil:
		return errors.New("no configuration: name a bootstrap by -c FILE or give one by --config-yaml")
	case f.concurrency > maxConcurrency:
		return fmt.Errorf("--concurrency is %d: want at most %d", f.concurrency, maxConcurrency)
	case f.restartEpoch != 0 && f.disableHotRestart:
		return errors.New("--restart-epoch and --disable-hot-restart: want one of the two")
	case f.restartEpoch != 0 && f.useDynamicBaseID:
		return errors.New("--restart-epoch and --use-dynamic-base-id: a process that takes another one's place has its --base-id")
	}
	if _, err := strconv.ParseUint(f.socketMode, 8, 9); err != nil {
		return fmt.Errorf("--socket-mode is %q: want three octal digits", f.socketMode)
	}
	return errors.Join(
		oneOf("mode", f.mode, "serve", "validate"),
		oneOf("drain-strategy", f.drainStrategy, "gradual", "immediate"),
		oneOf("local-address-ip-version", f.localAddressVersion, "v4", "v6"),
	)
}

// maxConcurrency bounds the loops: each costs a thread and half a megabyte, and more than processors never help.
const maxConcurrency = 1024

func (f *flags) flushAfter() time.Duration { return time.Duration(f.flushInterval) * time.Millisecond }
