package tls

import (
	"crypto/tls"
	"net"
)

// Over makes a connection of our own over one that blocks, for who is not on a loop.
func (x *Context) Over(c net.Conn, a Ask) (*tls.Conn, error) {
	_, own, err := x.asking(a)
	if err != nil {
		return nil, err
	}
	return tls.Client(c, own), nil
}
