package line

import (
	"net"
	"sync"
	"time"

	"github.com/weftmesh/weft/wire/http2"
)

// Patience bounds how long a peer may take to read on.
const Patience = time.Minute

// What one peer may have us hold.
const (
	// maxUnsent is how many bytes of a connection may wait for the kernel before who writes waits, and maxQueued those of a call for its window.
	maxUnsent, maxQueued = 64 << 10, 16 << 10
	// inbox bounds the bytes of messages that have come and were not taken by their call, besides the last one.
	inbox = 64 << 10
)

// Owner is whose connection it is. It is called with the connection's lock held.
type Owner interface {
	http2.Owner
	// Fed is told that something has come, and what was wrong with it. What it returns, if anything, is the connection's end.
	Fed(wrong error) error
	// Wrote is told how many bytes the kernel has taken.
	Wrote(n int)
}

// Options are what connections have in common.
type Options struct {
	HTTP2      http2.Options
	MaxMessage int // bytes of a message that comes
	// MaxHeld bounds the bytes of messages of a connection that were not taken yet, wholly here or not, besides what one message may have.
	MaxHeld int
	// Room is for a message of that many bytes of which the beginning has come; nil: it grows as it comes.
	Room func(n int) []byte
	// Aside has each burst be written on a goroutine of its own, so that nobody who gives up is held by a peer who does not read. Who says little can afford it.
	Aside bool
	// TooLarge is told of a message that was refused for its size, or because too much of others waits; nil: nobody is.
	TooLarge func()
}

// Conn is a connection. One goroutine reads; whoever has something to say writes, or leaves it to who is writing. The lock is over all that follows it, and
// over what its owner keeps of it.
type Conn struct {
	options *Options
	owner   Owner
	raw     net.Conn // what has descriptor and deadlines
	net     net.Conn // what is read and written: raw, or TLS over it

	sync.Mutex
	Codec http2.Conn
	Rests bool // there is no call: no buffer is kept for what is to be written

	out     []byte // to be written
	spare   []byte // what was written, to be used again
	away    int    // bytes that are being written
	writing bool
	written sync.Cond // there is less to write
	gone    bool
	why     error // it is gone
	held    int   // bytes of messages that have come, wholly or not, and were not taken
}

// Begin makes c one side of a connection, over raw or what is spoken over it. What that side begins with is written by the first Flush.
func (c *Conn) Begin(o *Options, owner Owner, raw, over net.Conn) {
	c.options, c.owner, c.raw, c.net, c.Rests = o, owner, raw, over, true
	c.written.L = &c.Mutex
	c.Codec.Init(&o.HTTP2, owner, sink{c})
}

// small is the buffer of a connection of which little comes, and large that of others, for as long as much does.
const small, large = 512, 32 << 10

var larges = sync.Pool{New: func() any { return new([large]byte) }}

// Read writes what is to be written and hands what comes to the codec, until the connection ends. The deadline for reading that the caller has set is one for the
// peer's greeting: it is taken away when that has come.
func (c *Conn) Read() error {
	c.Lock()
	err := c.Flush()
	c.Unlock()
	if err != nil {
		return err
	}
	var own [small]byte
	buf, lent := own[:], (*[large]byte)(nil)
	defer func() {
		if lent != nil {
			larges.Put(lent)
		}
	}()
	greeted, kept := false, 0 // bytes that the codec wants again
	for {
		n, err := c.net.Read(buf[kept:])
		if n == 0 && err != nil {
			return err
		}
		kept += n
		c.Lock()
		used, wrong := c.Codec.Feed(buf[:kept])
		wrong = c.owner.Fed(wrong)
		heard := c.Codec.Peer().Heard
		err = c.Flush()
		c.Unlock()
		if wrong != nil {
			return wrong
		}
		if err != nil {
			return err
		}
		if heard && !greeted {
			greeted = true
			c.raw.SetReadDeadline(time.Time{})
		}
		full := kept == len(buf)
		kept = copy(buf, buf[used:kept])
		switch {
		case full && lent == nil:
			lent = larges.Get().(*[large]byte)
			copy(lent[:], buf[:kept])
			buf = lent[:]
		case lent != nil && n < small && kept < small:
			copy(own[:], buf[:kept])
			larges.Put(lent)
			buf, lent = own[:], nil
		}
	}
}

// Flush writes what is to be written, or has it be written, unless somebody is at it, who then goes on with it. It is called with the lock held, which it lets go
// while it writes. An error is the connection's end.
func (c *Conn) Flush() error {
	switch {
	case !c.options.Aside:
		c.write()
	case len(c.out) > 0 && !c.writing && !c.gone:
		c.writing = true
		go func() {
			c.Lock()
			defer c.Unlock()
			c.writing = false
			c.write()
		}()
	}
	if c.gone {
		return net.ErrClosed
	}
	return nil
}

func (c *Conn) write() {
	for len(c.out) > 0 && !c.writing && !c.gone {
		b := c.out
		c.out, c.spare, c.away, c.writing = c.spare, nil, len(b), true
		c.Unlock()
		c.raw.SetWriteDeadline(time.Now().Add(Patience))
		_, err := c.net.Write(b)
		c.raw.SetWriteDeadline(time.Time{}) // TLS may answer by itself, while somebody reads
		c.Lock()
		c.away, c.writing = 0, false
		c.owner.Wrote(len(b))
		c.keep(b)
		if err != nil {
			c.Lose(err)
		} else {
			c.Codec.Drained()
		}
		c.written.Broadcast()
	}
}

// Lose says that nothing more comes or goes, and why, if it is anybody's fault. The first time counts. It is called with the lock held.
func (c *Conn) Lose(why error) {
	if c.gone {
		return
	}
	c.gone, c.why = true, why
	c.raw.Close()
	c.Codec.Lost(http2.Cancel)
	c.out, c.spare = nil, nil
	c.written.Broadcast()
}

// Gone says that the connection is over, and why. It is called with the lock held.
func (c *Conn) Gone() (bool, error) { return c.gone, c.why }

// Held is how many bytes of messages have come, wholly or not, and were not taken. It is called with the lock held.
func (c *Conn) Held() int { return c.held }

// Wake has who waits for room look again whether he still wants it. It is called with the lock held.
func (c *Conn) Wake() { c.written.Broadcast() }

// maxSpare is, in bytes, the buffer that a connection keeps; much is one that is lent while more is to be written: what may wait, and a frame of each call that
// is about to notice.
const (
	maxSpare = 1 << 10
	much     = maxUnsent + 32<<10
)

var muches = sync.Pool{New: func() any { return new([much]byte) }}

// sink takes what the codec has to say.
type sink struct{ *Conn }

func (c sink) Buffer(n int) []byte {
	need := len(c.out) + n
	if need <= cap(c.out) {
		return c.out
	}
	var more []byte
	switch {
	case need <= maxSpare:
		more = make([]byte, 0, maxSpare)
	case need <= much:
		more = muches.Get().(*[much]byte)[:0]
	default: // what answers a peer is written, room or not; the codec bounds it
		more = make([]byte, 0, 2*need)
	}
	more = append(more, c.out...)
	c.keep(c.out)
	c.out = more
	return more
}

func (c sink) Commit(b []byte) { c.out = b }
func (c sink) Over() bool      { return c.full() }
func (c sink) Unsent() int     { return len(c.out) + c.away }

func (c *Conn) full() bool { return len(c.out)+c.away > maxUnsent }

// keep has a buffer be used again.
func (c *Conn) keep(b []byte) {
	switch cap(b) {
	case maxSpare:
		if !c.Rests {
			c.spare = b[:0]
		}
	case much:
		muches.Put((*[much]byte)(b[:much]))
	}
}
