package netns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/capture"
)

// choices are pieces of command lines: one of each list is taken.
var choices = [][]string{
	{"-i *", "-i *", "-i 10.89.0.0/16,fd77::/16", "-i 127.0.0.0/8", ""},
	{"-x 10.88.0.0/24", "-x 10.0.0.0/8", ""},
	{"-o 7002", "-o 7001,443", ""},
	{"-q 7001", "-q 7002,7001", ""},
	{"-b *", "-b *", "-b 8080", ""},
	{"-d 15021", "-d 8080", ""},
	{"-u 1337", "-u 1337,1000"},
	{"-g 1337", "-g 1337,1001", "-g 5"},
	{"-m REDIRECT", "-m TPROXY"},
	{"--redirect-dns --capture-all-dns", ""},
	{"--drop-invalid", ""},
	{"-c lo", "-c eth+", "-k eth0", "", "", "", ""},
	{"--dual-stack", "--dual-stack", ""},
}

// Whatever the settings, all backends take the same connections and leave the same alone. Seeds are those of the settings: one that fails is tried again by
// its number.
func TestBackendsAgree(t *testing.T) {
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 1))
		var args []string
		for _, c := range choices {
			args = append(args, strings.Fields(c[r.IntN(len(c))])...)
		}
		var first []string
		for _, name := range []string{"iptables-nft", "iptables-legacy", "nftables"} {
			t.Run(fmt.Sprintf("%d/%s", seed, name), func(t *testing.T) {
				ways := waysOf(t, backends[name], args)
				if first == nil {
					first = ways
				}
				if !slices.Equal(ways, first) {
					t.Errorf("%q:\n%s\nand by another\n%s", args, strings.Join(ways, "\n"), strings.Join(first, "\n"))
				}
			})
		}
	}
}

// waysOf is how connections of every kind go where a command line is applied.
func waysOf(t *testing.T, o capture.Options, args []string) (list []string) {
	p := newPod(t)
	p.weft(p.sidecar(slices.Contains(args, "TPROXY")))
	all := p.capture(o, args...)
	if r := p.check(all); !r.OK() {
		t.Errorf("%q:\n%s", args, r)
	}
	link := fmt.Sprintf("pod%d", p.number)
	beyond := []string{"10.88.0.1/32", "10.89.0.1/32", serviceIP + "/32"} // at the service's, nobody listens outside of the proxy
	up(t, link, beyond...)
	defer down(t, link, beyond...)
	for _, port := range []string{"7001", "7002"} {
		l := (*pod)(nil).listen(t, ":"+port)
		defer l.Close() // another pod has it next
		go whence(l)
	}
	go whence(p.listen(t, ":8080"))
	go whence(p.listen(t, ":15021"))
	say := func(what, way string) {
		if way != "proxy" && way != "straight" {
			way = "nowhere"
		}
		list = append(list, what+" "+way)
	}
	for _, w := range []who{root, {1000, 1000}, {1000, 1001}, {proxyUser, proxyUser}, {5, 5}} {
		for i, to := range []string{p.world + ":7001", p.world + ":7002", "10.88.0.1:7001", "10.89.0.1:7001", "10.89.0.1:7002", "[" + p.world6 + "]:7001", "127.0.0.1:8080", p.ip + ":8080", "[" + p.ip6 + "]:8080", serviceIP + ":80"} {
			say(fmt.Sprintf("%v to destination %d:", w, i), p.way(w, to))
		}
	}
	for i, to := range []string{p.ip + ":8080", p.ip + ":15021", "[" + p.ip6 + "]:8080"} {
		way := "straight"
		from, err := came(net.DialTimeout("tcp", to, 2*time.Second))
		switch {
		case err != nil:
			way = err.Error()
		case strings.HasPrefix(from, "127.0.0.6:"), strings.HasPrefix(from, "[::6]:"):
			way = "proxy"
		}
		say(fmt.Sprintf("inbound %d:", i), way)
	}
	return list
}
