package server

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Tools such as istioctl ask a control plane about itself over the streams that proxies come by, in types that begin so. A stream whose first request is
// of such a type is no proxy's: it joins nothing and is told nothing of the mesh. On a proxy's stream these types are ones that nobody tells of.
const questionPrefix = "istio.io/"

// Question is what a tool asks.
type Question struct {
	Type  string   // such as istio.io/debug/syncz
	Names []string // at most maxAsked
	Peer  string
	Auth  credentials.AuthInfo // how the connection is secured; nil: it is not
}

// Answer is what it is told.
type Answer struct {
	By        string // who answers, as ControlPlane.identifier; empty: nothing is said of that
	Resources []*discoveryv3.Resource
}

const (
	maxAsked = 16              // names of a question
	quiet    = 5 * time.Minute // that such a stream may be without one
)

func isQuestion(url string) bool { return strings.HasPrefix(url, questionPrefix) }

// answerQuestions serves a stream of questions, one after the other, until the tool ends it or asks something wrong. What answers a response, by its nonce, is
// no question: it would be answered for ever.
func (s *Server) answerQuestions(session *Session, stream grpc.ServerStream, first *request, asked <-chan *request, ended <-chan error) error {
	nonces := map[string]string{} // of the last response, by type
	limit := time.NewTimer(quiet)
	defer limit.Stop()
	for r := first; ; {
		switch {
		case !isQuestion(r.url) || len(r.names) > maxAsked:
			s.count(questionsRefused)
			return status.Errorf(codes.InvalidArgument, "this stream asks about the control plane: a request is about %d names of %q: want at most %d of a type below %s", len(r.names), r.url, maxAsked, questionPrefix)
		case nonces[r.url] != "" && r.nonce == nonces[r.url]:
		default:
			s.count(questions)
			a, err := s.Answer(stream.Context(), &Question{Type: r.url, Names: r.names, Peer: session.peer, Auth: session.auth})
			if err != nil {
				s.count(questionsRefused)
				return err
			}
			nonce := session.nextNonce()
			nonces = map[string]string{r.url: nonce}
			m, err := a.encode(session.variant, r.url, nonce)
			if err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			if err := s.send(session, stream, m); err != nil {
				return err
			}
		}
		limit.Reset(quiet)
		select {
		case r = <-asked:
		case err := <-ended:
			return err
		case <-session.ended.Done():
			return context.Cause(session.ended)
		case <-limit.C:
			return status.Errorf(codes.DeadlineExceeded, "no question within %v", quiet)
		}
	}
}

// encode makes a response of either variant.
func (a *Answer) encode(v variant, url, nonce string) (*response, error) {
	var by *corev3.ControlPlane
	if a.By != "" {
		by = &corev3.ControlPlane{Identifier: a.By}
	}
	var m proto.Message = &discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: nonce, Resources: a.Resources, TypeUrl: url, Nonce: nonce, ControlPlane: by}
	if v == world {
		all := make([]*anypb.Any, len(a.Resources))
		for i, r := range a.Resources {
			all[i] = r.Resource
		}
		m = &discoveryv3.DiscoveryResponse{VersionInfo: nonce, Resources: all, TypeUrl: url, Nonce: nonce, ControlPlane: by}
	}
	text, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &response{buffers: mem.BufferSlice{mem.SliceBuffer(text)}, kind: kindCount, size: len(text)}, nil
}
