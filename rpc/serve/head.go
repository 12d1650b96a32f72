package serve

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/wire/http"
)

// begin reads a head: who is called, until when, and what else the caller says.
func (c *conn) begin(r *http.Request) (context.Context, context.CancelFunc, method, error) {
	m, ok := c.server.methods[string(r.Path())]
	switch {
	case string(r.Method()) != "POST" || !line.IsContent(r.Get(http.ContentType)):
		return nil, nil, m, status.Errorf(codes.Internal, "serve: %s with content-type %q: want POST with %s", r.Method(), r.Get(http.ContentType), line.Content)
	case !ok:
		return nil, nil, m, status.Errorf(codes.Unimplemented, "serve: nothing answers at %s", r.Path())
	}
	md, err := line.Read(&r.Header)
	if err != nil {
		return nil, nil, m, status.Error(codes.Internal, err.Error())
	}
	ctx, cancel := metadata.NewIncomingContext(peer.NewContext(context.Background(), c.peer), md), context.CancelFunc(nil)
	if text := r.Get(http.GRPCTimeout); text != nil {
		limit, err := timeout(string(text))
		if err != nil {
			return nil, nil, m, status.Error(codes.Internal, err.Error())
		}
		ctx, cancel = context.WithTimeout(ctx, limit)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	return ctx, cancel, m, nil
}

// units are of grpc-timeout.
var units = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

// timeout reads a grpc-timeout: eight digits at most, and a unit.
func timeout(text string) (time.Duration, error) {
	if n := len(text) - 1; n >= 1 && n <= 8 {
		count, err := strconv.ParseUint(text[:n], 10, 32)
		if unit, ok := units[text[n]]; ok && err == nil {
			if most := uint64(1<<63-1) / uint64(unit); count > most {
				count = most
			}
			return time.Duration(count) * unit, nil
		}
	}
	return 0, fmt.Errorf("serve: grpc-timeout %q: want up to eight digits and one of H M S m u n", text)
}

// open begins the head of an answer.
func open(r *http.Response, more metadata.MD) {
	r.Version, r.Status = http.HTTP2, 200
	r.AddString(http.ContentType, line.Content)
	line.Add(&r.Header, more)
}

// conclude says how a call has ended.
func conclude(h *http.Header, err error, more metadata.MD) {
	st := status.Convert(err)
	h.AddString(http.GRPCStatus, strconv.Itoa(int(st.Code())))
	if st.Message() != "" {
		h.AddString(http.GRPCMessage, line.Percent(st.Message()))
	}
	line.Add(h, more)
}
