package accesslog

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"github.com/weftmesh/weft/wire/http"
)

// Append writes what the format says of an entry behind dst. It allocates nothing besides what dst grows by.
func (f *Format) Append(dst []byte, e *Entry) []byte {
	if f.root != nil {
		dst, _ = f.root.append(dst, e)
		return append(dst, '\n')
	}
	for i := range f.ops {
		o := &f.ops[i]
		if o.kind == opLiteral {
			dst = append(dst, o.text...)
			continue
		}
		dst = o.append(dst, e, f.omitEmpty)
	}
	return dst
}

// append writes the operator's value as its surroundings want it. The value is put behind dst raw, and then, if it holds anything that
// could be taken for the structure around it, again in escaped form.
func (o *operator) append(dst []byte, e *Entry, omitEmpty bool) []byte {
	start := len(dst)
	if o.write == writeValue {
		dst = append(dst, '"')
	}
	from := len(dst)
	dst, raw, ok := o.value(dst, e)
	switch {
	case !ok && o.write == writeValue:
		return append(dst[:start], "null"...)
	case !ok && omitEmpty:
		return dst[:start]
	case !ok:
		return append(dst[:start], '-')
	}
	if o.max >= 0 && len(dst)-from > int(o.max) && (!raw || o.write != writeValue) {
		dst = dst[:from+int(o.max)]
	}
	if raw {
		if o.write == writeValue {
			dst = dst[:start+copy(dst[start:], dst[from:])]
		}
		return dst
	}
	dst = escapeFrom(dst, from, o.write != writeText)
	if o.write == writeValue {
		dst = append(dst, '"')
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// escapeFrom makes dst[from:] harmless: within JSON by its escapes; in text by \xNN for control characters, so that no header can end
// a line and begin a forged one (CVE-2024-45808).
func escapeFrom(dst []byte, from int, json bool) []byte {
	special := func(b byte) bool { return b < 0x20 || b == 0x7f || json && (b == '"' || b == '\\' || b >= 0x80) }
	clean := true
	for _, b := range dst[from:] {
		if special(b) {
			clean = false
			break
		}
	}
	if clean {
		return dst
	}
	end := len(dst)
	for i := from; i < end; i++ {
		switch b := dst[i]; {
		case !special(b):
			dst = append(dst, b)
		case json && (b == '"' || b == '\\'):
			dst = append(dst, '\\', b)
		case json && b >= '\b' && b <= '\r' && b != '\v':
			dst = append(dst, '\\', "btn fr"[b-'\b'])
		case json:
			// Bytes that may not be UTF-8 are shown as the code point of their number, as Envoy does.
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		default:
			dst = append(dst, '\\', 'x', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	n := copy(dst[from:], dst[end:])
	return dst[:from+n]
}

// value writes the value itself, and tells whether it is to stand as it is, such as a number, and whether there is one.
func (o *operator) value(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	switch o.kind {
	case opConstant:
		return append(dst, o.text...), false, true
	case opRequestField:
		if e.Request == nil {
			return dst, false, false
		}
		v, ok := requestField(e.Request, o.from, o.id, o.name)
		if !ok {
			v, ok = requestField(e.Request, o.altFrom, o.altID, o.alt)
		}
		if o.noQuery {
			v, _, _ = bytes.Cut(v, []byte("?"))
		}
		return append(dst, v...), false, ok
	case opResponseField:
		if e.Response == nil {
			return dst, false, false
		}
		return o.responseField(dst, e.Response)
	case opTrailerField:
		return o.headerField(dst, e.ResponseTrailers)
	case opQueryParameter:
		v, ok := queryParameter(e.Request, o.name)
		return appendUnescaped(dst, v), false, ok
	case opStartTime:
		return appendTime(dst, o.time, e.Start.UTC()), false, true
	case opStartTimeLocal:
		return appendTime(dst, o.time, e.Start.Local()), false, true
	case opEmitTime:
		return appendTime(dst, o.time, e.Start.Add(e.End).UTC()), false, true
	case opEmitTimeLocal:
		return appendTime(dst, o.time, e.Start.Add(e.End).Local()), false, true
	case opSpan:
		return o.span.append(dst, e)
	case opProtocol:
		return append(dst, e.Protocol.String()...), false, e.HasProtocol
	case opStatus:
		return appendUint(dst, uint64(e.Status))
	case opDetails:
		return appendWord(dst, e.Details, o.keepSpace), false, e.Details != ""
	case opTermination:
		return append(dst, e.Termination...), false, e.Termination != ""
	case opFlags:
		return appendFlags(dst, e.Flags, 0), false, true
	case opFlagsLong:
		return appendFlags(dst, e.Flags, 1), false, true
	case opUpstreamFailure:
		return appendWord(dst, e.UpstreamFailure, false), false, e.UpstreamFailure != ""
	case opFailure:
		return appendWord(dst, e.Failure, false), false, e.Failure != ""
	case opTransport:
		return o.transport(dst, e)
	case opRoute:
		return append(dst, e.Route...), false, e.Route != ""
	case opCluster:
		return append(dst, e.Cluster...), false, e.Cluster != ""
	case opClusterStatName:
		return append(dst, e.ClusterStatName...), false, e.ClusterStatName != ""
	case opVirtualCluster:
		return append(dst, e.VirtualCluster...), false, e.VirtualCluster != ""
	case opFilterChain:
		return append(dst, e.FilterChain...), false, e.FilterChain != ""
	case opServerName:
		return o.serverName(dst, e)
	case opMetadata:
		return o.metadata(dst, e.Metadata)
	case opConfigured:
		return o.metadata(dst, e.About[o.owner])
	case opState:
		return o.state(dst, e)
	case opExpression:
		return o.expressed(dst, e)
	case opForwardedCert:
		return o.forwardedCert(dst, e)
	}
	if n, ok := o.count(e); ok {
		return appendUint(dst, n)
	}
	switch {
	case o.kind > opNothing:
		return o.more(dst, e)
	case o.kind >= opQuery:
		return o.told(dst, e)
	}
	return o.address(dst, e)
}

// serverName is the name that a TLS client asked for, or the request's host: after it (from) or before it (altFrom), or not at all.
func (o *operator) serverName(dst []byte, e *Entry) ([]byte, bool, bool) {
	host := []byte(nil)
	if e.Request != nil && (o.from == fieldAuthority || o.altFrom == fieldAuthority) {
		host, _ = requestField(e.Request, fieldAuthority, 0, "")
	}
	if len(host) > 0 && (o.altFrom == fieldAuthority || e.ServerName == "") {
		return append(dst, host...), false, true
	}
	return append(dst, e.ServerName...), false, e.ServerName != ""
}

func appendUint(dst []byte, n uint64) ([]byte, bool, bool) {
	return strconv.AppendUint(dst, n, 10), true, true
}

// count is the value of the operators that count.
func (o *operator) count(e *Entry) (uint64, bool) {
	switch o.kind {
	case opBytesReceived:
		return e.BytesReceived, true
	case opBytesSent:
		return e.BytesSent, true
	case opWireReceived:
		return e.WireReceived, true
	case opWireSent:
		return e.WireSent, true
	case opUpstreamWireReceived:
		return e.UpstreamWireReceived, true
	case opUpstreamWireSent:
		return e.UpstreamWireSent, true
	case opRequestHeaderBytes:
		if e.Request == nil {
			return 0, true
		}
		return uint64(e.Request.HeadSize()), true
	case opResponseHeaderBytes:
		if e.Response == nil {
			return 0, true
		}
		return uint64(e.Response.HeadSize()), true
	case opResponseTrailerBytes:
		if e.ResponseTrailers == nil {
			return 0, true
		}
		return uint64(e.ResponseTrailers.Size()), true
	case opConnectionID:
		return e.ConnectionID, true
	case opUpstreamConnectionID:
		return e.UpstreamConnectionID, true
	case opAttempts:
		return uint64(e.Attempts), true
	}
	return 0, false
}

// addressPart is what of an address is asked for.
type addressPart uint8

const (
	wholeAddress addressPart = iota
	hostOnly
	portOnly
)

// address is the value of the operators that tell an address.
func (o *operator) address(dst []byte, e *Entry) ([]byte, bool, bool) {
	switch o.kind {
	case opUpstreamHost:
		return appendAddress(dst, e.UpstreamHost, e.UpstreamPath, wholeAddress)
	case opUpstreamRemote, opUpstreamRemoteHost, opUpstreamRemotePort:
		return appendAddress(dst, e.UpstreamRemote, e.UpstreamPath, addressPart(o.kind-opUpstreamRemote))
	case opUpstreamLocal, opUpstreamLocalHost, opUpstreamLocalPort:
		return appendAddress(dst, e.UpstreamLocal, "", addressPart(o.kind-opUpstreamLocal))
	case opRemote, opRemoteHost, opRemotePort:
		return appendAddress(dst, e.Remote, e.RemotePath, addressPart(o.kind-opRemote))
	case opDirect, opDirectHost, opDirectPort:
		return appendAddress(dst, e.Direct, e.RemotePath, addressPart(o.kind-opDirect))
	case opDirectLocal, opDirectLocalHost, opDirectLocalPort:
		a := e.DirectLocal
		if !a.IsValid() {
			a = e.Local
		}
		return appendAddress(dst, a, e.LocalPath, addressPart(o.kind-opDirectLocal))
	case opLocal, opLocalHost, opLocalPort:
		return appendAddress(dst, e.Local, e.LocalPath, addressPart(o.kind-opLocal))
	}
	return dst, false, false // opAbsent
}

func appendAddress(dst []byte, a netip.AddrPort, path string, part addressPart) ([]byte, bool, bool) {
	switch {
	case path != "":
		return append(dst, path...), false, part != portOnly
	case !a.IsValid():
		return dst, false, false
	case part == hostOnly:
		return a.Addr().AppendTo(dst), false, true
	case part == portOnly:
		return strconv.AppendUint(dst, uint64(a.Port()), 10), true, true
	}
	return a.AppendTo(dst), false, true
}

func appendFlags(dst []byte, f Flags, column int) []byte {
	if f == 0 {
		return append(dst, '-')
	}
	first := true
	for i := range flagNames {
		if f&(1<<i) != 0 {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(dst, flagNames[i][column]...)
		}
	}
	return dst
}

// appendWord writes a text as one word, white space turned into underscores, unless spaces may stay.
func appendWord(dst []byte, s string, keepSpace bool) []byte {
	for i := range len(s) {
		b := s[i]
		if !keepSpace && (b == ' ' || b == '\t' || b == '\n' || b == '\r') {
			b = '_'
		}
		dst = append(dst, b)
	}
	return dst
}

func requestField(r *http.Request, f field, id http.ID, name string) ([]byte, bool) {
	var v []byte
	switch f {
	case fieldNone:
		return nil, false
	case fieldMethod:
		v = r.Method()
	case fieldScheme:
		v = r.Scheme()
	case fieldAuthority:
		v = r.Authority()
	case fieldPath:
		v = r.Path()
	default:
		i := r.Find(id, name, 0)
		if i < 0 {
			return nil, false
		}
		return r.Value(i), true
	}
	return v, len(v) > 0
}

func (o *operator) responseField(dst []byte, r *http.Response) ([]byte, bool, bool) {
	if o.from == fieldStatus {
		return strconv.AppendUint(dst, uint64(r.Status), 10), false, true
	}
	return o.headerField(dst, &r.Header)
}

func (o *operator) headerField(dst []byte, h *http.Header) ([]byte, bool, bool) {
	if h == nil {
		return dst, false, false
	}
	i := h.Find(o.id, o.name, 0)
	if i < 0 && o.altFrom != fieldNone {
		i = h.Find(o.altID, o.alt, 0)
	}
	if i < 0 {
		return dst, false, false
	}
	return append(dst, h.Value(i)...), false, true
}

func queryParameter(r *http.Request, name string) ([]byte, bool) {
	if r == nil {
		return nil, false
	}
	_, query, _ := bytes.Cut(r.Path(), []byte("?"))
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		if key, value, _ := bytes.Cut(pair, []byte("=")); string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// appendUnescaped writes a value with its percent escapes undone; what is no escape stays.
func appendUnescaped(dst, v []byte) []byte {
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			hi, lo := bytes.IndexByte([]byte(hexDigits), v[i+1]|0x20), bytes.IndexByte([]byte(hexDigits), v[i+2]|0x20)
			if hi >= 0 && lo >= 0 {
				dst = append(dst, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		dst = append(dst, v[i])
	}
	return dst
}

// appendTime writes a time by its pieces.
func appendTime(dst []byte, pieces []timePiece, t time.Time) []byte {
	for i := range pieces {
		switch p := &pieces[i]; p.what {
		case timeText:
			dst = append(dst, p.text...)
		case timeUnix:
			dst = strconv.AppendInt(dst, t.Unix(), 10)
		case timeISO:
			dst = appendISO(dst, t)
		case timeSecondsFraction:
			dst = t.AppendFormat(dst, "05")
			if n := len(dst); p.digits != 0 {
				if dst = appendFraction(append(dst, '.'), t.Nanosecond(), p.digits); len(dst) == n+1 {
					dst = dst[:n]
				}
			}
		case timeFraction:
			dst = appendFraction(dst, t.Nanosecond(), p.digits)
		default:
			dst = t.AppendFormat(dst, layouts[p.what])
		}
	}
	return dst
}

var layouts = [...]string{
	timeYear: "2006", timeYear2: "06", timeMonth: "01", timeMonthName: "January", timeMonthShort: "Jan", timeDay: "02", timeDaySpace: "_2",
	timeYearDay: "002", timeWeekdayName: "Monday", timeWeekdayShort: "Mon", timeHour: "15", timeHour12: "03", timeHalf: "PM",
	timeMinute: "04", timeSecond: "05", timeZone: "MST", timeOffset: "-0700", timeOffsetColon: "-07:00",
}

// appendISO writes 2006-01-02T15:04:05.000Z by hand, which is in every line of the default format: time.AppendFormat takes thrice as long.
func appendISO(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1e6, 3)
	return append(dst, 'Z')
}

func appendDigits(dst []byte, n, width int) []byte {
	var b [9]byte
	for i := width - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, b[:width]...)
}

// appendFraction writes that many digits of a second's fraction; -1: as many as there are up to the last that is not 0.
func appendFraction(dst []byte, ns int, digits int8) []byte {
	if digits >= 0 {
		var b [9]byte
		return append(dst, appendDigits(b[:0], ns, 9)[:digits]...)
	}
	if ns == 0 {
		return dst
	}
	var b [9]byte
	return append(dst, bytes.TrimRight(appendDigits(b[:0], ns, 9), "0")...)
}
