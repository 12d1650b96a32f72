package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/weftmesh/weft/ground"
)

// Grounds that the demo stands on.
const (
	anyGround    = "auto" // namespaces, or else loopback
	inNamespaces = "namespaces"
	onLoopback   = "loopback"
)

// layout is at which ports things are.
type layout struct {
	service    int // of the Service hello
	hello      int // of hello's pods
	gateway    int
	plane      int // of weftd, for sidecars
	planeAdmin int // and for people
}

// ports of a sidecar's own.
type ports struct{ admin, agent, ready, prometheus int }

// settle finds a ground for all. said is which it is, and why it is no better one.
func (s *stage) settle(ctx context.Context, kind string) (said string, err error) {
	if kind != onLoopback {
		if s.ground, err = ground.New(); err == nil {
			if err = s.lay(ctx); err == nil {
				return "ground: network namespaces, with the traffic of each captured", nil
			}
			s.ground.Close()
			s.ground = nil
		}
		if kind == inNamespaces || ctx.Err() != nil {
			return "", fmt.Errorf("%w (namespaces take root, or CAP_SYS_ADMIN and CAP_NET_ADMIN; --ground loopback takes neither)", err)
		}
	}
	why := "as asked for"
	if err != nil {
		why = "since this machine does not allow namespaces: " + err.Error()
	}
	s.ground = ground.Loopback()
	return "ground: loopback addresses, without capture, " + why, s.lay(ctx)
}

// where is the ground, for people.
func (s *stage) where() string {
	if s.ground != nil && !s.ground.Apart() {
		return "on loopback addresses of its own, nothing captured"
	}
	return "in network namespaces of its own, all traffic captured"
}

// lay gives everybody a place, and ports.
func (s *stage) lay(ctx context.Context) (err error) {
	s.pods, s.outside = nil, nil
	port := func(at *ground.Plot, usual int) (n int) {
		if err == nil {
			n, err = at.Port(usual)
		}
		return n
	}
	wire := s.ground.Wire
	s.at = layout{port(wire, 80), port(wire, 8080), port(wire, 8080), port(wire, 15012), port(wire, 9876)}
	for _, p := range []pod{{name: "sleep", app: "sleep", version: "v1", account: "sleep"}, {name: "hello-v1", app: "hello", version: "v1", account: "hello"},
		{name: "hello-v2", app: "hello", version: "v2", account: "hello"}, {name: "gateway", app: "gateway", version: "v1", account: "gateway"}} {
		if err != nil {
			return err
		}
		if p.Plot, err = s.ground.Plot(p.name); err != nil {
			return err
		}
		p.ports = ports{port(p.Plot, 15000), port(p.Plot, 15020), port(p.Plot, 15021), port(p.Plot, 15090)}
		// On loopback the pod's own address is the sidecar's to listen at.
		if p.app == "hello" && s.ground.Apart() {
			p.serves = fmt.Sprintf("0.0.0.0:%d", s.at.hello)
		} else if p.app == "hello" {
			p.serves = fmt.Sprintf("127.0.0.1:%d", port(p.Plot, s.at.hello))
		}
		s.pods = append(s.pods, &workload{pod: p})
		if err == nil && s.ground.Apart() && p.app != "gateway" {
			err = s.capture(ctx, p.Plot)
		}
	}
	if err == nil {
		s.outside, err = s.ground.Plot("outside")
	}
	return err
}

// capture has all that goes out of a place and comes into it pass its sidecar.
func (s *stage) capture(ctx context.Context, p *ground.Plot) error {
	out, err := exec.CommandContext(ctx, filepath.Join(s.programs, "weft"), "capture", "apply", "--network-namespace", p.Path(), "-i", "*", "-b", "*", "-d", "15090,15021,15020").CombinedOutput()
	if err != nil {
		return fmt.Errorf("demo: capturing the traffic of %s: %w: %s", p.Name, err, out)
	}
	return nil
}

// asked is where sleep asks for hello: on loopback its sidecar listens for that, and else at an address that is nobody's.
func (s *stage) asked() string {
	if s.ground.Apart() {
		return fmt.Sprintf("%s:%d", helloVIP, s.at.service)
	}
	return fmt.Sprintf("127.0.0.1:%d", s.at.service)
}

// listener is the one by which a hello's sidecar takes what comes.
func (s *stage) listener(w *workload) string {
	if s.ground.Apart() {
		return "virtualInbound"
	}
	return fmt.Sprintf("%s_%d", w.IP, s.at.hello)
}

// own gives files to the user that a sidecar runs as: where it is captured another one than ours, by whom its own traffic is told apart.
func (s *stage) own(files ...string) (err error) {
	if s.user() != 0 {
		for _, f := range files {
			err = errors.Join(err, os.Chown(f, sidecarUID, sidecarUID))
		}
	}
	return err
}

// user is who sidecars run as; 0: who we are.
func (s *stage) user() uint32 {
	if s.ground.Apart() {
		return sidecarUID
	}
	return 0
}

// doors are how to look into what runs, to be typed as they are.
func (s *stage) doors() []string {
	tool, sleep := s.tool(), s.pod("sleep")
	if s.ground.Apart() {
		enter := func(p *ground.Plot) string { return "nsenter --net=" + p.Path() + " " }
		return []string{
			"look  " + enter(s.ground.Wire) + tool + " status",
			"      " + enter(sleep.Plot) + tool + " proxy clusters",
			"try   " + enter(sleep.Plot) + "curl -H host:hello http://" + s.asked() + "/hello",
		}
	}
	return []string{
		fmt.Sprintf("look  %s status --server 127.0.0.1:%d", tool, s.at.planeAdmin),
		fmt.Sprintf("      %s proxy clusters --admin 127.0.0.1:%d", tool, sleep.ports.admin),
		"try   curl -H host:hello http://" + s.asked() + "/hello",
	}
}

// tool is how this program is called by who looks around: by its name if a shell finds it by that.
func (s *stage) tool() string {
	self, err := os.Executable()
	if err != nil {
		return "weftctl"
	}
	if found, err := exec.LookPath("weftctl"); err == nil {
		one, failed := os.Stat(found)
		other, err := os.Stat(self)
		if failed == nil && err == nil && os.SameFile(one, other) {
			return "weftctl"
		}
	}
	return self
}
