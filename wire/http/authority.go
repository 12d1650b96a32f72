package http

// The kinds of bytes in an authority.
const (
	hostPlain   = iota + 1 // unreserved and sub-delims
	hostColon              // before the port
	hostPercent            // before two hexadecimal digits
)

var hostByte = func() (t [256]byte) {
	for c := range t {
		if (byte(c)|0x20)-'a' < 26 || byte(c)-'0' < 10 {
			t[c] = hostPlain
		}
	}
	for _, c := range []byte("-._~!$&'()*+,;=") {
		t[c] = hostPlain
	}
	t[':'], t['%'] = hostColon, hostPercent
	return t
}()

// ValidAuthority tells whether a is uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2.2) without user information; empty is valid,
// unless a port must be there. An address in brackets may have a zone; whether it is an address at all is left to who dials it.
func ValidAuthority(a []byte, port bool) bool {
	i := 0
	if len(a) > 0 && a[0] == '[' {
		for i = 1; i < len(a) && (isHex(a[i]) || a[i] == ':' || a[i] == '.'); i++ {
		}
		if i == 1 {
			return false
		}
		if i < len(a) && a[i] == '%' {
			for i++; i < len(a) && hostByte[a[i]] == hostPlain; i++ {
			}
		}
		if i == len(a) || a[i] != ']' {
			return false
		}
		if i++; i == len(a) {
			return !port
		}
		if a[i] != ':' {
			return false
		}
	} else {
		for ; i < len(a); i++ {
			if kind := hostByte[a[i]]; kind != hostPlain {
				if kind == hostColon {
					break
				}
				if kind != hostPercent || i+2 >= len(a) || !isHex(a[i+1]) || !isHex(a[i+2]) {
					return false
				}
			}
		}
		if i == len(a) {
			return !port
		}
		if i == 0 {
			return false
		}
	}
	n := 0
	for _, c := range a[i+1:] {
		if c-'0' >= 10 {
			return false
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return false
		}
	}
	return !port || i+1 < len(a)
}

func isHex(c byte) bool { return c-'0' < 10 || (c|0x20)-'a' < 6 }
