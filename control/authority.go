package control

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/ca"
)

// maxForm bounds, in bytes, what is posted to a page.
const maxForm = 64 << 10

// token makes a join token.
func (p *Plane) token(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	life := ca.DefaultTokenLife
	if text := r.PostForm.Get("life"); text != "" {
		var err error
		if life, err = time.ParseDuration(text); err != nil {
			http.Error(w, fmt.Sprintf("life %q: want a time such as 15m", text), http.StatusBadRequest)
			return
		}
	}
	who, err := ca.ParseIdentity(r.PostForm.Get("identity"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.did(w, r, "token", func(ctx context.Context) (string, error) { return p.secure.ca.NewToken(ctx, who, life, r.RemoteAddr) })
}

// revoke takes an identity or a certificate back.
func (p *Plane) revoke(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, r, "revocation", func(ctx context.Context) (string, error) {
		f, text := r.PostForm, "revoked"
		if p.CADir != "" { // there is no key here to sign lists of others with, and who has one list wants one of each issuer
			text += ": from now on proxies refuse whoever shows a certificate that another authority than the one in " + p.CADir + " has issued, whatever roots are trusted"
		}
		return text, p.secure.ca.Revoke(ctx, ca.Revocation{Identity: f.Get("identity"), Serial: f.Get("serial"), Reason: f.Get("reason"), By: r.RemoteAddr})
	})
}

// restore has an identity get certificates again.
func (p *Plane) restore(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, r, "restoration", func(ctx context.Context) (string, error) {
		return "restored", p.secure.ca.Restore(ctx, r.PostForm.Get("identity"))
	})
}

// rotate begins to replace the root.
func (p *Plane) rotate(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, r, "rotation", func(ctx context.Context) (string, error) {
		return fmt.Sprintf("a new root is trusted from now on and signs in %v", ca.Overlap), p.secure.ca.Rotate(ctx)
	})
}

// csr asks for a certificate under a root outside.
func (p *Plane) csr(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, r, "request", func(ctx context.Context) (string, error) {
		text, err := p.secure.ca.Ask(ctx, r.PostForm.Get("anew") == "true")
		return strings.TrimSpace(string(text)), err
	})
}

// importCA takes what was signed for it.
func (p *Plane) importCA(w http.ResponseWriter, r *http.Request) {
	if !p.posted(w, r) {
		return
	}
	p.did(w, r, "import", func(ctx context.Context) (string, error) {
		signs, err := p.secure.ca.Import(ctx, []byte(r.PostForm.Get("certificates")))
		return "the root outside is trusted from now on, and what it has signed signs from " + signs.Format(time.RFC3339) + " on", err
	})
}

// roots are the certificates that the mesh trusts, lists those of what is revoked, revoked the same in words.
func (p *Plane) roots(w http.ResponseWriter, _ *http.Request) { p.pem(w, (*ca.Authority).RootsPEM) }
func (p *Plane) lists(w http.ResponseWriter, _ *http.Request) { p.pem(w, (*ca.Authority).Lists) }

func (p *Plane) revoked(w http.ResponseWriter, _ *http.Request) {
	if p.authority(w) {
		writeJSON(w, p.secure.ca.Revoked())
	}
}

func (p *Plane) pem(w http.ResponseWriter, of func(*ca.Authority) []byte) {
	if p.authority(w) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(of(p.secure.ca))
	}
}

// authority says whether there is one to ask.
func (p *Plane) authority(w http.ResponseWriter) bool {
	if p.secure == nil {
		http.Error(w, "there is no authority here: start with --secure-grpc-addr", http.StatusNotFound)
	}
	return p.secure != nil
}

// posted says whether a form has come, and that there is an authority to ask.
func (p *Plane) posted(w http.ResponseWriter, r *http.Request) bool {
	return isPost(w, r) && p.authority(w) && hasForm(w, r)
}

func isPost(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPost {
		http.Error(w, "want a POST", http.StatusMethodNotAllowed)
	}
	return r.Method == http.MethodPost
}

func hasForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// storeTime bounds what is asked of the store for a page.
const storeTime = 10 * time.Second

// did does something, answers with what has come of it, and writes that down.
func (p *Plane) did(w http.ResponseWriter, r *http.Request, what string, do func(context.Context) (string, error)) {
	ctx, cancel := context.WithTimeout(p.ctx, storeTime)
	defer cancel()
	text, err := do(ctx)
	e := entry{Time: time.Now(), What: what, Identity: r.PostForm.Get("identity"), Serial: r.PostForm.Get("serial"), Reason: r.PostForm.Get("reason"), Object: r.PostForm.Get("object"), From: r.RemoteAddr}
	if err != nil {
		e.Refused = err.Error()
	}
	p.audit.write(e)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	fmt.Fprintln(w, text)
}
