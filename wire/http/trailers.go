package http

// NotInTrailers tells whether a field may not stand in a trailer section: it would frame, route, authenticate or modify the message, or
// say how to read its content, after that was decided (RFC 9110 §6.5.1). The name may be in any case; id is what LookupFold says of it.
func NotInTrailers(id ID, name []byte) bool {
	switch id {
	case Authorization, CacheControl, ContentEncoding, ContentType, Cookie, Date, Expect,
		HTTP2Settings, KeepAlive, Location, ProxyAuthenticate, ProxyAuthorization, Range, RetryAfter,
		SetCookie, TE, Trailer, Upgrade, Vary, XForwardedClientCert, XForwardedFor, XForwardedHost,
		XForwardedPort, XForwardedProto:
		return true
	case Other:
		for _, forbidden := range [...]string{"age", "content-range", "expires", "max-forwards", "pragma", "www-authenticate"} {
			if len(name) == len(forbidden) && foldedIs(name, forbidden) {
				return true
			}
		}
	}
	return false
}

// foldedIs compares a name in any case with one in lower case of the same length.
func foldedIs(name []byte, lower string) bool {
	for i, c := range name {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
