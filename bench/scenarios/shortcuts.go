package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/capture/bpf"
	"github.com/weftmesh/weft/ground"
)

// shortened measures what captured does where programs capture and no rules, with what the application sends its proxy going from socket to socket, beside
// the same without that.
type shortened struct{ captured }

func (shortened) fits(r rivals.Rival) bool { return r.Name == "weft" }

func (k shortened) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	if os.Geteuid() != 0 {
		return Sample{Absent: "network namespaces and captured traffic want root"}, nil
	}
	var medians, tails [2]float64
	sample := Sample{}
	for i, short := range []bool{false, true} {
		p := &programs{short: short}
		one, err := k.pass(ctx, s, c, p)
		if err = errors.Join(err, p.close()); err != nil {
			return Sample{}, err
		}
		if one.wrong != "" {
			return Sample{Invalid: one.wrong}, nil
		}
		medians[i], tails[i], sample.Load = micros(one.through.P50), micros(one.through.P99), &one.through
	}
	sample.Values = []float64{medians[1] / medians[0], medians[1], tails[1] / tails[0]}
	return sample, nil
}

// programs have the kernel capture by programs.
type programs struct {
	short   bool
	mounted string
	cgroups []string
}

func (p *programs) capture(_ context.Context, at *ground.Plot) (cgroup *os.File, err error) {
	if p.mounted == "" {
		if p.mounted, err = os.MkdirTemp("", "weft-bench-bpf"); err != nil {
			return nil, fmt.Errorf("scenarios: %w", err)
		}
		if err := unix.Mount("bpf", p.mounted, "bpf", 0, ""); err != nil {
			return nil, fmt.Errorf("scenarios: a BPF file system: %w", err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("scenarios: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		path := filepath.Join(f[1], fmt.Sprintf("weft-bench-%d-%s", os.Getpid(), at.Name))
		if err := os.Mkdir(path, 0o755); err != nil {
			return nil, fmt.Errorf("scenarios: %w", err)
		}
		p.cgroups = append(p.cgroups, path)
		err := bpf.Attach(bpf.Workload{Cgroup: path, NetNS: at.Path(), Pins: filepath.Join(p.mounted, at.Name)}, bpf.Config{OutboundPort: 15001, InboundPort: 15006, Users: []uint32{sidecarUser},
			Own: []netip.Addr{at.IP}, AllOutbound: true, AllInbound: true, LeftInboundPorts: []uint16{15090, 15021, 15020}, ShortCuts: p.short})
		if err != nil {
			return nil, fmt.Errorf("scenarios: %w", err)
		}
		return os.Open(path)
	}
	return nil, errors.New("scenarios: there is no unified hierarchy of cgroups (v2)")
}

// close takes all of it away. Processes in the cgroups have ended.
func (p *programs) close() (err error) {
	if p.mounted != "" {
		err = errors.Join(unix.Unmount(p.mounted, 0), os.Remove(p.mounted))
	}
	for _, path := range p.cgroups {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
