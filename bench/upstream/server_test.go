package upstream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnswers(t *testing.T) {
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	for _, c := range []struct {
		name  string
		kind  kind
		asked string
		want  []byte
		used  int
	}{
		{"1 KiB", httpKind, get(Path1K), answer1K, len(get(Path1K))},
		{"64 KiB", httpKind, get(Path64K), answer64K, len(get(Path64K))},
		{"first of two", httpKind, get(Path1K) + get(Path64K), answer1K, len(get(Path1K))},
		{"unknown path", httpKind, get("/x"), notFound, len(get("/x"))},
		{"incomplete", httpKind, "GET /api/b1k/ HTTP/1.1\r\n", nil, 0},
		{"other method", httpKind, "POST / HTTP/1.1\r\n\r\n", nil, -1},
		{"tcp 1 KiB", tcp1K, strings.Repeat("x", 1500), message1K, requestSize},
		{"tcp 64 KiB", tcp64K, strings.Repeat("x", requestSize), message64K, requestSize},
		{"tcp incomplete", tcp1K, strings.Repeat("x", requestSize-1), nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, used := c.kind.answer([]byte(c.asked))
			if used != c.used || !bytes.Equal(got, c.want) {
				t.Errorf("%d bytes used, answer of %d bytes; want %d used, %d bytes", used, len(got), c.used, len(c.want))
			}
		})
	}
}

func TestShapeOfAnswers(t *testing.T) {
	for size, answer := range map[int][]byte{Size1K: answer1K, Size64K: answer64K} {
		if head := bytes.Index(answer, endOfHead) + len(endOfHead); head != HeadSize {
			t.Errorf("head of %d bytes, want %d", head, HeadSize)
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) != size || r.ContentLength != int64(size) {
			t.Errorf("body of %d bytes, announced %d, want %d: %v", len(body), r.ContentLength, size, err)
		}
	}
}

// serve runs a server that ends with the test.
func serve(t *testing.T) Ports {
	t.Helper()
	s, err := Listen(false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Ports()
}

func dial(t *testing.T, port int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// Requests that come in odd pieces, several at once, from a peer that reads nothing until it has
// asked for everything: each is answered, in order, whole.
func TestPipelinedAndSlowPeer(t *testing.T) {
	ports := serve(t)
	var asked, want []byte
	for i := range 120 {
		path, answer := Path1K, answer1K
		if i%3 == 0 {
			path, answer = Path64K, answer64K
		}
		asked = fmt.Appendf(asked, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		want = append(want, answer...)
	}
	for _, piece := range []int{len(asked), 1000, 13} {
		c := dial(t, ports.HTTP)
		for rest := asked; len(rest) > 0; {
			n, err := c.Write(rest[:min(piece, len(rest))])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("in pieces of %d: %v", piece, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: the answers are not those asked for", piece)
		}
	}
}

func TestTCPAnswers(t *testing.T) {
	ports := serve(t)
	for port, size := range map[int]int{ports.TCP1K: Size1K, ports.TCP64K: Size64K} {
		c := dial(t, port)
		for range 3 {
			c.Write(make([]byte, requestSize/2))
			c.Write(make([]byte, requestSize/2))
			n, err := io.CopyN(io.Discard, c, int64(size))
			if err != nil {
				t.Fatalf("%d of %d bytes: %v", n, size, err)
			}
		}
	}
}

func TestEndlessHeadIsCut(t *testing.T) {
	c := dial(t, serve(t).HTTP)
	for {
		if _, err := c.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
			return // closed, as it should be
		}
	}
}
