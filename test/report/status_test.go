package report

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
)

// TestStatusAtTheAdminAddress asks a process for its status where its pages are, and for its pages.
func TestStatusAtTheAdminAddress(t *testing.T) {
	p := start(t, "weft", "node: {id: one, cluster: some}\nstatic_resources: {clusters: [{name: up, load_assignment: {cluster_name: up}}]}", 0)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := grpc.NewClient(p.admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := statusv3.NewClientStatusDiscoveryServiceClient(conn)
	answer, err := client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if c := answer.GetConfig()[0]; c.GetNode().GetId() != "one" || len(c.GetGenericXdsConfigs()) != 2 { // the cluster and its endpoints
		t.Errorf("%v", c)
	}
	if p.page("/ready") != "LIVE\n" {
		t.Error("the pages are gone")
	}

	// The beginning of HTTP/2 may come a byte at a time, and what only begins like it is HTTP/1.
	c, err := net.DialTimeout("tcp", p.admin, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, b := range []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") {
		c.Write([]byte{b})
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(c, head); err != nil || head[3] != 4 {
		t.Errorf("no settings came: % x %v", head, err)
	}
	other, err := net.DialTimeout("tcp", p.admin, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetDeadline(time.Now().Add(patience))
	io.WriteString(other, "PRO /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
	if got, _ := io.ReadAll(other); !strings.HasPrefix(string(got), "HTTP/1.1 405 ") {
		t.Errorf("PRO is answered with %.60q", got)
	}
}

// TestStatusIsAPath: what allow_paths does not allow is not served.
func TestStatusIsAPath(t *testing.T) {
	const call = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"
	for allowed, want := range map[string]codes.Code{"": codes.OK, call: codes.OK, "/other": codes.PermissionDenied} {
		more := ""
		if allowed != "" {
			more = ", allow_paths: [{exact: " + allowed + "}, {prefix: /ready}, {prefix: /listeners}]"
		}
		p := startWith(t, "weft", "static_resources: {}", more, 0)
		conn, err := grpc.NewClient(p.admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if _, err = statusv3.NewClientStatusDiscoveryServiceClient(conn).FetchClientStatus(ctx, &statusv3.ClientStatusRequest{}); status.Code(err) != want {
			t.Errorf("%q: %v", allowed, err)
		}
		cancel()
		conn.Close()
	}
}
