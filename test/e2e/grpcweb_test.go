package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the server takes and sends what is compressed
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A client's library of gRPC-Web, over HTTP/1 as browsers do and over HTTP/2, talks to a server of grpc-go that has never heard of it; what the filter
// counts is counted.
func TestGRPCWebClient(t *testing.T) {
	g := ServeGRPC(t, &GRPC{
		Unary: returnMetadata,
		Down: func(r *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
			for i, p := range r.ResponseParameters {
				s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: payload(int(p.Size), byte(i))})
			}
			s.SetTrailer(metadata.Pairs("x-end", "yes", "x-end-bin", "\x00\xff"))
			failed, _ := status.New(codes.NotFound, "no \"more\" – of it").WithDetails(wrapperspb.String("detail"))
			return failed.Err()
		},
	})
	p := Start(t, Bootstrap(WithFilters(HTTPListener(All), Filter("envoy.filters.http.grpc_web", "grpc_web.v3.GrpcWeb", "")+"\n"+
		Filter("envoy.filters.http.grpc_stats", "grpc_stats.v3.FilterConfig", "stats_for_all_methods: true, enable_upstream_stats: true")), Cluster("up", g.Port, Speaks2())))
	const service = "/grpc.testing.TestService/"
	for _, shared := range []bool{false, true} {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("http2=%v,gzip=%v", shared, compress), func(t *testing.T) {
				client := &http.Client{}
				if shared {
					client.Transport = Dial2(t, p.Address()).ClientConn
				} else {
					own := &http.Transport{DisableCompression: true}
					t.Cleanup(own.CloseIdleConnections)
					client.Transport = own
				}
				options := []connect.ClientOption{connect.WithGRPCWeb()}
				if compress {
					options = append(options, connect.WithSendGzip())
				}
				unary := connect.NewClient[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse](client, "http://"+p.Address()+service+"UnaryCall", options...)
				for _, size := range []int{0, 1, 100_000, 4_000_000} {
					q := connect.NewRequest(&grpc_testing.SimpleRequest{Payload: payload(size, 'w')})
					q.Header()["X-T-A"] = []string{"one", "two"}
					q.Header().Set("X-T-Bin", connect.EncodeBinaryHeader([]byte{0, 0xff}))
					r, err := unary.CallUnary(asked(t), q)
					if err != nil || !bytes.Equal(r.Msg.Payload.GetBody(), payload(size, 'w').Body) {
						t.Fatalf("%d bytes: %v", size, err)
					}
					if got := r.Trailer()["X-T-A"]; !slices.Equal(got, []string{"one", "two"}) {
						t.Errorf("trailer %q", got)
					}
					if got, err := connect.DecodeBinaryHeader(r.Header().Get("X-H-Bin")); err != nil || string(got) != "\x00\xff" {
						t.Errorf("head %q %v", got, err)
					}
				}
				down := connect.NewClient[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse](client, "http://"+p.Address()+service+"StreamingOutputCall", options...)
				sizes := []int32{5, 0, 70_000, 1}
				ask := &grpc_testing.StreamingOutputCallRequest{}
				for _, n := range sizes {
					ask.ResponseParameters = append(ask.ResponseParameters, &grpc_testing.ResponseParameters{Size: n})
				}
				s, err := down.CallServerStream(asked(t), connect.NewRequest(ask))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for i, n := range sizes {
					if !s.Receive() || !bytes.Equal(s.Msg().Payload.GetBody(), payload(int(n), byte(i)).Body) {
						t.Fatalf("message %d: %v", i, s.Err())
					}
				}
				var failed *connect.Error
				if s.Receive() || !errors.As(s.Err(), &failed) || failed.Code() != connect.CodeNotFound || failed.Message() != "no \"more\" – of it" || len(failed.Details()) != 1 {
					t.Fatalf("%v", s.Err())
				}
				if got, _ := connect.DecodeBinaryHeader(failed.Meta().Get("X-End-Bin")); failed.Meta().Get("X-End") != "yes" || string(got) != "\x00\xff" {
					t.Errorf("%v", failed.Meta())
				}
				// An error and nothing else.
				none := connect.NewClient[grpc_testing.Empty, grpc_testing.Empty](client, "http://"+p.Address()+service+"EmptyCall", options...)
				if _, err := none.CallUnary(asked(t), connect.NewRequest(&grpc_testing.Empty{})); connect.CodeOf(err) != connect.CodeUnimplemented {
					t.Errorf("%v", err)
				}
			})
		}
	}
	p.WantStat("cluster.up.grpc.grpc.testing.TestService.UnaryCall.success", 4*4)
	p.WantStat("cluster.up.grpc.grpc.testing.TestService.StreamingOutputCall.5", 4)
	p.WantStat("cluster.up.grpc.grpc.testing.TestService.StreamingOutputCall.response_message_count", 4*4)
	p.WantStat("cluster.up.grpc.grpc.testing.TestService.EmptyCall.12", 4)
}
