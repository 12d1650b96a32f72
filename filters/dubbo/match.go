package dubbo

import (
	"bytes"
	"slices"
)

// find is the method that a request is for; verbs are those that its path has, where it has another one than the request.
func (s *settings) find(verb, path []byte) (m *method, verbs []string) {
	for i := range s.methods {
		m := &s.methods[i]
		if !m.fits(path) {
			continue
		}
		list := m.verbs
		if len(list) == 0 {
			list = mayCall
		}
		if slices.Contains(list, string(verb)) {
			return m, nil
		}
		for _, v := range list {
			if !slices.Contains(verbs, v) {
				verbs = append(verbs, v)
			}
		}
	}
	return nil, verbs
}

// fits tells whether a path is the method's.
func (m *method) fits(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return false // the target of OPTIONS or CONNECT, of all the server (RFC 9112 §3.2)
	}
	for i := range m.path {
		var part []byte
		var more bool
		if part, path, more = next(path); more != (i+1 < len(m.path)) {
			return false
		}
		if one := &m.path[i]; one.name == "" && string(part) != one.text || one.name != "" && len(part) == 0 {
			return false
		}
	}
	return true
}

// segment is one of a path's.
func (m *method) segment(path []byte, at int) (part []byte) {
	for range at + 1 {
		part, path, _ = next(path)
	}
	return part
}

// next is what stands between the slash that a path begins with and the next one.
func next(path []byte) (part, rest []byte, more bool) {
	path = path[min(1, len(path)):]
	if i := bytes.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:], true
	}
	return path, nil, false
}
