package sidecar

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls/issuer"
	"github.com/weftmesh/weft/xds/server"
)

const (
	// maxSecretConnections bounds those at the socket. A proxy has one for each of its transport sockets' secrets at most.
	maxSecretConnections = 1000
	// maxFileSecrets bounds how many secrets that are named by their files are followed.
	maxFileSecrets = 200
	// fileLook is how often such files are looked at.
	fileLook = 5 * time.Second
)

// secrets tells the workload's identity to the proxy at a Unix socket, by SDS, as Istio's agent does. Who can open the socket is told the key.
type secrets struct {
	listener *net.UnixListener
	serving  sync.Once
	grpc     *serve.Server
	log      *slog.Logger
	wait     sync.WaitGroup
	news     chan struct{} // has room for one: a file is asked for

	mu    sync.Mutex
	files map[string]*server.Resource // by name; nil: it is asked for and cannot be read
	said  map[string]string           // what was said of one that cannot be read
	view  *server.View                // nil: there is nothing yet, and nobody is told anything
	open  map[*server.Session]bool
}

// tellSecrets tells what an issuer has, until the context ends, to those who are served at a socket.
func tellSecrets(ctx context.Context, l *net.UnixListener, from *issuer.Issuer, stats *telemetry.Store, log *slog.Logger) *secrets {
	s := &secrets{listener: l, log: log, news: make(chan struct{}, 1), files: map[string]*server.Resource{}, said: map[string]string{}, open: map[*server.Session]bool{}}
	o := server.Transport()
	o.MaxConnections, o.Stats = maxSecretConnections, stats.Acquire(serve.Stats, "sds_connections.").Loop(stats.Loops())
	s.grpc = serve.New(o)
	server.New(server.Options{Control: s, Asked: s.asked, MaxStreams: maxSecretConnections}).Register(s.grpc)
	s.wait.Go(func() {
		tick := time.NewTicker(fileLook)
		defer tick.Stop()
		for ctx.Err() == nil {
			i, changed := from.Identity()
			s.show(i)
			select {
			case <-changed:
			case <-s.news:
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return s
}

// serve begins to answer at the socket.
func (s *secrets) serve() {
	s.serving.Do(func() {
		s.listener.SetUnlinkOnClose(true) // also of one that another process has made
		s.wait.Go(func() { s.grpc.Serve(s.listener) })
	})
}

// leave takes no more connections: another process has the same socket, and answers. Those that are there stay.
func (s *secrets) leave() {
	s.listener.SetUnlinkOnClose(false)
	s.listener.Close()
}

// asked notes which files are asked for.
func (s *secrets) asked(k server.Kind, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if _, known := s.files[name]; k != server.Secrets || known || !issuer.IsFile(name) {
			continue
		}
		if len(s.files) >= maxFileSecrets {
			s.log.Error("a secret is not told: too many are asked for that are named by their files", "secret", name, "at most", maxFileSecrets)
			continue
		}
		s.files[name] = nil
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

// show has everybody be told an identity, which may be none, and what is in files, as they are now. What cannot be read any more stays what it was.
func (s *secrets) show(i *issuer.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*server.Resource
	if i != nil {
		own, roots := i.Secrets(secretOwn, secretRoots)
		ownVersion, rootsVersion := i.Versions()
		all = append(all, &server.Resource{Name: secretRoots, Version: rootsVersion, Body: roots}, &server.Resource{Name: secretOwn, Version: ownVersion, Body: own})
	}
	for name, was := range s.files {
		body, version, err := issuer.FileSecret(name)
		if err != nil && s.said[name] != err.Error() {
			s.said[name] = err.Error()
			s.log.Error("files that a secret is named by cannot be used, and are looked at again and again", "secret", name, "because", err)
		}
		if err == nil {
			delete(s.said, name)
			if was == nil || was.Version != version {
				was = &server.Resource{Name: name, Version: version, Body: body}
				s.files[name] = was
			}
		}
		if was != nil {
			all = append(all, was)
		}
	}
	slices.SortFunc(all, func(a, b *server.Resource) int { return strings.Compare(a.Name, b.Name) })
	version := ""
	for _, r := range all {
		version += r.Version + "-"
	}
	if version = strings.TrimSuffix(version, "-"); len(all) == 0 || s.view != nil && s.view.Version == version {
		return
	}
	s.view = &server.View{Version: version, Parts: []*server.Part{{Kind: server.Secrets, Resources: all}}}
	for session := range s.open {
		session.Show(s.view)
	}
}

// close ends it. The context that it was made with has ended.
func (s *secrets) close() {
	s.serving.Do(func() { s.listener.Close() }) // one that another process serves, and goes on to
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
