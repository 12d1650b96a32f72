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

// shortened measures what captured does where programs capture and no rules, with what is sent to a proxy, by its application or by the other proxy, going from
// socket to socket, beside the same without that.
type shortened struct{ captured }

func (shortened) fits(r rivals.Rival) bool { return r.Name == "weft" }

func (k shortened) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	if os.Geteuid() != 0 {
		return Sample{Absent: "network namespaces and captured traffic want root"}, nil
	}
	var medians, tails [2]float64
	sample := Sample{}
	for _, short := range []int{0, 1, 1, 0} { // so that what changes slowly about the machine is in both
		p := &programs{short: short == 1, cgroups: map[*ground.Plot]string{}}
		one, err := k.pass(ctx, s, c, p)
		if err == nil && one.wrong == "" {
			one.wrong, err = p.judge(one.through.Requests)
		}
		if err = errors.Join(err, p.close()); err != nil {
			return Sample{}, err
		}
		if one.wrong != "" {
			return Sample{Invalid: one.wrong}, nil
		}
		medians[short] += micros(one.through.P50) / 2
		tails[short] += micros(one.through.P99) / 2
		if short == 1 {
			sample.Load = &one.through
		}
	}
	sample.Values = []float64{medians[1] / medians[0], medians[1], tails[1] / tails[0]}
	return sample, nil
}

// programs have the kernel capture by programs.
type programs struct {
	short   bool
	mounted string
	cgroups map[*ground.Plot]string
}

func (p *programs) group(at *ground.Plot) (cgroup *os.File, err error) {
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
		p.cgroups[at] = path
		return os.Open(path)
	}
	return nil, errors.New("scenarios: there is no unified hierarchy of cgroups (v2)")
}

func (p *programs) capture(_ context.Context, at *ground.Plot) error {
	err := bpf.Attach(bpf.Workload{Cgroup: p.cgroups[at], NetNS: at.Path(), Pins: filepath.Join(p.mounted, at.Name)}, bpf.Config{OutboundPort: 15001, InboundPort: 15006, Users: []uint32{sidecarUser},
		Own: []netip.Addr{at.IP}, AllOutbound: true, AllInbound: true, LeftInboundPorts: []uint16{15090, 15021, 15020}, ShortCuts: p.short})
	if err != nil {
		return fmt.Errorf("scenarios: %w", err)
	}
	return nil
}

// judge says what is wrong if so many requests have not taken short cuts, or have though there were to be none: in each workload two pieces of a request may.
func (p *programs) judge(requests uint64) (wrong string, err error) {
	for at := range p.cgroups {
		s, err := bpf.Look(filepath.Join(p.mounted, at.Name))
		if err != nil {
			return "", fmt.Errorf("scenarios: %w", err)
		}
		if (s.Short > requests) != p.short {
			return fmt.Sprintf("%d of %d pieces went from socket to socket in %s", s.Short, s.Short+s.Long, at.Name), nil
		}
	}
	return "", nil
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
