package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls/issuer"
	"github.com/weftmesh/weft/xds/server"
)

// maxSecretConnections bounds those at the socket. A proxy has one for each of its transport sockets' secrets at most.
const maxSecretConnections = 1000

// secrets tells the workload's identity to the proxy at a Unix socket, by SDS, as Istio's agent does. Who can open the socket is told the key.
type secrets struct {
	grpc *serve.Server

	mu   sync.Mutex
	view *server.View // nil: there is none yet, and nobody is told anything
	open map[*server.Session]bool
	wait sync.WaitGroup
}

// tellSecrets serves at a path what an issuer has, until the context ends. A socket that a process before has left is in nobody's way.
func tellSecrets(ctx context.Context, path string, from *issuer.Issuer, stats *telemetry.Store) (*secrets, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("the socket for secrets: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the socket for secrets, which a process before has left: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("the socket for secrets: %w", err)
	}
	// The workload is of another user, and its key is not for it.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("the socket for secrets: %w", err)
	}
	s := &secrets{open: map[*server.Session]bool{}}
	o := server.Transport()
	o.MaxConnections, o.Stats = maxSecretConnections, stats.Acquire(serve.Stats, "sds_connections.").Loop(stats.Loops())
	s.grpc = serve.New(o)
	server.New(server.Options{Control: s, MaxStreams: maxSecretConnections}).Register(s.grpc)
	s.wait.Go(func() { s.grpc.Serve(l) })
	s.wait.Go(func() {
		for ctx.Err() == nil {
			i, changed := from.Identity()
			if i != nil {
				s.show(i)
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	})
	return s, nil
}

// show has everybody be told an identity.
func (s *secrets) show(i *issuer.Identity) {
	own, roots := i.Secrets(secretOwn, secretRoots)
	ownVersion, rootsVersion := i.Versions()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = &server.View{Version: ownVersion + "-" + rootsVersion, Parts: []*server.Part{{Kind: server.Secrets, Resources: []*server.Resource{
		{Name: secretRoots, Version: rootsVersion, Body: roots}, {Name: secretOwn, Version: ownVersion, Body: own}}}}}
	for session := range s.open {
		session.Show(s.view)
	}
}

// close ends it. The context that it was made with has ended.
func (s *secrets) close() {
	s.grpc.Stop()
	s.wait.Wait()
}

// Join implements server.Control.
func (s *secrets) Join(session *server.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[session] = true
	if s.view != nil {
		session.Show(s.view)
	}
	return nil
}

// Leave implements server.Control.
func (s *secrets) Leave(session *server.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, session)
}

// Answered, Probed and Settled implement server.Control. What a proxy does not take it says in its own log.
func (s *secrets) Answered(*server.Session, server.Verdict) {}
func (s *secrets) Probed(*server.Session, string)           {}
func (s *secrets) Settled(*server.Session, *server.View)    {}
