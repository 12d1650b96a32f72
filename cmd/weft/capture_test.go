package main

import (
	"bytes"
	"strings"
	"testing"
)

// What the commands say without touching the kernel; what they do to it is test/netns's.
func TestCaptureCommands(t *testing.T) {
	for _, c := range []struct {
		line string
		code int
		want string // on standard output, or standard error if it failed
	}{
		{"capture", 1, "want plan, apply, clean or check"},
		{"capture undo", 1, `"undo": want plan, apply, clean or check`},
		{"capture --help", 0, "weft capture plan|apply|clean|check"},
		{"capture apply --help", 0, "-istio-inbound-ports"},
		{"istio-iptables -h", 0, "short for --proxy-uid"},
		{"capture plan -i * -b *", 0, "nat    OUTPUT"},
		{"capture plan -i * -b * -o iptables", 0, "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"},
		{"capture plan -i * -b * --output nft", 0, "add rule inet istio-proxy-nat istio-output "},
		{"capture plan -b * -m TPROXY", 0, "# ip -4 rule add fwmark 1337 lookup 133"},
		{"capture plan -o json", 1, "--output json is for check"},
		{"capture plan -m NONE", 1, "want REDIRECT or TPROXY"},
		{"capture plan -p", 1, "flag needs an argument"},
		{"capture clean --dry-run", 1, "weft capture check says what is there"},
		{"capture plan --network-namespace /nonexistent", 1, "--network-namespace: open /nonexistent"},
		{"istio-iptables -p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020 --log_output_level=default:info --dry-run", 0, "-A ISTIO_INBOUND -p tcp -m tcp --dport 15020 -j RETURN\n"},
		{"istio-iptables --skip-rule-apply", 0, ""},
	} {
		var out, complaint bytes.Buffer
		code := run(strings.Fields(c.line), &out, &complaint)
		said := out.String()
		if c.code != 0 {
			said = complaint.String()
		}
		if code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("weft %s: %d and %q, want %d and %q", c.line, code, said, c.code, c.want)
		}
	}
}
