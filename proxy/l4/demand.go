package l4

import "github.com/weftmesh/weft/config"

// maxDemanded bounds, in bytes, a cluster's name that a client may have asked for.
const maxDemanded = 255

// demand waits for the tunnel's cluster, if it may come; what the client says waits in the kernel.
func (t *tunnel) demand() bool {
	c, l := t.server.config.OnDemand, t.local
	if c == nil || t.entry.Cluster == "" || len(t.entry.Cluster) > maxDemanded || l.Known[t.wanted()] || !l.Demands.Wait(t.wanted(), t) {
		return false
	}
	t.asked = true
	t.down.Pause()
	l.Loop.SetTimer(&t.connect, c.Timeout, t)
	return true
}

func (t *tunnel) wanted() config.Demand {
	return config.Demand{Kind: config.DemandCluster, From: t.server.config.OnDemand.From, Name: t.entry.Cluster}
}

// Answered implements upstream.Demander.
func (t *tunnel) Answered() {
	t.asked = false
	t.local.Loop.StopTimer(&t.connect)
	t.cluster = t.local.Clusters[t.entry.Cluster]
	t.begin()
}

// late gives up waiting.
func (t *tunnel) late() {
	t.local.Demands.Leave(t.wanted(), t)
	t.Answered()
}
