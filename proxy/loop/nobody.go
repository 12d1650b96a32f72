package loop

// Nobody owns a connection of which nobody wants to know more: one that says its last bytes, or that is out of the books.
type Nobody struct{}

// OnData, OnEOF, OnConnected, OnLowWater, OnClosed and OnPanic implement Owner.
func (Nobody) OnData(b []byte) int { return len(b) }
func (Nobody) OnEOF()              {}
func (Nobody) OnConnected()        {}
func (Nobody) OnLowWater()         {}
func (Nobody) OnClosed(error)      {}
func (Nobody) OnPanic(any)         {}
