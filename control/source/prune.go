package source

import (
	"bytes"
	"errors"
	"maps"
)

// An API server tells ten times what is read here, and Go's reader of JSON looks at each byte several times, whether it is wanted or not. So what is not
// wanted is left out first: a Pod of 1.9 KB takes 42 µs of a processor instead of 80 (26 November 2026, AMD EPYC).

// shape is what is wanted of a value: of an object the members with these names, of a list the same of each element; nil: all.
type shape map[string]shape

var errJSON = errors.New("is no JSON")

// prune writes what is wanted of a text of JSON behind out. Where that ends, or is no JSON, is looked at only as far as needed to find what comes next: who reads
// what is left finds out.
func prune(out, text []byte, want shape) ([]byte, error) {
	p := pruner{text: text}
	out, err := p.value(out, want, 0)
	if err == nil && p.space() != 0 {
		err = errJSON
	}
	return out, err
}

// Members goes through the members of an object of JSON, of which it looks only for where they begin and end.
func Members(text []byte, each func(name, value []byte) error) error {
	p := pruner{text: text}
	if p.space() != '{' {
		return errJSON
	}
	p.at++
	for more := false; ; more = true {
		if p.space() == '}' && !more {
			return nil
		}
		name, err := p.name()
		if err != nil || p.space() != ':' {
			return errJSON
		}
		p.at++
		p.space()
		from := p.at
		if err := p.skip(); err != nil || p.at == from {
			return errJSON
		}
		if err := each(name, text[from:p.at]); err != nil {
			return err
		}
		switch p.space() {
		case ',':
			p.at++
		case '}':
			return nil
		default:
			return errJSON
		}
	}
}

// pruner is at a place of a text.
type pruner struct {
	text []byte
	at   int
}

// space goes to what comes next and gives its first byte; 0: nothing comes.
func (p *pruner) space() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// skip goes behind a value.
func (p *pruner) skip() error {
	depth := 0
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case '"':
			if _, err := p.name(); err != nil {
				return err
			}
			if depth == 0 {
				return nil
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return nil // what it is in ends, and a number or a word with it
			}
			if depth--; depth == 0 {
				p.at++
				return nil
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return nil
			}
		}
		p.at++
	}
	if depth > 0 {
		return errJSON
	}
	return nil
}

// name reads a text in quotes, as it is written.
func (p *pruner) name() ([]byte, error) {
	if p.space() != '"' {
		return nil, errJSON
	}
	from := p.at + 1
	for at := from; ; {
		n := bytes.IndexByte(p.text[at:], '"')
		if n < 0 {
			return nil, errJSON
		}
		end := at + n
		escapes := 0
		for end-1-escapes >= from && p.text[end-1-escapes] == '\\' {
			escapes++
		}
		if at = end + 1; escapes%2 == 0 {
			p.at = at
			return p.text[from:end], nil
		}
	}
}

// value copies what is wanted of a value.
func (p *pruner) value(out []byte, want shape, depth int) ([]byte, error) {
	c := p.space()
	if c == 0 || depth > maxDepth {
		return out, errJSON
	}
	if want == nil || c != '{' && c != '[' {
		from := p.at
		err := p.skip()
		if p.at == from {
			err = errJSON
		}
		return append(out, p.text[from:p.at]...), err
	}
	out = append(out, c)
	p.at++
	end, first := byte('}'), true
	if c == '[' {
		end = ']'
	}
	for more := false; ; more = true {
		if p.space() == end && !more {
			break
		}
		var err error
		if c == '[' {
			if !first {
				out = append(out, ',')
			}
			first = false
			out, err = p.value(out, want, depth+1)
		} else {
			out, first, err = p.member(out, want, first, depth)
		}
		if err != nil {
			return out, err
		}
		next := p.space()
		if next == end {
			break
		}
		if next != ',' {
			return out, errJSON
		}
		p.at++
	}
	p.at++
	return append(out, end), nil
}

// member copies a member of an object, if it is wanted. One whose name has an escape is.
func (p *pruner) member(out []byte, want shape, first bool, depth int) ([]byte, bool, error) {
	name, err := p.name()
	if err != nil {
		return out, first, err
	}
	if p.space() != ':' {
		return out, first, errJSON
	}
	p.at++
	of, is := want[string(name)]
	if !is && bytes.IndexByte(name, '\\') < 0 {
		p.space()
		from := p.at
		if err = p.skip(); err == nil && p.at == from {
			err = errJSON
		}
		return out, first, err
	}
	if !first {
		out = append(out, ',')
	}
	out = append(append(append(out, '"'), name...), '"', ':')
	out, err = p.value(out, of, depth+1)
	return out, false, err
}

// What is wanted of what an API server tells. It is what the structs of kubernetes.go and served.go have.
var (
	wantedMeta = shape{"name": nil, "namespace": nil, "labels": nil, "annotations": nil, "creationTimestamp": nil, "generation": nil, "resourceVersion": nil,
		"ownerReferences": {"kind": nil, "name": nil, "controller": nil}}
	// wantedAuthored is for kinds whose history is kept: who has written the spec. What of it is another's is nothing to us.
	wantedAuthored = func() shape {
		s := shape{"managedFields": {"manager": nil, "subresource": nil, "time": nil, "fieldsV1": {"f:spec": nil}}}
		maps.Copy(s, wantedMeta)
		return s
	}()
	wanted = [kindCount]shape{
		Service: {"metadata": wantedAuthored,
			"spec":   {"clusterIP": nil, "clusterIPs": nil, "type": nil, "externalName": nil, "ports": nil, "selector": nil, "publishNotReadyAddresses": nil, "externalIPs": nil},
			"status": {"loadBalancer": {"ingress": {"ip": nil, "hostname": nil}}}},
		EndpointSlice: {"metadata": wantedMeta, "addressType": nil, "endpoints": nil, "ports": nil},
		Pod: {"metadata": wantedMeta,
			"spec":   {"nodeName": nil, "serviceAccountName": nil, "hostNetwork": nil, "containers": {"name": nil, "ports": nil}},
			"status": {"phase": nil, "podIP": nil, "podIPs": nil, "conditions": {"type": nil, "status": nil}}},
		Node:      {"metadata": wantedMeta},
		Namespace: {"metadata": wantedMeta},
		Secret:    {"metadata": wantedMeta, "type": nil, "data": nil},
		ConfigMap: {"metadata": wantedMeta, "data": nil},
		Ingress: {"metadata": wantedAuthored, "spec": {"ingressClassName": nil, "defaultBackend": {"service": nil}, "tls": nil,
			"rules": {"host": nil, "http": {"paths": {"path": nil, "pathType": nil, "backend": {"service": nil}}}}}},
		IngressClass: {"metadata": wantedMeta, "spec": {"controller": nil}},
	}
)
