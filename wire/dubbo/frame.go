package dubbo

import "encoding/binary"

// HeadSize is how long a frame's head is, in bytes.
const HeadSize = 16

const magic = 0xdabb

// ALPN is what weft offers by that name (RFC 7301) to peers of its mesh where Dubbo 2 is what it speaks: nothing else says so of a port without a protocol. There is no registered one.
const ALPN = "weft-dubbo"

// Bits of a head's third byte.
const (
	isRequest = 1 << 7
	isTwoWay  = 1 << 6
	isEvent   = 1 << 5
	serialize = 1<<5 - 1
)

// Serialization is how a body is written, by the numbers that Dubbo gives.
type Serialization uint8

// Those that are read, and some that are named in logs only.
const (
	Hessian2      Serialization = 2
	Java          Serialization = 3
	CompactJava   Serialization = 4
	Fastjson      Serialization = 6
	NativeJava    Serialization = 7
	Kryo          Serialization = 8
	FST           Serialization = 9
	NativeHessian Serialization = 10
	Protostuff    Serialization = 12
	Avro          Serialization = 11
	Gson          Serialization = 16
	Protobuf      Serialization = 22
	Fastjson2     Serialization = 23
)

var serializations = map[Serialization]string{Hessian2: "hessian2", Java: "java", CompactJava: "compactedjava", Fastjson: "fastjson", NativeJava: "nativejava", Kryo: "kryo", FST: "fst", NativeHessian: "native-hessian",
	Avro: "avro", Protostuff: "protostuff", Gson: "gson", Protobuf: "protobuf", Fastjson2: "fastjson2"}

// String is the name that Dubbo's URLs have for it.
func (s Serialization) String() string {
	if name, is := serializations[s]; is {
		return name
	}
	return "unknown"
}

// Read tells whether bodies of it are read.
func (s Serialization) Read() bool { return s == Hessian2 || s == Fastjson2 }

// Status is how a call ended, as the response's head says.
type Status uint8

// The statuses. Of all but OK a response's body is a text.
const (
	OK                Status = 20
	ClientTimeout     Status = 30
	ServerTimeout     Status = 31
	ChannelInactive   Status = 35
	BadRequest        Status = 40
	BadResponse       Status = 50
	ServiceNotFound   Status = 60
	ServiceError      Status = 70
	ServerError       Status = 80
	ClientError       Status = 90
	ServerExhausted   Status = 100 // its threads
	SerializationLost Status = 25  // the answer was made, and cannot be written
)

// Head is the head of a frame.
type Head struct {
	Request       bool
	TwoWay        bool // of a request: it wants a response
	Event         bool // no call: a heartbeat, or that a server is about to go ("R")
	Serialization Serialization
	Status        Status // of a response
	ID            uint64 // which a response has from its request
	Body          int    // bytes that follow
}

// ParseHead reads the head that b begins with. More is true while too little has come; max bounds the body, in bytes.
func ParseHead(b []byte, max int) (h Head, more bool, err error) {
	switch {
	case len(b) > 0 && b[0] != magic>>8, len(b) > 1 && b[1] != magic&0xff:
		return h, false, fail(BadMagic)
	case len(b) < HeadSize:
		return h, true, nil
	}
	length := binary.BigEndian.Uint32(b[12:])
	if uint64(length) > uint64(max) {
		return h, false, fail(FrameTooLarge)
	}
	return Head{
		Request: b[2]&isRequest != 0, TwoWay: b[2]&isTwoWay != 0, Event: b[2]&isEvent != 0, Serialization: Serialization(b[2] & serialize),
		Status: Status(b[3]), ID: binary.BigEndian.Uint64(b[4:]), Body: int(length),
	}, false, nil
}

// AppendHead writes a head.
func AppendHead(b []byte, h *Head) []byte {
	flags := byte(h.Serialization) & serialize
	if h.Request {
		flags |= isRequest
	}
	if h.TwoWay {
		flags |= isTwoWay
	}
	if h.Event {
		flags |= isEvent
	}
	b = append(b, magic>>8, magic&0xff, flags, byte(h.Status))
	b = binary.BigEndian.AppendUint64(b, h.ID)
	return binary.BigEndian.AppendUint32(b, uint32(h.Body))
}

// Renumber gives the frame at the beginning of b another number.
func Renumber(b []byte, id uint64) { binary.BigEndian.PutUint64(b[4:], id) }

// AppendError writes the response to a request that could not be carried out: a status that is not OK, and a text for people. It is in the serialization of the request, or, if that is none that
// is written here, in hessian2, which every Dubbo reads.
func AppendError(b []byte, request *Head, status Status, text string) []byte {
	h := Head{Serialization: request.Serialization, Status: status, ID: request.ID}
	if !h.Serialization.Read() {
		h.Serialization = Hessian2
	}
	at := len(b)
	b = appendText(AppendHead(b, &h), h.Serialization, text)
	binary.BigEndian.PutUint32(b[at+12:], uint32(len(b)-at-HeadSize))
	return b
}

// AppendHeartbeat writes an answer to a heartbeat, of which nothing is in the body.
func AppendHeartbeat(b []byte, request *Head) []byte {
	h := Head{Event: true, Serialization: request.Serialization, Status: OK, ID: request.ID, Body: 1}
	b = AppendHead(b, &h)
	switch h.Serialization {
	case Fastjson2:
		binary.BigEndian.PutUint32(b[len(b)-4:], 5)
		return append(b, 0, 0, 0, 1, jsonbNull)
	case Hessian2:
		return append(b, hessianNull)
	}
	binary.BigEndian.PutUint32(b[len(b)-4:], 0)
	return b
}

// AppendLeave writes what a server says that is about to go: it takes no more calls, and answers those that are under way.
func AppendLeave(b []byte) []byte {
	h := Head{Request: true, Event: true, Serialization: Hessian2, Body: 2}
	return append(AppendHead(b, &h), 1, 'R')
}

// appendText writes a text, which is cut at maxErrorText bytes.
func appendText(b []byte, s Serialization, text string) []byte {
	text = ascii(text)
	if s == Fastjson2 {
		at := len(b)
		b = append(b, 0, 0, 0, 0, jsonbASCII)
		b = appendJSONBInt(b, int32(len(text)))
		b = append(b, text...)
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		return b
	}
	return append(append(b, 'S', byte(len(text)>>8), byte(len(text))), text...)
}

// IsException tells whether the body of an answer that is OK is an exception of the method's: its first value says so. One that cannot be read is none.
func IsException(s Serialization, body []byte) bool {
	const plain, attached = 0, 3 // with attachments
	var v Value
	var err error
	switch s {
	case Hessian2:
		h := hessian{b: body}
		v, err = h.value()
	case Fastjson2:
		j := jsonb{b: body}
		v, err = j.value()
	}
	return err == nil && v.Kind == Int && (v.Int == plain || v.Int == attached)
}

// maxErrorText bounds, in bytes, what is said of an error.
const maxErrorText = 1024

// ascii is a text of which each character is one byte in whatever encoding.
func ascii(s string) string {
	out := make([]byte, 0, min(len(s), maxErrorText))
	for _, r := range s {
		if len(out) == maxErrorText {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return string(out)
}
