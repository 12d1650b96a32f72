package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
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
	// Joins: it is the control plane itself that tells the cluster's own certificate. Until it has, the connection goes without.
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

// window bounds, in bytes, what a server may send before it has been read.
const window = 4 << 20

// waits is how long gRPC would pause before it dials again by itself. It never does: who loses a connection closes it.
const waits = 30 * time.Second

// Dial makes a connection to the first endpoint that answers, each tried for as long as its cluster says. It is dialled when it is used for the
// first time, and not a second time: after a failure it has to be closed. When the context ends it is closed at the latest.
func Dial(ctx context.Context, t Target) (*grpc.ClientConn, error) {
	// All endpoints may be tried before the one that answers, and that one has to speak HTTP/2 in the end.
	patience := time.Duration(max(len(t.Endpoints), 1))*t.Cluster.ConnectTimeout + 5*time.Second
	authority := t.Authority
	if authority == "" {
		authority = t.Cluster.Name
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(&made{TransportCredentials: insecure.NewCredentials()}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return t.Connect(ctx, "h2") }),
		grpc.WithAuthority(authority),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: waits, MaxDelay: waits}, MinConnectTimeout: patience}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)),
		// What has come is bounded by MaxMessage anyway. Windows of their own size would have it grow by tenths, with a PING for each.
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(), grpc.WithUserAgent("weft"),
	}
	if fields := metadataOf(t.Metadata); fields.Len() > 0 {
		options = append(options, grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, next grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			return next(metadata.NewOutgoingContext(ctx, fields), d, c, method, o...)
		}))
	}
	// Servers end connections that are asked too often whether they stand, so that it is asked only if the cluster says so.
	if a := t.Cluster.Protocol.HTTP2.Alive; a != nil && a.Interval > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: a.Interval, Timeout: a.Timeout}))
	}
	conn, err := grpc.NewClient("passthrough:///"+t.Cluster.Name, options...)
	if err != nil {
		return nil, fmt.Errorf("rpc: dial: %w", err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return conn, nil
}

// metadataOf reads what config.Stream has of it.
func metadataOf(lines string) metadata.MD {
	out := metadata.MD{}
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		out.Append(name, value)
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
	return sealed{secure}, where, nil
}

// joining is TLS without the certificates that have not come over the stream that is to be opened.
func joining(of *config.TLS, secrets map[string]*config.Secret) *config.TLS {
	own := *of
	own.Certificates = slices.DeleteFunc(slices.Clone(of.Certificates), func(c config.CertificateSource) bool {
		return c.Secret.Stream != nil && c.Secret.Stream.Shared && secrets[c.Secret.Name] == nil
	})
	return &own
}

// sealed is a connection whose peer was verified.
type sealed struct{ net.Conn }

// made takes what Connect has made for what it is. gRPC asks for Info after the handshake, and has the scheme from it.
type made struct {
	credentials.TransportCredentials
	secure atomic.Bool
}

func (m *made) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s, secure := c.(sealed)
	if m.secure.Store(secure); secure {
		return s.Conn, credentials.TLSInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
	}
	return m.TransportCredentials.ClientHandshake(ctx, authority, c)
}

func (m *made) Info() credentials.ProtocolInfo {
	if m.secure.Load() {
		return credentials.ProtocolInfo{SecurityProtocol: "tls"}
	}
	return m.TransportCredentials.Info()
}

func (m *made) Clone() credentials.TransportCredentials { return m }
