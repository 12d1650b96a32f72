package sidecars

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/xds"
)

// Shape is whom the sidecars come to, and what they say that they are.
type Shape struct {
	Port int
	// Weft: they take virtual hosts one by one.
	Weft bool
}

// Order has more sidecars come, or what comes to those that are there be awaited.
type Order struct {
	More  int       // sidecars
	Mark  bool      // from now on count anew; the answer says that it is done
	Since time.Time // when something was changed of which each is to be told
}

// Said is what came of an order.
type Said struct {
	Err   string        // why it was not carried out; empty: it was
	Took  time.Duration // until the last had been told all
	Bytes int           // of resources, that all were told together
	Least int           // responses that came to whoever had the fewest
}

// quiet is how long nothing comes when all has come.
const quiet = 400 * time.Millisecond

// limit bounds an order.
const limit = 2 * time.Minute

// Play is the life of the sidecars in a process of their own: their shape in, then an order in and a line out when it is done, until the input ends.
func Play(in io.Reader, out io.Writer) error {
	var shape Shape
	input, output := json.NewDecoder(in), json.NewEncoder(out)
	if err := input.Decode(&shape); err != nil {
		return fmt.Errorf("sidecars: what to do: %w", err)
	}
	server, err := shape.server()
	if err != nil {
		return fmt.Errorf("sidecars: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := newCrowd()
	for {
		var o Order
		if err := input.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("sidecars: an order: %w", err)
		}
		var said Said
		switch {
		case o.More > 0:
			c.mark()
			began := time.Now()
			for range o.More {
				node, err := shape.node(len(c.all))
				if err != nil {
					return fmt.Errorf("sidecars: %w", err)
				}
				c.join(ctx, server, node)
			}
			said = c.settle(began, len(c.all)-o.More)
		case o.Mark:
			c.mark()
		default:
			said = c.settle(o.Since, 0)
		}
		if err := output.Encode(said); err != nil {
			return err
		}
	}
}

// mark begins to count anew.
func (c *crowd) mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.heard)
	c.bytes, c.last = 0, time.Time{}
}

// settle waits until each from the one of a number on has been told something, all of what it waits for, and for a while nothing more comes to anybody.
func (c *crowd) settle(since time.Time, first int) Said {
	end := time.After(limit)
	for {
		c.mu.Lock()
		said := Said{Took: c.last.Sub(since), Bytes: c.bytes}
		for i, s := range c.all[first:] {
			if n := c.heard[s]; i == 0 || n < said.Least {
				said.Least = n
			}
		}
		waiting, idle := c.waiting, time.Since(c.last)
		if len(c.failures) > 0 {
			said.Err = fmt.Sprintf("%q", c.failures)
		}
		c.mu.Unlock()
		if said.Err != "" || waiting == 0 && said.Least > 0 && idle >= quiet {
			return said
		}
		select {
		case <-c.changed:
		case <-time.After(quiet / 4):
		case <-end:
			said.Err = fmt.Sprintf("within %v not all has come: %d sidecars wait, and one has had %d responses", limit, waiting, said.Least)
			return said
		}
	}
}

// server is the control plane as a bootstrap says it.
func (s Shape) server() (*config.Cluster, error) {
	boot, err := xds.ReadBootstrap(xds.Source{YAML: fmt.Sprintf(`
node: {id: crowd, cluster: crowd}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 10s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
`, s.Port)}, builtin.All())
	if err != nil {
		return nil, err
	}
	if len(boot.Static.Clusters) != 1 {
		return nil, errors.New("the control plane is no cluster")
	}
	return boot.Static.Clusters[0], nil
}

// node is what the sidecar of a number says that it is. Istio's agent is beside it, and serves its secrets.
func (s Shape) node(i int) (*corev3.Node, error) {
	agent := "envoy"
	if s.Weft {
		agent = "weft"
	}
	n := &corev3.Node{}
	text := fmt.Sprintf(`{"id": "sidecar~10.200.%d.%d~client-%d.town~town.svc.cluster.local", "cluster": "client.town", "user_agent_name": %q, "metadata": {"NAMESPACE": "town", "ISTIO_VERSION": "1.29.1", "SERVICE_ACCOUNT": "client", "LABELS": {"app": "client"}}}`,
		i/250, 1+i%250, i, agent)
	return n, protojson.Unmarshal([]byte(text), n)
}
