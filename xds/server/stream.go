package server

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/rpc/serve"
)

// serve speaks with a proxy until one of the two ends it. Another goroutine reads: it takes requests in as they come, so that none wait, and this
// one finds out what is to be told.
func (s *Server) serve(stream grpc.ServerStream, v variant, only Kind) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	session := &Session{number: s.numbers.Add(1), variant: v, only: only, since: time.Now(), server: s, wake: make(chan struct{}, 1), step: len(steps), ctx: stream.Context()}
	session.ended, session.end = context.WithCancelCause(context.Background())
	defer session.end(nil)
	if p, ok := peer.FromContext(stream.Context()); ok {
		if session.auth = p.AuthInfo; p.Addr != nil {
			session.peer = p.Addr.String()
		}
	}
	came, joined, asked, ended, over := make(chan struct{}), make(chan struct{}), make(chan *request), make(chan error, 1), make(chan struct{})
	defer close(over)
	go func() {
		err := session.listen(stream, came, joined, asked, over)
		ended <- err
		<-over // nobody leaves of whom something may still be said
		select {
		case <-joined:
			s.Control.Leave(session)
		default:
		}
	}()
	limit := time.NewTimer(firstRequest)
	defer limit.Stop()
	select {
	case <-came:
	case err := <-ended:
		return err
	case <-limit.C:
		s.count(silent)
		return status.Errorf(codes.DeadlineExceeded, "no request within %v", firstRequest)
	}
	limit.Reset(never)
	select { // how long it may take to find out who comes is Control's to say
	case <-joined:
	case r := <-asked:
		return s.answerQuestions(session, stream, r, asked, ended)
	case err := <-ended:
		return err
	}
	for {
		if err := context.Cause(session.ended); err != nil {
			return err
		}
		r, wait := session.next(time.Now())
		if r != nil {
			if err := s.send(session, stream, r); err != nil {
				return err
			}
			continue
		}
		session.report()
		limit.Reset(wait)
		select {
		case err := <-ended:
			session.report()
			return err
		case <-session.ended.Done():
			return context.Cause(session.ended)
		case <-session.wake:
		case <-limit.C:
		}
	}
}

// listen takes requests in until there are no more, or hands them on if the first is a question about the control plane.
func (s *Session) listen(stream grpc.ServerStream, came, joined chan<- struct{}, asked chan<- *request, over <-chan struct{}) error {
	question := false
	for first := true; ; first = false {
		r, err := read(stream, s.variant)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.server.count(requestsTotal); first {
			close(came)
		}
		if question = question || first && s.only == kindCount && s.server.Answer != nil && isQuestion(r.url); question {
			select {
			case asked <- r:
				continue
			case <-over:
				return nil
			}
		}
		if first {
			if r.node == nil {
				s.server.count(requestsBroken)
				return status.Error(codes.InvalidArgument, "the first request of a stream has to have a node")
			}
			s.node, s.id, s.first = r.node, r.node.GetId(), time.Now()
			err := s.server.Control.Join(s)
			s.node = nil
			if err != nil {
				return err
			}
			close(joined)
		}
		if err := s.take(r, time.Now()); err != nil {
			return err
		}
		s.poke()
	}
}

// report hands on what the proxy has said, and that it has all.
func (s *Session) report() {
	s.mu.Lock()
	verdicts := s.verdicts
	s.verdicts = nil
	probed := s.probed
	s.probed = nil
	settled := s.settled
	if s.heard == settled {
		settled = nil
	} else {
		s.heard = settled
	}
	s.mu.Unlock()
	for _, v := range verdicts {
		s.server.Control.Answered(s, v)
	}
	if probed != nil {
		s.server.Control.Probed(s, *probed)
	}
	if settled != nil {
		s.server.Control.Settled(s, settled)
	}
}

// send writes a response. Who does not read is not waited for any longer when the session is to end.
func (s *Server) send(session *Session, stream grpc.ServerStream, r *response) error {
	if call, ok := stream.(*serve.Call); ok {
		defer context.AfterFunc(session.ended, call.Abort)()
	}
	if err := stream.SendMsg(r); err != nil {
		if over := context.Cause(session.ended); over != nil {
			return over
		}
		return err
	}
	if s.Stats != nil {
		s.Stats.Observe(responseBytes, uint64(r.size))
	}
	if r.kind != kindCount {
		s.count(responses + int(r.kind))
	}
	return nil
}
