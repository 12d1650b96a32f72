package push

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/secrets"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// slow is a store that writes certificates down when it is let.
type slow struct {
	store.Store
	goes chan struct{}
}

func (s *slow) Put(ctx context.Context, key string, value []byte, was store.Revision) (store.Revision, error) {
	if strings.HasPrefix(key, "ca/issued/") {
		select {
		case <-s.goes:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return s.Store.Put(ctx, key, value, was)
}

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// authority is one over a store, and what is told of it.
func authority(t *testing.T, s store.Store) (*ca.Authority, *secrets.Secrets) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a, err := ca.Open(ctx, ca.Options{Store: s, TrustDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	of := secrets.New(secrets.Options{Authority: a, Log: slog.New(slog.DiscardHandler)})
	done := make(chan struct{}, 2)
	go func() { a.Run(ctx, func(error) {}); done <- struct{}{} }()
	go func() { of.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	return a, of
}

// ownNames are those of the resources of a response.
func ownNames(m *discoveryv3.DeltaDiscoveryResponse) (list []string) {
	for _, r := range m.Resources {
		list = append(list, r.Name)
	}
	slices.Sort(list)
	return list
}

// Who has shown who it is is told nothing before its certificate is there, then all, and loses its stream when it is revoked.
func TestWhoHasShownWhoItIs(t *testing.T) {
	s := &slow{store.NewMemory(), make(chan struct{})}
	a, of := authority(t, s)
	who := ca.Identity{TrustDomain: "cluster.local", Namespace: "a", ServiceAccount: "one"}
	pl := newPlaneWith(t, Options{Sources: []string{"files"}, Secrets: of, Admit: func(*server.Session, *translate.Proxy) (Shown, error) {
		return Shown{Who: who, By: "a test"}, nil
	}})
	pl.tell("files", entry("x", "10.9.9.1"))
	c := pl.client(sidecar)
	c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: secretType, ResourceNamesSubscribe: []string{"default", "ROOTCA", "kubernetes://a"}})
	pl.eventually("it has come", func(s Status) bool { return len(s.Proxies) == 1 && s.Last.Number == 1 })
	pl.tell("files", entry("y", "10.9.9.2"))
	pl.eventually("a change has come meanwhile", func(s Status) bool { return s.Last.Number == 2 })
	select {
	case m := <-c.got:
		t.Fatalf("it is told of %v before its certificate is there", ownNames(m))
	default:
	}
	if v := pl.Status().Proxies[0].View; v != "" {
		t.Errorf("it has a view: %s", v)
	}
	s.goes <- struct{}{}
	var told, gone []string
	for len(told)+len(gone) < 3 {
		if m := c.next(); m.TypeUrl == secretType {
			told, gone = append(told, ownNames(m)...), append(gone, m.RemovedResources...)
		}
	}
	if slices.Sort(told); !slices.Equal(told, []string{"ROOTCA", "default"}) || len(gone) != 1 {
		t.Errorf("it is told of %v, and that %v is not there", told, gone)
	}
	pl.eventually("all is answered, and it is known who it is", func(s Status) bool {
		return s.Proxies[0].Synced && s.Proxies[0].Identity == who.String() && s.Proxies[0].By == "a test" && len(s.Proxies[0].Withheld) == 0
	})
	// A new root is told to whom is connected, and nothing else.
	if err := a.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := c.next(); m.TypeUrl != secretType || !slices.Equal(ownNames(m), []string{"ROOTCA"}) {
		t.Errorf("for another root it is told of %v", ownNames(m))
	}
	if err := a.Revoke(t.Context(), ca.Revocation{Identity: who.String(), Reason: "a test"}); err != nil {
		t.Fatal(err)
	}
	for range c.got { // the list may come before the end
	}
	if err := c.stream.RecvMsg(nil); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("the stream has ended with %v", err)
	}
	pl.eventually("it is gone", func(s Status) bool { return len(s.Proxies) == 0 })
	if pl.stats.Sum(expelled) != 1 {
		t.Error("it is not counted")
	}
	if again := pl.client(sidecar); again != nil {
		for range again.got {
			t.Error("who is revoked is told something")
		}
	}
}

// Whose account may not read Secrets is told its own certificate, and no credentials.
func TestWhoMayNotReadSecrets(t *testing.T) {
	_, of := authority(t, store.NewMemory())
	pl := newPlaneWith(t, Options{Sources: []string{"files"}, Secrets: of, Admit: func(*server.Session, *translate.Proxy) (Shown, error) {
		return Shown{Who: ca.Identity{TrustDomain: "cluster.local", Namespace: "a", ServiceAccount: "one"}, By: "a test", Denied: "it may not"}, nil
	}})
	pl.tell("files", `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: a}
spec: {servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: named}}]}
---`)
	pl.client("router~10.0.0.1~one.a~a.svc.cluster.local").next()
	pl.eventually("it is said what is withheld", func(s Status) bool {
		return len(s.Proxies) == 1 && slices.Equal(s.Proxies[0].Withheld, []secrets.Withheld{{Name: "kubernetes://named", Because: "it may not"}})
	})
}

// In plain text nobody is told secrets, which is in the status of each, and said once.
func TestInPlainTextNobodyIsToldSecrets(t *testing.T) {
	_, of := authority(t, store.NewMemory())
	pl := newPlaneWith(t, Options{Sources: []string{"files"}, Secrets: of})
	pl.tell("files", entry("x", "10.9.9.1"))
	for _, id := range []string{sidecar, "sidecar~10.0.0.2~two.a~a.svc.cluster.local"} {
		pl.client(id).next()
	}
	want := []secrets.Withheld{{Name: "default", Because: becausePlain}, {Name: "ROOTCA", Because: becausePlain}}
	pl.eventually("both are served", func(s Status) bool { return len(s.Proxies) == 2 && s.Proxies[0].Synced && s.Proxies[1].Synced })
	for _, one := range pl.Status().Proxies {
		if !slices.Equal(one.Withheld, want) || one.Identity != "" {
			t.Errorf("%+v", one)
		}
	}
	pl.log.mu.Lock()
	defer pl.log.mu.Unlock()
	if n := strings.Count(pl.log.text.String(), becausePlain); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// Who asks for names is told the table of all that it sees, and each other one; who does not is told none.
func TestNamesAreToldToWhoAsks(t *testing.T) {
	const names = "type.googleapis.com/istio.networking.nds.v1.NameTable"
	pl := newPlane(t, "files")
	addressed := func(name string) string {
		return strings.Replace(entry(name, "10.9.9.1"), "hosts: [", "addresses: [192.0.2.1]\n  hosts: [", 1)
	}
	pl.tell("files", addressed("x"))
	c, d := pl.client(sidecar), pl.client("router~10.0.0.2~two.a~a.svc.cluster.local")
	for _, one := range []*client{c, d} {
		one.next()
		one.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: names})
		if m := one.next(); m.TypeUrl != names || len(m.Resources) != 1 || !strings.Contains(string(m.Resources[0].Resource.Value), "x.test") {
			t.Errorf("told %v", m)
		}
	}
	pl.tell("files", addressed("y"))
	for _, one := range []*client{c, d} {
		for {
			if m := one.next(); m.TypeUrl == names {
				if len(m.Resources) != 1 || !strings.Contains(string(m.Resources[0].Resource.Value), "y.test") {
					t.Errorf("told %v", m)
				}
				break
			}
		}
	}
}
