package netns

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/capture"
)

// BenchmarkCapture is what an apply and a clean take as programs, from their start to their end, beside whatever else runs: of a sidecar's rules as they
// are by default, and of those with questions and both versions of IP.
func BenchmarkCapture(b *testing.B) {
	for name, o := range backends {
		for _, rules := range []string{"sidecar", "names"} {
			b.Run(name+"/"+rules, func(b *testing.B) { cost(b, o, variety[rules]) })
		}
	}
}

func cost(b *testing.B, o capture.Options, rules []string) {
	p := newPod(b)
	args := append(flags(o), rules...)
	for _, verb := range []string{"apply", "again", "clean"} {
		b.Run(verb, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				p.command("", map[string][]string{"apply": {"clean"}, "again": nil, "clean": append([]string{"apply"}, args...)}[verb]...)
				command := strings.Replace(verb, "again", "apply", 1)
				b.StartTimer()
				if code, said := p.command("", append([]string{command}, args...)...); code != 0 {
					b.Fatal(said)
				}
			}
		})
	}
}
