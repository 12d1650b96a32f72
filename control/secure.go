package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// serverNames are what agents know a control plane by, Istio's and ours, besides what an operator adds.
var serverNames = []string{"istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", "istio-pilot.istio-system.svc", "weftd.istio-system.svc", "localhost"}

// secure is what is behind the address where everybody proves who he is: the authority of the mesh, and its store.
type secure struct {
	store store.Store
	ca    *ca.Authority
	audit *audit
	grpc  *grpc.Server
	list  net.Listener
}

// openSecure opens the store and the authority.
func (p *Plane) openSecure(trustDomain string) (err error) {
	s := &secure{}
	p.secure = s
	if s.audit, err = openAudit(p.AuditLog, p.Log.Error); err != nil {
		return err
	}
	if s.store, err = store.Open(p.Store); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	if p.Store == "" && p.CADir == "" {
		p.Log.Warn("the root of the mesh's certificates is kept in memory, and nobody trusts it after this process: name a file by --store")
	}
	if s.ca, err = ca.Open(p.ctx, ca.Options{Store: s.store, TrustDomain: trustDomain, Folder: p.CADir, Audit: s.audit.certificate}); err != nil {
		return err
	}
	p.parts.Go(func() {
		s.ca.Run(p.ctx, func(err error) { p.Log.Error("the authority goes on with what it knows", "because", err) })
	})
	if s.list, err = p.listen("--secure-grpc-addr", p.SecureGRPC); err != nil {
		return err
	}
	names := append(serverNames[:len(serverNames):len(serverNames)], p.SecureNames...)
	s.grpc = grpc.NewServer(append(server.GRPC(), grpc.Creds(credentials.NewTLS(s.ca.ServerTLS(names))))...)
	securityv1alpha1.RegisterIstioCertificateServiceServer(s.grpc, &ca.Service{Authority: s.ca, Proofs: []ca.Authenticator{ca.ByCertificate{TrustDomain: trustDomain}, ca.ByToken{Authority: s.ca}}})
	server.New(server.Options{Control: p.push, Stats: p.stats.Acquire(server.Stats, "xds_secure.").Loop(0)}).Register(s.grpc)
	p.SecureAddress = s.list.Addr()
	p.parts.Go(func() { s.grpc.Serve(s.list) })
	return nil
}

func (s *secure) close() {
	if s.grpc != nil {
		s.grpc.Stop()
	}
}

// after is for when nobody uses the store any more.
func (s *secure) after() {
	if s.store != nil {
		s.store.Close()
	}
	if s.audit != nil {
		s.audit.close()
	}
}

// admit holds what a proxy says of itself against what its connection has shown. On a connection in plain text nobody shows anything: whoever may
// reach that address is believed.
func (p *Plane) admit(s *server.Session, proxy *translate.Proxy) error {
	info, ok := s.Auth().(credentials.TLSInfo)
	if !ok {
		return nil
	}
	who, err := ca.ByCertificate{TrustDomain: p.trustDomain}.Of(info)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if proxy.Namespace != who.Namespace || proxy.Account != "" && proxy.Account != who.ServiceAccount {
		return status.Errorf(codes.PermissionDenied, "control: the node is of namespace %q and service account %q, and its certificate of %s: want a node that is what its certificate says", proxy.Namespace, proxy.Account, who)
	}
	proxy.Account = who.ServiceAccount
	return nil
}

// audit is a log of what must be known later: JSON, a line for each thing, that is only ever added to.
type audit struct {
	failed func(string, ...any)
	mu     sync.Mutex
	file   *os.File // nil: it is not kept
}

func openAudit(path string, failed func(string, ...any)) (*audit, error) {
	a := &audit{failed: failed}
	if path == "" {
		return a, nil
	}
	var err error
	if a.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	return a, nil
}

// certificateEntry is a line about a certificate.
type certificateEntry struct {
	Time     time.Time `json:"time"`
	What     string    `json:"what"`
	Identity string    `json:"identity,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	From     string    `json:"from,omitempty"`
	By       string    `json:"by,omitempty"`
	Refused  string    `json:"refused,omitempty"`
}

func (a *audit) certificate(r ca.Record) {
	a.write(certificateEntry{r.Time, "certificate", r.Identity, r.Serial, r.Until, r.From, r.By, r.Refused})
}

func (a *audit) write(entry any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	line, err := json.Marshal(entry)
	if err == nil {
		_, err = a.file.Write(append(line, '\n')) // whole, or not at all: lines of several processes do not mix (O_APPEND)
	}
	if err != nil {
		a.failed("the audit log cannot be written", "because", err)
	}
}

func (a *audit) close() {
	if a.file != nil {
		a.file.Close()
	}
}

// maxForm bounds, in bytes, what is posted to a page.
const maxForm = 64 << 10

// token makes a join token. Only who is on this host may ask for one.
func (p *Plane) token(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	who, err := ca.ParseIdentity(r.PostForm.Get("identity"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	life := ca.DefaultTokenLife
	if text := r.PostForm.Get("life"); text != "" {
		if life, err = time.ParseDuration(text); err != nil {
			http.Error(w, fmt.Sprintf("life %q: want a time such as 15m", text), http.StatusBadRequest)
			return
		}
	}
	p.did(w, func(ctx context.Context) (string, error) {
		return p.secure.ca.NewToken(ctx, who, life, r.RemoteAddr)
	})
}

// revoke takes an identity or a certificate back.
func (p *Plane) revoke(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, func(ctx context.Context) (string, error) {
		return "revoked", p.secure.ca.Revoke(ctx, ca.Revocation{Identity: r.PostForm.Get("identity"), Serial: r.PostForm.Get("serial"), Reason: r.PostForm.Get("reason"), By: r.RemoteAddr})
	})
}

// roots are the certificates that the mesh trusts.
func (p *Plane) roots(w http.ResponseWriter, _ *http.Request) {
	if p.secure == nil {
		http.Error(w, noAuthority, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Write(p.secure.ca.RootsPEM())
}

// rotate begins to replace the root.
func (p *Plane) rotate(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, func(ctx context.Context) (string, error) {
		return fmt.Sprintf("a new root is trusted from now on and signs in %v", ca.Overlap), p.secure.ca.Rotate(ctx)
	})
}

const noAuthority = "there is no authority here: start with --secure-grpc-addr"

// posted says whether somebody on this host has posted a form, and that there is an authority to ask.
func (p *Plane) posted(w http.ResponseWriter, r *http.Request) bool {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	switch from := net.ParseIP(host); {
	case r.Method != http.MethodPost:
		http.Error(w, "want a POST", http.StatusMethodNotAllowed)
	case from == nil || !from.IsLoopback():
		http.Error(w, "want it from this host", http.StatusForbidden)
	case p.secure == nil:
		http.Error(w, noAuthority, http.StatusNotFound)
	default:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return false
		}
		return true
	}
	return false
}

// storeTime bounds what is asked of the store for a page.
const storeTime = 10 * time.Second

// did answers with what has come of something.
func (p *Plane) did(w http.ResponseWriter, what func(context.Context) (string, error)) {
	ctx, cancel := context.WithTimeout(p.ctx, storeTime)
	defer cancel()
	text, err := what(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	fmt.Fprintln(w, text)
}
