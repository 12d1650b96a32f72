package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy"
	"github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/sidecar"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/telemetry/remote"
	"github.com/weftmesh/weft/xds"
)

// process is what serves: the proxy, what configures it and what shows it.
type process struct {
	flags   *flags
	boot    *config.Bootstrap
	log     *slog.Logger
	stats   *telemetry.Store
	logs    *accesslog.Files
	remote  *remote.Loggers // nil until there is a feed
	feed    *xds.Feed
	proxy   *proxy.Proxy
	admin   *admin.Server
	reopen  func() error // has the admin pages be read at their address again
	runtime *proxy.Runtime
	began   time.Time
	quit    chan struct{}
	why     string         // it is to end; written before quit is closed
	failed  bool           // it was not asked to
	row     *row           // of processes; nil: hot restart is disabled
	agent   *sidecar.Agent // nil: it is no sidecar
	ending  sync.Once

	updating sync.Mutex
	held     bool             // listeners are not to be served yet
	latest   *config.Snapshot // what was to be served last, with its listeners

	unwatch context.CancelFunc
	watched sync.WaitGroup
}

// start serves a configuration. agent is nil where somebody else is that, or nobody.
func start(f *flags, boot *config.Bootstrap, stats *telemetry.Store, row *row, agent *sidecar.Agent, levels *components, logger func(string) *slog.Logger) (*process, error) {
	loops := stats.Loops()
	p := &process{flags: f, boot: boot, log: logger("main"), stats: stats, row: row, agent: agent, began: time.Now(), quit: make(chan struct{})}
	p.held = row.succeeds() && boot.Dynamic.ListenerStream != nil
	p.stats.SetNaming(proxy.Naming(boot.Statistics))
	var err error
	p.logs = accesslog.NewFiles(loops, p.stats, f.flushAfter(), int(f.flushMinSize)<<10)
	p.runtime = proxy.NewRuntime(boot.Runtime, p.stats)
	configLog := logger("config")
	var feed *xds.Feed
	o := xds.Options{Filters: builtin.All(), Stats: p.stats, Report: func(o xds.Outcome) { report(configLog, o) }}
	if agent != nil {
		o.Beside, o.Names = agent.Beside, agent.Names()
	}
	feed, err = xds.Open(boot, o)
	if err != nil {
		p.close()
		return nil, err
	}
	p.feed = feed
	p.remote = remote.New(remote.Options{Loops: loops, Stats: p.stats, Node: xds.NodeWire(boot), Snapshot: feed.Snapshot, Log: p.log})
	p.logs.Remote = p.remote.Open
	p.proxy, err = proxy.New(proxy.Options{
		Concurrency: loops, ServiceCluster: boot.Node.Cluster, ServiceNode: boot.Node.ID, Node: boot.Node.Message, Zone: boot.Node.Zone, Host: hostAddress(f.localAddressVersion),
		Specs: builtin.All(), Stats: p.stats, Logs: p.logs, Log: p.log, Epoch: f.restartEpoch, Numbered: p.row.numbered(), Handed: p.row.handed, Ready: feed.Ready, Demand: feed.Demand,
		MaxConnections: boot.MaxConnections,
	})
	if err == nil {
		err = p.row.prepare(p.stats)
	}
	if err == nil {
		// Before the listeners, so that whoever watches readiness sees the process before it serves.
		err = p.startAdmin(levels, logger("admin"), nil)
		p.reopen = func() error { return p.startAdmin(levels, logger("admin"), &p.admin.Address) }
	}
	if err == nil {
		err = p.update(feed.Snapshot())
	}
	if err == nil {
		err = p.writeFiles()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	p.tellUnasked()
	ctx, cancel := context.WithCancel(context.Background())
	p.unwatch = cancel
	p.watched.Go(func() {
		feed.Watch(ctx, p.update)
	})
	if agent != nil {
		agent.Meet(p.asProxy(agent.Settings))
	}
	p.watched.Go(func() {
		// Not before what control planes have to say is served: until then the process before has the listeners that this one lacks.
		select {
		case <-feed.Readied():
		case <-ctx.Done():
			return
		}
		err := p.open()
		if agent != nil && p.row.succeeds() && err == nil {
			if p.awaitAgent(ctx); ctx.Err() != nil {
				return
			}
			err = agent.Serve()
		}
		if err != nil { // and the process before serves on
			p.failed = true
			p.end(err.Error())
			return
		}
		p.row.takeOver(p)
	})
	p.watched.Go(func() { feed.ReportLoad(ctx, p.proxy.Loads, p.log) })
	for name, a := range p.proxy.Addresses() {
		p.log.Info("listens", "listener", name, "address", a.String())
	}
	p.log.Info("serves", "loops", loops, "clusters", len(boot.Static.Clusters), "after", time.Since(p.began).Round(time.Millisecond))
	return p, nil
}

// awaitAgent returns when the agent's part is ready, too: it knows names, say.
func (p *process) awaitAgent(ctx context.Context) {
	tick := time.NewTicker(readyLook)
	defer tick.Stop()
	for p.agent.Ready() != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// update serves a configuration.
func (p *process) update(s *config.Snapshot) error {
	p.runtime.Discover(s.Runtime)
	p.updating.Lock()
	defer p.updating.Unlock()
	p.latest = s
	if p.held {
		without := *s
		without.Listeners = nil
		s = &without
	}
	return p.proxy.Update(s)
}

// open has listeners be served that were held back. They are those of the process before, which has gone on to serve them: what a control plane tells one after the other would be answered in part
// by those that have come, and not as it is meant.
func (p *process) open() error {
	if !p.held {
		return nil
	}
	p.proxy.Warm()
	p.updating.Lock()
	defer p.updating.Unlock()
	p.held = false
	return p.proxy.Update(p.latest)
}

// report says what became of an attempt to read a watched file.
func report(log *slog.Logger, o xds.Outcome) {
	what := fmt.Sprintf("%s %q", o.Kind, o.Name)
	if o.Name == "" {
		what = fmt.Sprintf("%s of %s", o.Kind, o.File)
	}
	switch {
	case o.Server != "" && o.Version == "" && o.Err != nil:
		log.Warn("the control plane is not there, what is in force stays", "cluster", o.Server, "error", o.Err)
	case o.Server != "" && o.Err != nil:
		log.Error(fmt.Sprintf("%s of the control plane %s are refused, the last good ones stay in force:\n%v", o.Kind, o.Server, o.Err), "version", o.Version)
	case o.Server != "" && o.Changed:
		log.Info("updated", "resource", o.Kind.String(), "count", o.Count, "version", o.Version, "cluster", o.Server)
	case o.Server != "":
	case o.Err != nil:
		log.Error(fmt.Sprintf("%s is refused, the last good one stays in force:\n%v", what, o.Err))
	case o.Changed:
		log.Info("updated", "resource", o.Kind.String(), "name", o.Name, "version", o.Version, "file", o.File)
	}
	if len(o.Ignored) > 0 {
		log.Warn("left out, since the bootstrap has one of that name", "resource", o.Kind.String(), "names", strings.Join(o.Ignored, ", "), "file", o.File)
	}
}

// startAdmin listens where the bootstrap says, or at another address.
func (p *process) startAdmin(levels *components, log *slog.Logger, at *config.Address) error {
	if p.boot.Admin == nil {
		return nil
	}
	if at == nil {
		at = &p.boot.Admin.Address
	}
	var logs []*accesslog.Log
	for _, a := range p.boot.Admin.AccessLogs {
		l, err := p.logs.Open(a)
		if err != nil {
			return fmt.Errorf("admin: access log: %w", err)
		}
		logs = append(logs, l)
	}
	server, err := admin.Listen(*at, admin.View{
		Allow:        p.boot.Admin.Allow,
		Stats:        p.stats,
		Refresh:      p.proxy.Refresh,
		Clusters:     p.proxy.Clusters,
		Listeners:    p.proxy.Listeners,
		Certificates: p.proxy.Certificates,
		Ready:        p.proxy.State,
		Info:         p.info,
		Dump:         func(w io.Writer, q url.Values) error { return p.feed.Dump(w, p.boot, q) },
		Explain:      p.proxy.Explain,
		Levels:       levels.Levels,
		SetLevel:     levels.Set,
		Runtime:      p.runtime.View,
		SetRuntime:   p.setRuntime,
		Drain:        p.drain,
		Health:       p.proxy.FailHealthChecks,
		Profile:      p.boot.Admin.Profile,
		Reopen:       p.logs.Reopen,
		Quit:         func() { p.end("/quitquitquit") },
		Two:          p.feed.ServeStatus,
		Log: func(e *accesslog.Entry) {
			for _, l := range logs {
				if f := l.Filter(); f == nil || f.Wants(e, rand.Uint64(), route.Rules{}) {
					l.Write(p.stats.Loops(), e)
				}
			}
		},
	}, log)
	if err != nil {
		return err
	}
	p.admin = server
	if ip := server.Address.AddrPort.Addr(); server.Address.Path == "" && !ip.IsLoopback() {
		log.Warn("the admin pages can be read from other hosts; what changes something is taken from this host only", "address", server.Address.String())
	}
	return nil
}

// setRuntime changes runtime values as an operator says.
func (p *process) setRuntime(changes map[string]string) error {
	values := make(map[string]*config.Value, len(changes))
	for key, text := range changes {
		values[key] = nil
		if text == "" {
			continue
		}
		v, err := xds.RuntimeValue(key, text)
		if err != nil {
			return err
		}
		values[key] = v
	}
	if err := p.runtime.Modify(values); err != nil {
		return err
	}
	p.log.Info("runtime values were changed", "keys", strings.Join(slices.Sorted(maps.Keys(changes)), ", "))
	p.tellUnasked()
	return nil
}

// tellUnasked tells of runtime values that change nothing.
func (p *process) tellUnasked() {
	for _, key := range p.runtime.Unasked() {
		p.log.Warn("a runtime value is set that nothing asks for", "key", key)
	}
}

// writeFiles writes what others want to find in files.
func (p *process) writeFiles() error {
	if path := p.flags.adminAddressPath; path != "" && p.admin != nil {
		if err := os.WriteFile(path, []byte(p.admin.Address.String()), 0o644); err != nil {
			return fmt.Errorf("--admin-address-path: %w", err)
		}
	}
	if path := p.flags.baseIDPath; path != "" {
		if err := os.WriteFile(path, strconv.AppendUint(nil, uint64(p.flags.baseID), 10), 0o644); err != nil {
			return fmt.Errorf("--base-id-path: %w", err)
		}
	}
	return nil
}

// drain lets nobody new in: at once, or, asked for gracefully, after those who are there have been asked to go, for as long as the
// flags say. skipExit leaves the sockets open even then.
func (p *process) drain(inboundOnly, graceful, skipExit bool) {
	p.log.Info("drains", "inboundonly", inboundOnly, "graceful", graceful, "skip_exit", skipExit)
	if !graceful {
		p.proxy.CloseListeners(inboundOnly)
		return
	}
	over := time.Duration(p.flags.drainTime) * time.Second
	asked := over
	if p.flags.drainStrategy == "immediate" {
		asked = 0
	}
	p.proxy.Drain(asked, inboundOnly)
	if !skipExit {
		time.AfterFunc(over, func() { p.proxy.CloseListeners(inboundOnly) })
	}
}

func (p *process) end(why string) {
	p.ending.Do(func() {
		p.why = why
		close(p.quit)
	})
}

// close ends everything, in the order in which it depends on one another.
func (p *process) close() {
	if p.unwatch != nil {
		p.unwatch()
		p.watched.Wait()
	}
	p.row.leave()
	if p.admin != nil {
		p.admin.Close()
	}
	if p.proxy != nil {
		p.proxy.Close()
	}
	if p.feed != nil {
		p.feed.Close()
	}
	if p.remote != nil {
		p.remote.Close()
	}
	p.logs.Close()
}

// info is what /server_info shows, in Envoy's words.
func (p *process) info() any {
	state, _ := p.proxy.State()
	up := time.Since(p.began)
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }
	f := p.flags
	return map[string]any{
		"version":              versionLine(),
		"state":                state,
		"hot_restart_version":  p.row.version(),
		"uptime_current_epoch": seconds(up),
		"uptime_all_epochs":    seconds(time.Since(p.firstBegan())),
		"node": map[string]any{
			"id": p.boot.Node.ID, "cluster": p.boot.Node.Cluster, "user_agent_name": "weft",
			"locality": map[string]string{"region": p.boot.Node.Region, "zone": p.boot.Node.Zone, "sub_zone": p.boot.Node.SubZone},
		},
		"command_line_options": map[string]any{
			"base_id": strconv.FormatUint(uint64(f.baseID), 10), "use_dynamic_base_id": f.useDynamicBaseID, "concurrency": f.concurrency, "config_path": f.configPath, "config_yaml": f.configYAML,
			"allow_unknown_static_fields": f.allowUnknownStatic, "admin_address_path": f.adminAddressPath,
			"local_address_ip_version": f.localAddressVersion, "log_level": f.logLevel, "component_log_level": f.componentLogLevel, "log_format": f.logFormat,
			"log_path": f.logPath, "service_cluster": f.serviceCluster, "service_node": f.serviceNode, "service_zone": f.serviceZone,
			"file_flush_interval": strconv.FormatFloat(f.flushAfter().Seconds(), 'f', -1, 64) + "s",
			"drain_time":          strconv.Itoa(int(f.drainTime)) + "s", "drain_strategy": f.drainStrategy,
			"parent_shutdown_time": strconv.Itoa(int(f.parentShutdownTime)) + "s", "mode": f.mode, "disable_hot_restart": f.disableHotRestart, "restart_epoch": f.restartEpoch,
		},
	}
}

// hostAddress is this host's first address of that version that is not loopback; not valid if there is none.
func hostAddress(version string) netip.Addr {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if ip := p.Addr().Unmap(); ip.Is4() == (version == "v4") && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			return ip
		}
	}
	return netip.Addr{}
}
