package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
)

// paths are what a kind of resources is asked for at, by its message.
var paths = map[string]string{
	"envoy.config.cluster.v3.Cluster":                  "/v3/discovery:clusters",
	"envoy.config.endpoint.v3.ClusterLoadAssignment":   "/v3/discovery:endpoints",
	"envoy.extensions.transport_sockets.tls.v3.Secret": "/v3/discovery:secrets",
	"envoy.config.listener.v3.Listener":                "/v3/discovery:listeners",
	"envoy.config.core.v3.TypedExtensionConfig":        "/v3/discovery:extension_configs",
	"envoy.service.runtime.v3.Runtime":                 "/v3/discovery:runtime",
	"envoy.config.route.v3.ScopedRouteConfiguration":   "/v3/discovery:scoped-routes",
	"envoy.config.route.v3.RouteConfiguration":         "/v3/discovery:routes",
}

// polls is a conversation in which one side asks, again and again, over HTTP. What is to be said next goes with the next poll.
type polls struct {
	of     *Stream
	ctx    context.Context
	client http.Client
	wake   chan struct{} // has room for one: another question is to be asked at once

	mu    sync.Mutex
	ask   *discoveryv3.DiscoveryRequest
	other bool // it asks for other resources than have been told of: no version of those is there
}

func (s *Stream) poll(ctx context.Context) (conversation, error) {
	target := rpc.Of(s.Server, &config.Snapshot{Secrets: s.Secrets()})
	s.mu.Lock()
	target.First = s.next
	s.mu.Unlock()
	c := &polls{of: s, ctx: ctx, wake: make(chan struct{}, 1)}
	protocol, speaks := "http/1.1", new(http.Protocols)
	if speaks.SetHTTP1(true); s.Server.Protocol.Mode == config.ProtocolHTTP2 {
		protocol = "h2"
		speaks.SetHTTP1(false)
		speaks.SetUnencryptedHTTP2(true) // as far as the client knows: Connect has spoken TLS
	}
	c.client = http.Client{Timeout: s.Timeout, Transport: &http.Transport{
		DialContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return target.Connect(ctx, protocol) },
		MaxIdleConns: 1, Protocols: speaks,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// send is what the next poll says. Another question than the last one is asked at once; an answer can wait.
func (c *polls) send(m any) error {
	ask := m.(*discoveryv3.DiscoveryRequest)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ask == nil || !slices.Equal(c.ask.GetResourceNames(), ask.GetResourceNames()) {
		c.other = true
		poke(c.wake)
	}
	c.ask = ask
	return nil
}

// receive asks when it is time to; nil: there is nothing new.
func (c *polls) receive() (*Response, error) {
	c.mu.Lock()
	asked := c.ask != nil
	c.mu.Unlock()
	var due <-chan time.Time
	if asked {
		wait := time.NewTimer(c.of.Refresh + rand.N(c.of.Refresh))
		defer wait.Stop()
		due = wait.C
	}
	select {
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	case <-c.wake:
	case <-due:
	}
	c.mu.Lock()
	ask := c.ask
	if c.other {
		ask = proto.CloneOf(ask)
		ask.VersionInfo, c.other = "", false
	}
	c.mu.Unlock()
	body, err := protojson.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("stream: write a request: %w", err)
	}
	r, err := http.NewRequestWithContext(c.ctx, http.MethodPost, "http://"+c.of.Server.Name+paths[c.of.Message], bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("stream: make a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotModified {
		return nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, rpc.MaxMessage+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > rpc.MaxMessage:
		if c.of.Stats != nil {
			c.of.Stats.Inc(tooLarge)
		}
		return nil, fmt.Errorf("the answer has more than %d bytes", rpc.MaxMessage)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", r.URL.Path, answer.Status)
	}
	return ofJSON(text, c.of.Message, ask.GetVersionInfo())
}

func (c *polls) close() { c.client.CloseIdleConnections() }

// ofJSON reads an answer, each of its resources by itself. nil: it is of the version that is there.
func ofJSON(text []byte, message, version string) (*Response, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("the answer is no JSON object: %w", err)
	}
	field := func(names ...string) (s string, err error) {
		for _, name := range names {
			if raw, ok := m[name]; ok {
				err = errors.Join(err, json.Unmarshal(raw, &s))
			}
		}
		return s, err
	}
	r := &Response{Message: message, Whole: true}
	var err, more error
	if r.Version, err = field("versionInfo", "version_info"); err == nil && r.Version == version && version != "" {
		return nil, nil
	}
	url, more := field("typeUrl", "type_url")
	if err = errors.Join(err, more); err != nil {
		return nil, fmt.Errorf("the answer is no DiscoveryResponse: %w", err)
	}
	if url != "" {
		r.Message = strings.TrimPrefix(url, typePrefix)
	}
	var resources []json.RawMessage
	if raw, ok := m["resources"]; ok {
		if err := json.Unmarshal(raw, &resources); err != nil {
			return nil, fmt.Errorf("the answer's resources are no list: %w", err)
		}
	}
	for _, raw := range resources {
		one, a := Resource{Version: r.Version}, &anypb.Any{}
		if err := (protojson.UnmarshalOptions{}).Unmarshal(raw, a); err != nil {
			one.Err = fmt.Errorf("cannot be read: %v", err)
		} else {
			one.open(a.GetTypeUrl(), a.GetValue(), r.Message)
		}
		r.Resources = append(r.Resources, one)
	}
	return r, nil
}
