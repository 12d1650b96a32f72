package issuer

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Pair is files with a certificate's chain, its key, and roots, which may be none.
type Pair struct{ Chain, Key, Roots string }

// Names of files as Istio's agents have them: in workload-spiffe-credentials, in OUTPUT_CERTS and in PROV_CERT.
const (
	chainFile = "cert-chain.pem"
	keyFile   = "key.pem"
	rootsFile = "root-cert.pem"
)

// PairIn is that of a folder, under the names that Istio's agents have.
func PairIn(folder string) Pair {
	return Pair{Chain: filepath.Join(folder, chainFile), Key: filepath.Join(folder, keyFile), Roots: filepath.Join(folder, rootsFile)}
}

// There says whether the certificate and its key are there.
func (p Pair) There() bool {
	for _, path := range []string{p.Chain, p.Key} {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

// load reads a certificate to be shown, if it is good at a time.
func (p Pair) load(now time.Time) (*stdtls.Certificate, error) {
	chain, err := readFile(p.Chain)
	if err != nil {
		return nil, err
	}
	key, err := readFile(p.Key)
	if err != nil {
		return nil, err
	}
	c, err := stdtls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Chain, err)
	}
	if !now.Before(c.Leaf.NotAfter) {
		return nil, fmt.Errorf("%s has ended at %s", p.Chain, c.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &c, nil
}

// identity reads all of it.
func (p Pair) identity(beside []*x509.Certificate, want Who, now time.Time) (*Identity, error) {
	text, err := readFile(p.Chain)
	if err != nil {
		return nil, err
	}
	list, err := certificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", p.Chain, err)
	}
	key, err := readFile(p.Key)
	if err != nil {
		return nil, err
	}
	var roots []*x509.Certificate
	if p.Roots != "" {
		if roots, err = readRoots(p.Roots); err != nil {
			return nil, err
		}
	}
	i, err := judge(list, key, roots, beside, want, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Chain, err)
	}
	return i, nil
}

// follow takes what others have written, if it is another one. What is wrong is said once, and what there was stays.
func (x *Issuer) follow() {
	next, err := x.Files.identity(nil, x.Want, time.Now())
	if err != nil {
		x.mu.Lock()
		x.why = err
		x.mu.Unlock()
		if !x.failed {
			x.failed = true
			x.count(failures)
			x.Log.Error("the files with the certificate cannot be used: what there was stays, and they are looked at again and again", "because", err)
		}
		return
	}
	x.failed = false
	if was, _ := x.Identity(); was != nil && was.same(next) {
		x.mu.Lock()
		x.why = nil
		x.mu.Unlock()
		return
	}
	x.count(reloads)
	x.Log.Info("has the certificate of files", "identity", next.Name(), "file", x.Files.Chain, "until", next.Leaf.NotAfter.Format(time.RFC3339))
	x.put(next)
}

// roots are those of files, as far as they are there.
func (x *Issuer) roots() (list []*x509.Certificate) {
	for _, path := range x.Roots {
		some, err := readRoots(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			x.Log.Warn("a file of roots is left out", "because", err)
		}
		list = append(list, some...)
	}
	return list
}

// refreshRoots takes roots that have come or gone in files. Files that are all gone change nothing: who trusts nobody can talk to nobody.
func (x *Issuer) refreshRoots() {
	list := x.roots()
	text := string(encode(list...))
	if len(list) == 0 || text == x.beside {
		return
	}
	x.beside = text
	if was, _ := x.Identity(); was != nil {
		if next := was.under(list); !next.same(was) {
			x.Log.Info("peers are believed by other roots", "roots", len(list))
			x.put(next)
			x.write(next)
		}
	}
}

// resume takes up what the process before has handed over, or an earlier one has written, so that a workload that is started again has an identity while nobody signs.
func (x *Issuer) resume() {
	if x.Files != (Pair{}) {
		return
	}
	written := x.Output != "" && PairIn(x.Output).There()
	if x.Before != nil {
		i, err := inherited(x.Before, x.roots(), x.Want, time.Now())
		if x.Before = nil; err == nil {
			if x.taken(i); x.Output != "" && !written {
				x.write(i)
			}
			return
		}
		x.Log.Warn("the certificate of the process before is not taken up", "because", err)
	}
	if !written {
		return
	}
	i, err := PairIn(x.Output).identity(x.roots(), x.Want, time.Now())
	if err != nil {
		x.Log.Warn("the certificate of before is not taken up", "because", err)
		return
	}
	x.taken(i)
}

// taken has what another process has had be in force.
func (x *Issuer) taken(i *Identity) {
	x.renewAt = x.due(i.Leaf, i.Leaf.NotBefore)
	x.Log.Info("has the certificate of before", "identity", i.Name(), "until", i.Leaf.NotAfter.Format(time.RFC3339), "renewed", x.renewAt.Format(time.RFC3339))
	x.put(i)
}

// write writes what is in force for others, each file at once. The key comes first: who reads a new certificate finds the key that fits.
func (x *Issuer) write(i *Identity) {
	if x.Output == "" {
		return
	}
	err := os.MkdirAll(x.Output, 0o755)
	for _, f := range []struct {
		name string
		text []byte
		mode os.FileMode
	}{{keyFile, i.Key, 0o600}, {chainFile, i.Chain, 0o644}, {rootsFile, i.Roots, 0o644}} {
		if err != nil {
			break
		}
		path := filepath.Join(x.Output, f.name)
		if err = os.WriteFile(path+".new", f.text, f.mode); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		x.count(unwritten)
		x.Log.Error("the certificate is not written to its folder", "folder", x.Output, "because", err)
	}
}
