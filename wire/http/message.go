package http

// Version is the protocol that a message came in, or is to go out in.
type Version uint8

// The versions, in the order of their age.
const (
	HTTP10 Version = iota
	HTTP11
	HTTP2
	HTTP3
)

// String spells the version as access logs do.
func (v Version) String() string {
	return [...]string{"HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"}[v]
}

// Request is a request's head: what HTTP/2 calls its pseudo-header fields, and its header block. The Host field of HTTP/1 is the
// authority here and is not among the fields.
type Request struct {
	Header
	Version                         Version
	method, scheme, authority, path span
	host                            span // as HTTP/1 spelled the name of the Host field, if that was kept
	protocol                        span // of an extended CONNECT
	target                          Target
}

// Target is the form in which HTTP/1 spelled the request target (RFC 9112 §3.2). It is OriginForm for the versions without forms.
type Target uint8

// The forms of a request target.
const (
	OriginForm Target = iota
	AbsoluteForm
	AuthorityForm // CONNECT only
	AsteriskForm  // OPTIONS only
)

// Reset makes the request empty and keeps its memory.
func (r *Request) Reset() {
	r.Header.Reset()
	r.Version = HTTP10
	r.method, r.scheme, r.authority, r.path, r.host, r.protocol = span{}, span{}, span{}, span{}, span{}, span{}
	r.target = OriginForm
}

// Method is the request's method, as sent: methods are case-sensitive (RFC 9110 §9.1).
func (r *Request) Method() []byte { return r.method.of(r.arena) }

// Scheme is http or https in lower case; empty if nobody said.
func (r *Request) Scheme() []byte { return r.scheme.of(r.arena) }

// Authority is the host and, if given, the port asked for.
func (r *Request) Authority() []byte { return r.authority.of(r.arena) }

// Path is the path with its query; empty for CONNECT, "*" for OPTIONS of the whole server.
func (r *Request) Path() []byte { return r.path.of(r.arena) }

// Protocol is what an extended CONNECT wants to speak (RFC 8441 §4): HTTP/2's :protocol. Empty for any other request.
func (r *Request) Protocol() []byte { return r.protocol.of(r.arena) }

// Target is the form in which HTTP/1 spelled the target.
func (r *Request) Target() Target { return r.target }

// IsPseudo tells whether what a name (in lower case) stands for is told by the request line, or by Host, which is no field here.
func IsPseudo(name string) bool { return name != "" && name[0] == ':' || name == "host" }

// Pseudo is the value of one of them; empty if there is none.
func (r *Request) Pseudo(name string) []byte {
	switch name {
	case ":path":
		return r.Path()
	case ":method":
		return r.Method()
	case ":authority", "host":
		return r.Authority()
	case ":scheme":
		return r.Scheme()
	case ":protocol":
		return r.Protocol()
	}
	return nil
}

// Field is the first value under a name (in lower case), which may be one of those; nil or empty if there is none.
func (r *Request) Field(name string) []byte {
	if IsPseudo(name) {
		return r.Pseudo(name)
	}
	if i := r.Find(Lookup(name), name, 0); i >= 0 {
		return r.Value(i)
	}
	return nil
}

// HeadSize is the bytes that names and values take together, those of the pseudo-header fields of HTTP/2 among them.
func (r *Request) HeadSize() int {
	n := r.Size()
	for _, f := range [...]struct {
		name  int
		value span
	}{{len(":method"), r.method}, {len(":scheme"), r.scheme}, {len(":authority"), r.authority}, {len(":path"), r.path}, {len(":protocol"), r.protocol}} {
		if f.value.len > 0 {
			n += f.name + int(f.value.len)
		}
	}
	return n
}

// SetMethod sets the method.
func (r *Request) SetMethod(b []byte) { r.method = r.put(b) }

// SetScheme sets the scheme, which must be in lower case.
func (r *Request) SetScheme(b []byte) { r.scheme = r.put(b) }

// SetAuthority sets the authority.
func (r *Request) SetAuthority(b []byte) { r.authority = r.put(b) }

// SetPath sets the path with its query.
func (r *Request) SetPath(b []byte) { r.path = r.put(b) }

// SetProtocol makes a CONNECT an extended one.
func (r *Request) SetProtocol(b []byte) { r.protocol = r.put(b) }

// SetTarget sets the form of the target.
func (r *Request) SetTarget(t Target) { r.target = t }

// HostSpelling is the name of the Host field as HTTP/1 spelled it; empty unless that was kept.
func (r *Request) HostSpelling() []byte { return r.host.of(r.arena) }

// SetHostSpelling keeps the name of the Host field as HTTP/1 spelled it.
func (r *Request) SetHostSpelling(b []byte) { r.host = r.put(b) }

// IsConnect tells whether the method is CONNECT.
func (r *Request) IsConnect() bool { return string(r.Method()) == "CONNECT" }

// IsHead tells whether the method is HEAD.
func (r *Request) IsHead() bool { return string(r.Method()) == "HEAD" }

// CopyFrom makes r the same request as o, in memory of its own.
func (r *Request) CopyFrom(o *Request) {
	r.Header.CopyFrom(&o.Header)
	r.Version, r.target = o.Version, o.target
	r.method, r.scheme, r.authority, r.path, r.host, r.protocol = o.method, o.scheme, o.authority, o.path, o.host, o.protocol
}

// Response is a response's head.
type Response struct {
	Header
	Version Version
	Status  uint16 // three digits, 100 to 999
	reason  span
}

// Reset makes the response empty and keeps its memory.
func (r *Response) Reset() {
	r.Header.Reset()
	r.Version, r.Status, r.reason = HTTP10, 0, span{}
}

// HeadSize is the bytes that names and values take together, :status of HTTP/2 among them.
func (r *Response) HeadSize() int { return r.Size() + len(":status200") }

// Reason is the reason phrase as HTTP/1 sent it; empty if it sent none.
func (r *Response) Reason() []byte { return r.reason.of(r.arena) }

// SetReason sets the reason phrase.
func (r *Response) SetReason(b []byte) { r.reason = r.put(b) }

// IsInformational tells whether another response will follow (RFC 9110 §15.2); 101 is final for HTTP and is not meant.
func (r *Response) IsInformational() bool { return r.Status < 200 && r.Status != 101 }
