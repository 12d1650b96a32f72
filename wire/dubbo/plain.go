package dubbo

import "strings"

// AppendPlainBegin is AppendBegin for the call itself, as those write it who have the interface at hand: with the method's own name, and its types as Java describes them. The arguments stand by themselves behind it, and what of Types
// stands between < and > is not said.
func (i *Invocation) AppendPlainBegin(b []byte) []byte {
	b = appendString(b, protocolVersion)
	b = appendString(b, i.Interface)
	if i.Version == "" {
		b = appendString(b, noVersion)
	} else {
		b = appendString(b, i.Version)
	}
	b = appendString(b, i.Method)
	var types []byte
	exact := false
	for n := range i.Types {
		types = i.Types[n].appendDescriptor(types)
		exact = exact || i.Types[n].exact()
	}
	b = appendString(b, types)
	if exact {
		b = appendClasses(b)
	}
	return b
}

// AppendPlainEnd writes the attachments: path, interface, version and group where there are some, as Dubbo's clients do, and those given (texts; name and value pairs), which take the place of ours that are named so.
func (i *Invocation) AppendPlainEnd(b []byte, attachments [][2][]byte) []byte {
	b = append(b, 'H')
own:
	for _, own := range [...][2]string{{"path", i.Interface}, {"interface", i.Interface}, {"version", i.Version}, {"group", i.Group}} {
		for _, a := range attachments {
			if string(a[0]) == own[0] {
				continue own
			}
		}
		if own[1] != "" {
			b = appendString(appendString(b, own[0]), own[1])
		}
	}
	for _, a := range attachments {
		b = appendString(appendString(b, a[0]), a[1])
	}
	return append(b, 'Z')
}

// appendDescriptor writes a type as Java describes it (JVM specification, section 4.3.2).
func (t *Type) appendDescriptor(b []byte) []byte {
	name := t.Name()
	for strings.HasSuffix(name, "[]") {
		name, b = name[:len(name)-2], append(b, '[')
	}
	if strings.Contains(name, ".") {
		b = append(append(b, 'L'), strings.ReplaceAll(name, ".", "/")...)
		return append(b, ';')
	}
	return append(b, letter(name))
}

// letter is primitive's other way.
func letter(name string) byte {
	for _, c := range []byte("ZBCDFIJS") {
		if primitive(c) == name {
			return c
		}
	}
	return 'V' // which TypeOf reads of nothing
}
