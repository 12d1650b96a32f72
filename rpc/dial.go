package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
)

// MaxMessage bounds, in bytes, what a server may say at once. The configuration of a mesh of 10,000 services has 25 MB.
const MaxMessage = 64 << 20

// Target is whom a connection is to be made to, as things are now. A later connection wants a Target of its own.
type Target struct {
	Cluster   *config.Cluster
	Endpoints []*config.Endpoint        // there now, tried in turn
	Secrets   map[string]*config.Secret // there now, that the cluster's TLS may name
	First     int                       // the number of the endpoint that is tried first; any number will do
	Authority string                    // that the server is told; empty: the cluster's name
	Metadata  string                    // told beside each call, as config.Stream has it
	// Joins: the cluster's own certificate comes over a stream, it may be from this very server. Until it has come, the connection goes without.
	Joins bool
}

// Find makes the target that a snapshot's cluster of that name is; false: there is none.
func Find(s *config.Snapshot, name string) (Target, bool) {
	for _, c := range s.Clusters {
		if c.Name == name {
			return Of(c, s), true
		}
	}
	return Target{}, false
}

// Of makes the target that a cluster is, with the endpoints and the secrets that a snapshot has for it.
func Of(c *config.Cluster, s *config.Snapshot) Target {
	t := Target{Cluster: c, Secrets: s.Secrets}
	a := c.Static
	if c.Type == config.EDS {
		a = s.Endpoints.Get(c.ServiceName)
	}
	if a != nil {
		t.Endpoints = a.Endpoints
	}
	return t
}

// metadataOf reads what config.Stream has of it.
func metadataOf(lines string) metadata.MD {
	out := metadata.MD{}
	for line := range strings.Lines(lines) {
		if name, value, is := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); is {
			out.Append(name, value)
		}
	}
	return out
}

// Connect makes a connection to the first endpoint that answers, each tried for as long as the cluster says, and those that their source
// calls unwell after all others. Over TLS, protocol is what is offered (RFC 7301).
func (t *Target) Connect(ctx context.Context, protocol string) (net.Conn, error) {
	n := len(t.Endpoints)
	if n == 0 {
		return nil, fmt.Errorf("cluster %q has no endpoints", t.Cluster.Name)
	}
	var failures []error
	for _, unwell := range []bool{false, true} {
		for i := range n {
			e := t.Endpoints[(t.First%n+n+i)%n]
			if isUnwell(e.Health) != unwell {
				continue
			}
			c, where, err := t.reach(ctx, e, protocol)
			if err == nil {
				return c, nil
			}
			failures = append(failures, fmt.Errorf("%s: %w", where, err))
		}
	}
	return nil, errors.Join(failures...)
}

func isUnwell(h config.Health) bool {
	return h == config.HealthUnhealthy || h == config.HealthDraining || h == config.HealthTimeout
}

// reach makes a connection to an endpoint, with its TLS, if it speaks that.
func (t *Target) reach(ctx context.Context, e *config.Endpoint, protocol string) (c net.Conn, where string, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Cluster.ConnectTimeout)
	defer cancel()
	d := net.Dialer{}
	if k := t.Cluster.KeepAlive; k != nil {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Count: int(k.Probes), Idle: time.Duration(k.Time) * time.Second, Interval: time.Duration(k.Interval) * time.Second}
	}
	network := "tcp"
	switch {
	case e.Host != "":
		where = net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	case e.Address.Path != "":
		network, where = "unix", e.Address.Path
	default:
		where = e.Address.AddrPort.String()
	}
	of := t.Cluster.TransportOf(e.Metadata).TLS
	if c, err = d.DialContext(ctx, network, where); err != nil || of == nil {
		return c, where, err
	}
	if t.Joins {
		of = joining(of, t.Secrets)
	}
	store := tls.NewStore(nil)
	store.Update(t.Secrets)
	ask := tls.Ask{Offer: []string{protocol}}
	if of.EndpointName {
		ask.Name = e.Hostname
	}
	secure, err := tls.NewClient(of, store).Over(c, ask)
	if err == nil {
		err = secure.HandshakeContext(ctx)
	}
	if err != nil {
		c.Close()
		return nil, where, err
	}
	return secure, where, nil
}

// joining is TLS without the certificates that have not come.
func joining(of *config.TLS, secrets map[string]*config.Secret) *config.TLS {
	own := *of
	own.Certificates = slices.DeleteFunc(slices.Clone(of.Certificates), func(c config.CertificateSource) bool {
		return c.Secret.Stream != nil && secrets[c.Secret.Name] == nil
	})
	return &own
}
