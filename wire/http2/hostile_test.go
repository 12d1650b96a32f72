package http2

// hostile are inputs after a client's preface that a server must survive.
var hostile = []struct {
	name string
	in   func() []byte
}{}
