package dubbo

import "strings"

// Invocation is a generic call that is being written, $invoke with generic=true, in hessian2. Behind its beginning stand the arguments, one for each of Types, and behind them its end.
type Invocation struct {
	Interface string
	Version   string // of the service; empty: none
	Group     string // likewise
	Method    string
	Types     []Type
}

const (
	protocolVersion = "2.0.2" // of Dubbo 2, whose providers look at whether they may attach something to answers
	noVersion       = "0.0.0" // of a service
)

// Objects of the classes that appendClasses defines, in their order.
const (
	objectDecimal = 0x60 + iota
	objectInteger
)

// AppendBegin writes all up to the arguments: protocol version, path, service version, "$invoke", its types, method, names of types, and the begin of the list of arguments. Classes of numbers of any length are defined before
// the first of those, if there is such a number among the types.
func (i *Invocation) AppendBegin(b []byte) []byte {
	b = appendString(b, protocolVersion)
	b = appendString(b, i.Interface)
	if i.Version == "" {
		b = appendString(b, noVersion)
	} else {
		b = appendString(b, i.Version)
	}
	b = appendString(b, genericCall)
	b = appendString(b, genericTypes)
	b = appendString(b, i.Method)
	b = appendTyped(b, "[string", len(i.Types))
	exact := false
	for n := range i.Types {
		b = appendString(b, i.Types[n].Name())
		exact = exact || i.Types[n].exact()
	}
	b = appendTyped(b, "[object", len(i.Types))
	if exact {
		b = appendClasses(b)
	}
	return b
}

// appendClasses writes the definitions of objectDecimal and objectInteger.
func appendClasses(b []byte) []byte {
	b = appendClass(b, "java.math.BigDecimal", "value")
	return appendClass(b, "java.math.BigInteger", "signum", "mag")
}

// appendClass writes the definition of a class.
func appendClass(b []byte, name string, fields ...string) []byte {
	b = appendInt(appendString(append(b, 'C'), name), int32(len(fields)))
	for _, field := range fields {
		b = appendString(b, field)
	}
	return b
}

// AppendEnd writes the attachments: path, interface, version and group where there are some, generic, and those given (texts; name and value pairs), of which none may take the place of one of ours, in whatever letters it is
// written: those are left out.
func (i *Invocation) AppendEnd(b []byte, attachments [][2][]byte) []byte {
	b = append(b, 'H')
	for _, own := range [...][2]string{{"path", i.Interface}, {"interface", i.Interface}, {"version", i.Version}, {"group", i.Group}, {"generic", "true"}} {
		if own[1] != "" {
			b = appendString(appendString(b, own[0]), own[1])
		}
	}
	for _, a := range attachments {
		if !ours(a[0]) {
			b = appendString(appendString(b, a[0]), a[1])
		}
	}
	return append(b, 'Z')
}

func ours(name []byte) bool {
	for _, own := range [...]string{"path", "interface", "version", "group", "generic"} {
		if len(name) == len(own) && strings.EqualFold(string(name), own) {
			return true
		}
	}
	return false
}
