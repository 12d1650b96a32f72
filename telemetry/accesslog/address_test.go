package accesslog

import (
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

func TestServerNameAndOwnAddress(t *testing.T) {
	var r http.Request
	r.SetAuthority([]byte("host.example"))
	local, direct := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("127.0.0.1:15001")
	for _, c := range []struct {
		text  string
		entry Entry
		want  string
	}{
		{"%REQUESTED_SERVER_NAME%", Entry{ServerName: "a.example", Request: &r}, "a.example"},
		{"%REQUESTED_SERVER_NAME(SNI_ONLY)%", Entry{Request: &r}, "-"},
		{"%REQUESTED_SERVER_NAME(SNI_FIRST)%", Entry{ServerName: "a.example", Request: &r}, "a.example"},
		{"%REQUESTED_SERVER_NAME(SNI_FIRST)%", Entry{Request: &r}, "host.example"},
		{"%REQUESTED_SERVER_NAME(HOST_FIRST)%", Entry{ServerName: "a.example", Request: &r}, "host.example"},
		{"%REQUESTED_SERVER_NAME(HOST_FIRST)%", Entry{ServerName: "a.example"}, "a.example"},
		{"%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS%", Entry{Local: local, DirectLocal: direct}, "10.0.0.1:80 127.0.0.1:15001"},
		{"%DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_LOCAL_PORT%", Entry{Local: local}, "10.0.0.1 80"},
	} {
		f, err := Parse(c.text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, &c.entry)); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}
