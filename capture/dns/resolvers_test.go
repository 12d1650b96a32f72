package dns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string, at time.Time) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s, problems := readSettings(file, nil)
	if len(s.servers) > 0 || len(problems) != 1 {
		t.Errorf("of no file: %v, %v", s, problems)
	}
	write("# by hand\nnameserver 10.0.0.10\nnameserver fd00::a ; more\nnameserver 127.0.0.1\nnameserver nobody\nsearch Ns.svc.cluster.local. svc.cluster.local\noptions ndots:5 timeout:9\n", time.Unix(1000, 0))
	s, problems = readSettings(file, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")})
	if got, want := fmt.Sprintf("%v %s %v", s.servers, s.search, s.try), "[10.0.0.10:53 [fd00::a]:53] ns.svc.cluster.local 4s"; got != want || len(problems) != 2 {
		t.Errorf("%s, want %s; %v", got, want, problems)
	}
	// Another file is seen, though not before a second is over.
	p := play(t)
	now := time.Unix(5000, 0)
	p.resolvers.path, p.resolvers.now = file, func() time.Time { return now }
	p.resolvers.looked = time.Time{}
	if n := len(p.resolvers.get().servers); n != 3 {
		t.Errorf("%d servers, want 3", n)
	}
	write("nameserver 10.0.0.11\n", time.Unix(2000, 0))
	if n := len(p.resolvers.get().servers); n != 3 {
		t.Errorf("%d servers within a second, want 3", n)
	}
	now = now.Add(2 * time.Second)
	if n := len(p.resolvers.get().servers); n != 1 {
		t.Errorf("%d servers after a second, want 1", n)
	}
	os.Remove(file)
	now = now.Add(2 * time.Second)
	if n := len(p.resolvers.get().servers); n != 1 {
		t.Errorf("%d servers while the file is away, want 1", n)
	}
}
