package control

import (
	"time"

	"github.com/weftmesh/weft/control/store"
)

// asks is how often a store that does not answer is asked whether it does.
const asks = time.Second

// await has weftd be there while its store is not, and serve as soon as it answers. Until then nobody is told of a mesh: what was applied is in the store, and a
// policy may be among it; so are the roots of certificates, and what was revoked.
func (p *Plane) await(why error, serve func() error) error {
	if err := p.openPages(); err != nil {
		return err
	}
	p.Log.Error("the store does not answer: it is asked again, and until then proxies keep what they have and nobody is told anything", "because", why)
	began := time.Now()
	p.begins.Go(func() {
		for {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(asks):
			}
			if store.Ask(p.ctx, p.store) == nil {
				break
			}
		}
		if err := serve(); err != nil {
			if p.ctx.Err() == nil {
				p.failed <- err
			}
			return
		}
		p.Log.Info("the store answers", "after", time.Since(began).Round(time.Millisecond), "grpc", p.GRPCAddress, "secure-grpc", p.SecureAddress, "http", p.HTTPAddress, "monitoring", p.MonitoringAddress)
	})
	return nil
}
