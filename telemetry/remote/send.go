package remote

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/rpc"
)

// sending is what the goroutine of a logger has in hand.
type sending struct {
	*logger
	line    *line  // nil: there is none
	taken   []byte // entries that are to be sent
	sent    int    // of their bytes
	message []byte
	pause   time.Duration // before the next attempt; 0: none has failed
	next    int           // the endpoint that is tried first
	told    bool          // that the server is not there
}

// line is a stream to the server.
type line struct {
	cancel context.CancelFunc
	conn   *rpc.Conn
	stream grpc.ClientStream
	ended  chan error // the server has ended it
	named  bool       // it was said who speaks
}

// patience bounds how long a message may take to leave.
const patience = 30 * time.Second

// goodbye bounds how long the last entries may take.
const goodbye = time.Second

// run sends what waits: when the interval is over since the first entry, or at once when a buffer is full.
func (l *logger) run() {
	s := &sending{logger: l}
	defer s.hangUp()
	timer := time.NewTimer(idle)
	waiting := false
	for {
		select {
		case <-l.wake:
			if _, full := l.waits(); !full && !s.owes() {
				if !waiting {
					waiting = true
					timer.Reset(l.config.Interval)
				}
				continue
			}
		case <-timer.C:
			if some, _ := l.waits(); !some && !s.owes() {
				if s.leave() {
					return
				}
			}
		case <-s.lost():
			s.hangUp()
			continue
		case <-l.all.stop:
			s.finish()
			return
		}
		waiting = false
		if !s.flush(patience) {
			return
		}
		timer.Reset(idle)
	}
}

// lost tells when the server ends the stream; never, if there is none.
func (s *sending) lost() <-chan error {
	if s.line == nil {
		return nil
	}
	return s.line.ended
}

// owes tells whether there are entries that were taken and not sent.
func (s *sending) owes() bool { return s.sent < len(s.taken) }

// leave ends a goroutine that has nothing to do, unless something came just now. The next entry starts another one.
func (s *sending) leave() bool {
	s.all.mu.Lock()
	if s.all.loggers[s.key] == s.logger {
		delete(s.all.loggers, s.key)
	}
	s.all.mu.Unlock()
	s.runs.Store(false)
	some, _ := s.waits()
	return !some || !s.runs.CompareAndSwap(false, true)
}

// flush sends all that waits, however often it takes to reach the server; false: the process ends.
func (s *sending) flush(patience time.Duration) bool {
	for {
		if !s.owes() {
			s.taken, s.sent = s.take(s.taken[:0]), 0
		}
		err := s.send(patience)
		if err == nil {
			s.pause, s.told = 0, false
			return true
		}
		s.hangUp()
		s.next++
		if !s.told && s.all.Log != nil {
			s.told = true
			s.all.Log.Warn("a server of access logs is not there; entries wait, and are dropped when there are too many", "log", s.config.Name, "cluster", s.config.Cluster, "error", err)
		}
		s.pause = min(max(2*s.pause, firstPause), lastPause)
		wait := time.NewTimer(s.pause/4 + rand.N(s.pause*3/4))
		select {
		case <-wait.C:
		case <-s.all.stop:
			wait.Stop()
			s.finish()
			return false
		}
	}
}

// finish tries once more and hears the server out.
func (s *sending) finish() {
	s.taken = s.take(s.taken)
	if !s.owes() && s.line == nil {
		return
	}
	if s.send(goodbye) != nil || s.line == nil {
		return
	}
	over := time.NewTimer(goodbye)
	defer over.Stop()
	if s.line.stream.CloseSend() == nil {
		select {
		case <-s.line.ended:
		case <-over.C:
		}
	}
}

// send sends what is left, in as many messages as it takes.
func (s *sending) send(patience time.Duration) error {
	for s.owes() {
		if s.line == nil {
			if err := s.dial(patience); err != nil {
				return err
			}
		}
		n := s.batch(s.taken[s.sent:])
		s.compose(s.taken[s.sent : s.sent+n])
		late := time.AfterFunc(patience, s.line.cancel)
		err := s.line.stream.SendMsg(rpc.Raw(s.message))
		late.Stop()
		if err != nil {
			select {
			case why := <-s.line.ended:
				err = why
			case <-time.After(goodbye):
			}
			return err
		}
		s.line.named = true
		s.sent += n
	}
	return nil
}

// compose makes a StreamAccessLogsMessage of entries. The first of a stream says who speaks.
func (s *sending) compose(entries []byte) {
	dst := s.message[:0]
	if !s.line.named {
		var at int
		dst, at = open(dst, 1)
		if len(s.all.Node) > 0 {
			dst = protowire.AppendBytes(protowire.AppendTag(dst, 1, protowire.BytesType), s.all.Node)
		}
		dst = end(text(dst, 2, s.config.Name), at)
	}
	field := protowire.Number(2)
	if s.config.Connections {
		field = 3
	}
	s.message = protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), entries)
}

const service = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

// dial makes a stream to the server, as the snapshot in force says who that is.
func (s *sending) dial(patience time.Duration) error {
	target, ok := rpc.Find(s.all.Snapshot(), s.config.Cluster)
	if !ok {
		return fmt.Errorf("there is no cluster %q", s.config.Cluster)
	}
	target.First = s.next
	ctx, cancel := context.WithCancel(s.all.context)
	// All endpoints may be tried, each for its own time.
	late := time.AfterFunc(max(patience, time.Duration(len(target.Endpoints))*target.Cluster.ConnectTimeout), cancel)
	conn, err := rpc.Dial(ctx, target)
	late.Stop()
	if err != nil {
		cancel()
		return err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, service)
	if err != nil {
		cancel()
		conn.Close()
		return err
	}
	s.line = &line{cancel: cancel, conn: conn, stream: stream, ended: make(chan error, 1)}
	go func(ended chan<- error) {
		for { // what servers say is not looked at
			var answer rpc.Body
			if err := stream.RecvMsg(&answer); err != nil {
				ended <- err
				return
			}
			answer.Free()
		}
	}(s.line.ended)
	return nil
}

// hangUp lets the stream go.
func (s *sending) hangUp() {
	if s.line != nil {
		s.line.cancel()
		s.line.conn.Close()
		s.line = nil
	}
}
