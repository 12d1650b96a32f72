package decode

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
)

// runSSL runs OpenSSL in a folder.
func runSSL(t testing.TB, dir string, arguments ...string) {
	t.Helper()
	c := exec.Command("openssl", arguments...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v (make setup installs openssl)\n%s", strings.Join(arguments, " "), err, out)
	}
}

// What OpenSSL encrypts is opened with its password, and with no other.
func TestEncryptedKeys(t *testing.T) {
	a := authority.New(t, t.TempDir())
	a.Issue("ec", []string{"a.test"}, nil)
	a.IssueRSA("rsa", []string{"a.test"})
	for _, how := range []string{
		"pkcs8 -topk8 -v2 aes-256-cbc", "pkcs8 -topk8 -v2 aes-192-cbc", "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512", "pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1",
		"pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA384 -iter 100000", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA224", "pkey -traditional -aes256", "pkey -traditional -des3", "pkey -aes128",
	} {
		for _, kind := range []string{"ec", "rsa"} {
			runSSL(t, a.Dir, append(strings.Fields(how), "-in", kind+".key", "-out", "out", "-passout", "pass:secret")...)
			b, err := os.ReadFile(filepath.Join(a.Dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(b, []byte("ENCRYPTED")) {
				t.Fatalf("%s: is not encrypted: %s", how, b)
			}
			chain, err := os.ReadFile(filepath.Join(a.Dir, kind+".pem"))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := decrypted(b, []byte("secret"))
			if err == nil {
				_, err = tls.X509KeyPair(chain, plain)
			}
			if err != nil {
				t.Errorf("%s, %s: %v", how, kind, err)
			}
			for _, wrong := range []string{"", "Secret", "secret\n"} {
				plain, err := decrypted(b, []byte(wrong))
				if err == nil { // the old way has no sum, and its padding may be right by chance
					_, err = tls.X509KeyPair(chain, plain)
				}
				if err == nil {
					t.Errorf("%s, %s: opened with %q", how, kind, wrong)
				}
			}
			if again, err := decrypted(plain, []byte("needless")); err != nil || !bytes.Equal(again, plain) {
				t.Errorf("%s, %s: a plain key: %v", how, kind, err)
			}
		}
	}
	runSSL(t, a.Dir, "pkcs8", "-topk8", "-scrypt", "-in", "ec.key", "-out", "out", "-passout", "pass:secret")
	b, _ := os.ReadFile(filepath.Join(a.Dir, "out"))
	if _, err := decrypted(b, []byte("secret")); err == nil || !strings.Contains(err.Error(), "want PBKDF2") {
		t.Errorf("scrypt: %v", err)
	}
}

// PKCS #12 is read as OpenSSL writes it today and wrote it long ago, with the chain that is in it.
func TestKeyStores(t *testing.T) {
	a := authority.New(t, t.TempDir())
	own := a.Issue("own", []string{"a.test"}, nil)
	for _, how := range [][]string{{}, {"-legacy"}, {"-certfile", "ca.pem"}, {"-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC", "-macalg", "sha512"}} {
		runSSL(t, a.Dir, append(append([]string{"pkcs12", "-export"}, how...), "-inkey", "own.key", "-in", "own.pem", "-out", "out", "-passout", "pass:secret")...)
		b, err := os.ReadFile(filepath.Join(a.Dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := keyStore(b, []byte("secret"))
		if err != nil {
			t.Errorf("%v: %v", how, err)
			continue
		}
		want := len(own.Certificate)
		if len(how) > 0 && how[0] == "-certfile" {
			want++
		}
		if !c.Leaf.Equal(own.Leaf) || len(c.Certificate) != want {
			t.Errorf("%v: %v, %d certificates", how, c.Leaf.Subject, len(c.Certificate))
		}
		if _, err := keyStore(b, []byte("other")); err == nil || err.Error() != "it does not open with that password" {
			t.Errorf("%v: %v", how, err)
		}
	}
	if _, err := keyStore([]byte("-----BEGIN"), nil); err == nil {
		t.Error("PEM was taken for PKCS #12")
	}
}

// Whatever is written into a key's place is refused or taken, and nothing worse.
func FuzzDecrypted(f *testing.F) {
	a := authority.New(f, f.TempDir())
	a.Issue("own", []string{"a.test"}, nil)
	runSSL(f, a.Dir, "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "1", "-in", "own.key", "-outform", "DER", "-out", "out", "-passout", "pass:secret")
	seed, err := os.ReadFile(filepath.Join(a.Dir, "out"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, []byte("secret"))
	f.Add(seed, []byte{})
	f.Fuzz(func(t *testing.T, der, password []byte) {
		if b, err := decryptedPKCS8(bytes.Clone(der), password); err == nil && len(b) == 0 {
			t.Error("an empty key")
		}
		b := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
		if _, err := decrypted(b, password); err == nil {
			if plain, err := decryptedPKCS8(bytes.Clone(der), password); err != nil || len(plain) == 0 {
				t.Errorf("one way it opens, and the other it does not: %v", err)
			}
		}
	})
}
