package control

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/register"
	"github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/control/source/stored"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// openMachines has machines outside of Kubernetes register themselves: with the API server, if one is followed, so that everybody finds them where he looks for WorkloadEntries, and else in
// the store.
func (p *Plane) openMachines() {
	var keeper register.Keeper = stored.Entries{Store: p.store, Shared: store.Shared(p.Store), Log: p.Log}
	if p.cluster != nil {
		keeper = kube.Entries{Server: p.cluster.server, Namespace: p.KubeNamespace, Revision: p.Revision, Log: p.Log}
	}
	p.machines = register.New(register.Options{Name: register.NewName(), Grace: p.MachineGrace, Mesh: p.push.Mesh, Readied: p.push.Readied(), Keeper: keeper, Log: p.Log,
		Stats: p.stats.Acquire(register.Stats, "register.").Loop(0)})
	p.parts.Go(func() { p.machines.Run(p.ctx) })
}

// registers says whether a proxy that names its group may register itself, or how it does be kept in its WorkloadEntry. Who has shown nothing may not: where requests go would be whoever's to say.
func (p *Plane) registers(ctx context.Context, s *server.Session, proxy *translate.Proxy, who ca.Identity) error {
	_, ok := s.Auth().(credentials.TLSInfo)
	switch {
	case proxy.Group == "" && (proxy.Entry == "" || !ok):
		return nil
	case !ok:
		return status.Errorf(codes.PermissionDenied, "control: %.128q names the WorkloadGroup %.128q, and shows here nothing of who it is: let it come to --secure-grpc-addr", proxy.ID, proxy.Group)
	}
	return p.machines.Admit(ctx, s, proxy, who)
}

// proxies are those of a Push, some of which register themselves.
type proxies struct {
	*push.Push
	machines *register.Machines
}

// Join implements server.Control.
func (p proxies) Join(s *server.Session) error {
	err := p.Push.Join(s)
	if err != nil {
		p.machines.Left(s, false)
		return err
	}
	p.machines.Joined(s)
	return nil
}

// Leave implements server.Control.
func (p proxies) Leave(s *server.Session) {
	p.Push.Leave(s)
	p.machines.Left(s, true)
}

// Probed implements server.Control.
func (p proxies) Probed(s *server.Session, because string) { p.machines.Probed(s, because) }
