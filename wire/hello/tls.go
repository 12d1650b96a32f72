package hello

import "bytes"

// Verdict is what the bytes so far amount to.
type Verdict uint8

// The verdicts.
const (
	More     Verdict = iota // they may still become it
	Found                   // they are it
	NotFound                // they are something else, or broken
	TooLarge                // they may be it, but not within the bound
)

// MaxClientHello is the most that is read of a connection to find a ClientHello, in bytes, the headers of its records among them. It is
// Envoy's bound, and its default.
const MaxClientHello = 16 << 10

// ClientHello is what is read of one. Its slices are its own.
type ClientHello struct {
	ServerName string   // in lower case; empty: none was named
	Protocols  []string // of ALPN, in the client's order
}

// Of the protocol (RFC 8446 §5.1, §4).
const (
	recordHeader     = 5
	recordHandshake  = 22
	maxRecord        = 16 << 10 // of plaintext
	handshakeHeader  = 4
	typeClientHello  = 1
	extensionName    = 0
	extensionALPN    = 16
	nameTypeHost     = 0
	maxServerName    = 255
	maxSessionID     = 32
	randomLength     = 32
	maxProtocolsSeen = 64 // of one hello; what comes after is not looked at
)

// TLS reads a ClientHello from the first bytes of a connection, however its records cut it up. limit bounds how much
// of them is read. With More, need is
// how many bytes there must be before another look can tell more, so that a peer that sends them one by one does not have all of them
// read again each time.
func TLS(b []byte, limit int, h *ClientHello) (v Verdict, need int) {
	v, need = readTLS(b[:min(len(b), limit)], limit, h)
	if v == More && len(b) >= limit {
		return TooLarge, 0
	}
	return v, min(need, limit)
}

// readTLS judges records in order, each by what came up to its end alone: else how the network cut the bytes up would choose the verdict.
func readTLS(b []byte, limit int, h *ClientHello) (v Verdict, need int) {
	// The message, put together from its records; usually it lies in one and is not copied.
	var message, joined []byte
	missing := handshakeHeader
	for at := 0; ; {
		rest := b[at:]
		if !startsRecord(rest) {
			return NotFound, 0
		}
		if len(rest) < recordHeader {
			if at == 0 {
				return More, len(b) + 1 // what is not TLS shows at once
			}
			return More, at + recordHeader + missing
		}
		size := int(rest[3])<<8 | int(rest[4])
		if size > maxRecord {
			return NotFound, 0
		}
		part := rest[recordHeader:min(len(rest), recordHeader+size)]
		if len(message) == 0 {
			message = part
		} else {
			if joined == nil {
				joined = bytes.Clone(message)
			}
			joined = append(joined, part...)
			message = joined
		}
		at += recordHeader + size
		if len(message) > 0 && message[0] != typeClientHello {
			return NotFound, 0
		}
		whole := 0
		if missing = handshakeHeader - len(message); missing <= 0 {
			whole = handshakeHeader + (int(message[1])<<16 | int(message[2])<<8 | int(message[3]))
			missing = whole - len(message)
		}
		// As many bytes must come as are missing, and another header if this record ends before.
		end := at - size + len(part) + missing
		if size-len(part) < missing {
			end += recordHeader
		}
		switch {
		case whole > 0 && end > limit:
			return TooLarge, 0
		case whole > 0 && missing <= 0:
			return parse(message[handshakeHeader:whole], h), 0
		case at > len(b):
			return More, end
		}
	}
}

// startsRecord tells whether bytes may begin a handshake record of any version of TLS.
func startsRecord(b []byte) bool {
	return (len(b) < 1 || b[0] == recordHandshake) && (len(b) < 2 || b[1] == 3)
}

// reader takes a message apart; bad is set once something is missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *reader) u16() int {
	if b := r.take(2); b != nil {
		return int(b[0])<<8 | int(b[1])
	}
	return 0
}

func parse(b []byte, h *ClientHello) Verdict {
	r := reader{b: b}
	r.take(2 + randomLength) // legacy_version, random
	if n := r.u8(); n > maxSessionID {
		return NotFound
	} else {
		r.take(n)
	}
	suites := r.u16()
	r.take(suites)
	compressions := r.u8()
	r.take(compressions)
	if r.bad || suites < 2 || suites%2 != 0 || compressions == 0 {
		return NotFound
	}
	*h = ClientHello{}
	if len(r.b) == 0 {
		return Found // TLS 1.2 and before may have no extensions
	}
	extensions := reader{b: r.take(r.u16())}
	if r.bad || len(r.b) > 0 {
		return NotFound
	}
	var seen [2]bool
	for len(extensions.b) > 0 {
		kind := extensions.u16()
		value := reader{b: extensions.take(extensions.u16())}
		if extensions.bad {
			return NotFound
		}
		ok := true
		switch kind {
		case extensionName:
			ok = !seen[0] && h.readName(&value)
			seen[0] = true
		case extensionALPN:
			ok = !seen[1]
			seen[1] = true
			if !h.readProtocols(&value) {
				h.Protocols = nil // for Envoy a broken list is none
			}
		}
		if !ok {
			return NotFound
		}
	}
	return Found
}

// readName reads a list of names, of which there may be one of a host (RFC 6066 §3).
func (h *ClientHello) readName(r *reader) bool {
	list := reader{b: r.take(r.u16())}
	kind := list.u8()
	name := list.take(list.u16())
	if r.bad || list.bad || len(r.b)+len(list.b) > 0 || kind != nameTypeHost || len(name) == 0 || len(name) > maxServerName || bytes.IndexByte(name, 0) >= 0 {
		return false
	}
	h.ServerName = string(bytes.ToLower(name))
	return true
}

// readProtocols reads a list of names of protocols (RFC 7301 §3.1).
func (h *ClientHello) readProtocols(r *reader) bool {
	list := reader{b: r.take(r.u16())}
	if r.bad || len(r.b) > 0 || len(list.b) < 2 {
		return false
	}
	for len(list.b) > 0 {
		name := list.take(list.u8())
		if list.bad || len(name) == 0 {
			return false
		}
		if len(h.Protocols) < maxProtocolsSeen {
			h.Protocols = append(h.Protocols, string(name))
		}
	}
	return true
}
