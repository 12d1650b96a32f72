package sidecar

// Sockets gives those that whoever takes this process's place goes on with. The descriptors are good for as long as f runs.
func (a *Agent) Sockets(f func(key string, fd int)) { a.sockets.each(f) }

// Bequest is what else it goes on with: the identity, with its key. An empty one is none.
func (a *Agent) Bequest() []byte {
	if a.issuer == nil {
		return nil
	}
	return a.issuer.Bequest()
}

// Yield says that another process has taken this one's place, and answers at its sockets. Who is connected is answered to the end, and told that all is well; what renews the identity is the other one's.
func (a *Agent) Yield() {
	a.yielded.Store(true)
	if a.status != nil {
		a.status.Leave()
	}
	if a.names != nil {
		a.names.Leave()
	}
	if a.secrets != nil {
		a.secrets.leave()
		a.renewed()
	}
}

// Lost says that the other one has gone, and nobody answers any more.
func (a *Agent) Lost() { a.lost.Store(true) }
