package memory

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUnchanged(t *testing.T) {
	smaps := `00400000-015ca000 r-xp 00000000 fe:00 131 /bin/weft
Size:              18216 kB
Rss:               17176 kB
Anonymous:             0 kB
015ca000-02ddb000 r--p 011ca000 fe:00 131 /bin/weft
Rss:               15092 kB
Anonymous:             4 kB
02ddb000-02eb0000 rw-p 029db000 fe:00 131 /bin/weft
Anonymous:             0 kB
03000000-03001000 r--p 00000000 fe:00 132 /lib/other/bin/weft
Anonymous:             0 kB
04000000-04001000 r--p 00000000 fe:00 131 /bin/weft
Anonymous:             0 kB
69efd800000-69f01000000 rw-p 00000000 00:00 0
Anonymous:         24888 kB
`
	want := []area{{0x400000, 0x15ca000}, {0x4000000, 0x4001000}}
	if got := unchanged(strings.NewReader(smaps), "/bin/weft"); !slices.Equal(got, want) {
		t.Errorf("%x: want %x: only what nobody may write to and nobody has", got, want)
	}
}

// resident is how many of the program's own pages are, in kB.
func resident(t *testing.T) (kB int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			for _, c := range rest {
				if c >= '0' && c <= '9' {
					kB = 10*kB + int(c-'0')
				}
			}
		}
	}
	return kB
}

// touch reads what is there, as an instruction would.
func touch(t *testing.T, list []area) {
	t.Helper()
	self, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for _, a := range list {
		if _, err := self.ReadAt(make([]byte, a.to-a.from), int64(a.from)); err != nil {
			t.Fatal(err)
		}
	}
}

// What the program has read of itself is not resident afterwards, and can be read again.
func TestReturn(t *testing.T) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	areas := unchanged(smaps, self)
	smaps.Close()
	if len(areas) == 0 {
		t.Fatal("the program is nowhere in its own memory")
	}
	touch(t, areas)
	before := resident(t)
	Return()
	after := resident(t)
	if after > before*3/4 { // fault-around brings back what lies beside what is used: this program is small
		t.Errorf("%d kB of the program are resident, and %d were", after, before)
	}
	touch(t, areas)
	if again := resident(t); again <= after {
		t.Errorf("%d kB are resident after all has been read again, %d before", again, after)
	}
}
