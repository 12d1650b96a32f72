package dns

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a file of resolvers.
const (
	maxResolvers = 8
	maxFile      = 1 << 20     // bytes
	lookAgain    = time.Second // how old may be what is known of the file
)

// Times that resolv.conf says, as far as they make sense here: who has asked us waits 5 s himself as a rule (resolv.conf(5)), so that nothing later is of use to him.
const (
	defaultTry = 2 * time.Second
	maxTry     = 4 * time.Second
	tries      = 2
	patience   = 4500 * time.Millisecond
)

// settings are what the pod says of how it finds names (resolv.conf(5)).
type settings struct {
	servers []netip.AddrPort
	search  string // the first domain in which names are looked for
	try     time.Duration
}

// resolvers are the settings of a file, which is read again when it has changed.
type resolvers struct {
	path string
	self []netip.AddrPort // where we answer: who leads there leads nowhere
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	looked time.Time
	stamp  string
	last   atomic.Pointer[settings] // as they were when somebody was last asked
}

// get gives what the file says.
func (r *resolvers) get() *settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if !r.looked.IsZero() && now.Sub(r.looked) < lookAgain {
		return r.last.Load()
	}
	r.looked = now
	info, err := os.Stat(r.path)
	stamp := ""
	if err == nil {
		stamp = fmt.Sprint(info.ModTime(), info.Size())
	}
	if err != nil || stamp == r.stamp { // while it is away, it says what it said
		return r.last.Load()
	}
	next, problems := readSettings(r.path, r.self)
	for _, p := range problems {
		r.log.Warn(p, "file", r.path)
	}
	if len(next.servers) == 0 {
		r.log.Error("no name server is left to be asked: names that are not of the mesh are not answered", "file", r.path)
	}
	r.stamp = stamp
	r.last.Store(&next)
	return &next
}

// readSettings reads a file. problems are what it says that is not done.
func readSettings(path string, self []netip.AddrPort) (s settings, problems []string) {
	s.try = defaultTry
	file, err := os.Open(path)
	if err != nil {
		return s, []string{fmt.Sprintf("it cannot be read: %v", err)}
	}
	defer file.Close()
	for lines := bufio.NewScanner(io.LimitReader(file, maxFile)); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 || words[0][0] == ';' {
			continue
		}
		switch words[0] {
		case "nameserver":
			ip, err := netip.ParseAddr(words[1])
			at := netip.AddrPortFrom(ip, 53)
			switch {
			case err != nil:
				problems = append(problems, fmt.Sprintf("the name server %q is no address: it is left out", words[1]))
			case slices.Contains(self, at):
				problems = append(problems, fmt.Sprintf("the name server %s is where we answer ourselves: it is left out, since a question would go in a circle", ip))
			case len(s.servers) < maxResolvers:
				s.servers = append(s.servers, at)
			}
		case "search", "domain":
			s.search = strings.ToLower(strings.Trim(words[1], "."))
		case "options":
			for _, o := range words[1:] {
				if v, is := strings.CutPrefix(o, "timeout:"); is {
					if n, err := strconv.Atoi(v); err == nil && n > 0 {
						s.try = min(time.Duration(n)*time.Second, maxTry)
					}
				}
			}
		}
	}
	return s, problems
}
