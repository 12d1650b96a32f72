package calls

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Both says that either side of a stream says as many messages as it likes.
var Both = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// Service answers /test/One by one, and /test/Many by many.
func Service(one func(context.Context, []byte) ([]byte, error), many func(grpc.ServerStream) error) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "test", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "One", Handler: func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.BytesValue{}
			if err := read(in); err != nil {
				return nil, err
			}
			out, err := one(ctx, in.Value)
			return wrapperspb.Bytes(out), err
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Many", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error { return many(stream) }}},
	}
}

// Echo answers a message with itself.
func Echo(_ context.Context, b []byte) ([]byte, error) { return b, nil }

// Echoes answers each message with itself.
func Echoes(s grpc.ServerStream) error {
	for {
		m := &wrapperspb.BytesValue{}
		if err := s.RecvMsg(m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

// OfAllSizes says messages to a service of Echo and Echoes, of sizes about the bounds of frames, windows and buffers and of the largest that may
// be said, and wants them back, and the stream's end then.
func OfAllSizes(t *testing.T, conn grpc.ClientConnInterface, largest int) {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	const around = 16 // of a message, besides its bytes
	for _, size := range []int{0, 1, 500, 511, 512, 4090, 4096, 16378, 16379, 16384, 16385, 32 << 10, 64 << 10, 65 << 10, 300_000, largest - around} {
		in := wrapperspb.Bytes(bytes.Repeat([]byte{byte(size)}, size))
		out := &wrapperspb.BytesValue{}
		if err := conn.Invoke(t.Context(), "/test/One", in, out); err != nil || !bytes.Equal(in.Value, out.Value) {
			t.Fatalf("one of %d bytes: %d bytes, %v", size, len(out.Value), err)
		}
		if err := stream.SendMsg(in); err != nil {
			t.Fatalf("a stream's of %d bytes: %v: %v", size, err, stream.RecvMsg(out))
		}
		if err := stream.RecvMsg(out); err != nil || !bytes.Equal(in.Value, out.Value) {
			t.Fatalf("a stream's of %d bytes: %d bytes, %v", size, len(out.Value), err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and remains ended
		if err := stream.RecvMsg(&wrapperspb.BytesValue{}); err != io.EOF {
			t.Errorf("the stream ends with %v", err)
		}
	}
}
