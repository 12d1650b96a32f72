package http2

import "github.com/weftmesh/weft/wire/http"

// staticFields are the fields that both sides know from the start (RFC 7541 appendix A), the first of which has the index 1.
var staticFields = [...][2]string{
	{":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"}, {":scheme", "http"},
	{":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"}, {":status", "304"}, {":status", "400"},
	{":status", "404"}, {":status", "500"}, {"accept-charset", ""}, {"accept-encoding", "gzip, deflate"}, {"accept-language", ""},
	{"accept-ranges", ""}, {"accept", ""}, {"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""},
	{"cache-control", ""}, {"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
	{"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""}, {"expect", ""},
	{"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""}, {"if-none-match", ""}, {"if-range", ""},
	{"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""}, {"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""},
	{"proxy-authorization", ""}, {"range", ""}, {"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
	{"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""}, {"www-authenticate", ""},
}

// known is a field of the static table with all that there is to know of it.
type known struct {
	name, value []byte
	kind        kind
	id          http.ID
	code        Code // what is wrong with it, where its value is none
}

// staticTable has the fields at their indices.
var staticTable = func() (t [len(staticFields) + 1]known) {
	for i, f := range staticFields {
		k := &t[i+1]
		k.name, k.value = []byte(f[0]), []byte(f[1])
		k.id, k.kind, _ = classify(k.name)
		if k.kind == authority || k.kind == host {
			k.code = BadAuthority
		}
	}
	return t
}()

// The indices that heads begin with.
const (
	staticAuthority  = 1
	staticGET        = 2
	staticPOST       = 3
	staticPath       = 4
	staticRoot       = 4
	staticHTTP       = 6
	staticHTTPS      = 7
	staticStatus     = 8 // 200, of the seven that follow one another
	staticContentLen = 28
)

// staticNames are the indices of names with an ID; 0 for those that the table does not have.
var staticNames = func() (t [256]uint8) {
	for i := len(staticTable) - 1; i > 0; i-- {
		t[staticTable[i].id] = uint8(i)
	}
	t[http.Other] = 0
	return t
}()

// staticOther finds the index of a name without ID; 0 if the table does not have it. It is asked only where a name would be spelled.
func staticOther(name []byte) uint8 {
	switch string(name) {
	case "accept-charset":
		return 15
	case "accept-language":
		return 17
	case "accept-ranges":
		return 18
	case "access-control-allow-origin":
		return 20
	case "age":
		return 21
	case "allow":
		return 22
	case "content-disposition":
		return 25
	case "content-language":
		return 27
	case "content-location":
		return 29
	case "content-range":
		return 30
	case "expires":
		return 36
	case "from":
		return 37
	case "if-match":
		return 39
	case "if-modified-since":
		return 40
	case "if-none-match":
		return 41
	case "if-range":
		return 42
	case "if-unmodified-since":
		return 43
	case "link":
		return 45
	case "max-forwards":
		return 47
	case "refresh":
		return 52
	case "strict-transport-security":
		return 56
	case "www-authenticate":
		return 61
	}
	return 0
}
