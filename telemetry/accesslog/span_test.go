package accesslog

import (
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	whole := &Entry{RequestEnd: 2 * time.Millisecond, UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: 3 * time.Millisecond, End: 5 * time.Millisecond, Answered: true,
		More: &More{Accepted: At(-time.Second), Gone: At(6 * time.Millisecond), RequestHead: At(time.Millisecond), Dialled: At(-3 * time.Microsecond), Connected: At(2 * time.Microsecond), UpstreamBody: At(4 * time.Millisecond),
			Shaking: At(-8 * time.Millisecond), Shaken: At(-3 * time.Millisecond), UpstreamShaken: At(10 * time.Microsecond)}}
	broken := &Entry{RequestEnd: -1, UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1, End: 5 * time.Millisecond}
	for _, c := range []struct{ span, whole, broken string }{
		{"DS_CX_BEG:DS_RX_BEG:us", "1000000", "-"},
		{"DS_RX_BEG:DS_RX_HDR_END", "1", "-"},
		{"DS_RX_HDR_END:DS_RX_END:us", "1000", "-"},
		{"US_CX_BEG:US_CX_END:ns", "5000", "-"},
		{"US_CX_BEG:US_RX_BODY_BEG:us", "4003", "-"},
		{"DS_RX_BEG:US_CX_BEG:us", "-", "-"}, // the connection is older than what it carries
		{"DS_TX_END:DS_CX_END:ms", "1", "-"},
		{"DS_RX_BEG:DS_TX_END:ms", "5", "-"},
		{"DS_TX_END:DS_RX_BEG:ms", "-", "-"},
		{"US_CX_END:US_HS_END:us", "8", "-"},
		{"DS_HS_BEG:DS_HS_END:ms", "5", "-"},
		{"DS_HS_END:DS_RX_BEG:ms", "3", "-"},
		{"own:own:ms", "-", "-"},
		{":DS_RX_BEG", "-", "-"},
	} {
		f, err := Parse("%COMMON_DURATION("+c.span+")%", Options{})
		if err != nil {
			t.Fatal(err)
		}
		for e, want := range map[*Entry]string{whole: c.whole, broken: c.broken} {
			if got := string(f.Append(nil, e)); got != want {
				t.Errorf("%s: %s, want %s", c.span, got, want)
			}
		}
	}
	f, err := Parse("%DURATION% %RESPONSE_TX_DURATION%", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.Append(nil, broken)); got != "5 -" {
		t.Errorf("of what was not answered: %s", got)
	}
	f, _ = Parse("%COMMON_DURATION(US_CX_BEG:US_CX_END:ns)% %COMMON_DURATION(DS_CX_BEG:nobody)%", Options{})
	room := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { f.Append(room, whole) }); n != 0 {
		t.Errorf("a line costs %v allocations", n)
	}
}
