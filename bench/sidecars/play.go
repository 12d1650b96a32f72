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
	Ports []int // of control planes; to each come as many
	// Weft: they take virtual hosts one by one.
	Weft bool
	// Quarters are namespaces that they are spread over; 0: all are in Town.
	Quarters int
	// Authority is the folder of who issues their certificates, which they show to control planes, see Found; empty: they speak plain text.
	Authority string
}

// Town is the namespace of all sidecars without quarters, and Quarter those of others.
const Town = "town"

// Quarter is the name of the i-th namespace.
func Quarter(i int) string { return fmt.Sprintf("quarter-%d", i) }

// home is the namespace of the i-th sidecar.
func (s Shape) home(i int) string {
	if s.Quarters == 0 {
		return Town
	}
	return Quarter(i % s.Quarters)
}

// Order has more sidecars come, or what comes to those that are there be awaited.
type Order struct {
	More         int       // sidecars
	Certificates int       // are to be issued to sidecars
	Mark         bool      // from now on count anew; the answer says that it is done
	Since        time.Time // when something was changed of which each is to be told
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
	servers, err := shape.servers()
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
				i := len(c.all)
				node, err := shape.node(i)
				if err != nil {
					return fmt.Errorf("sidecars: %w", err)
				}
				c.makeRoom()
				c.join(ctx, servers[shape.home(i)][i/max(shape.Quarters, 1)%len(shape.Ports)], node)
			}
			said = c.settle(began, len(c.all)-o.More)
		case o.Mark:
			c.mark()
		case o.Certificates > 0:
			if said.Took, err = certify(ctx, servers[shape.home(0)][0], o.Certificates); err != nil {
				said.Err = err.Error()
			}
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

// door is how many may be on their way in at a time: those of one process share a processor, and a control plane waits for a peer's part of a handshake for
// ten seconds.
const door = 1000

// makeRoom waits until another one may come.
func (c *crowd) makeRoom() {
	for {
		c.mu.Lock()
		full := c.waiting >= door && len(c.failures) == 0
		c.mu.Unlock()
		if !full {
			return
		}
		<-c.changed
	}
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

// servers are the control planes as a bootstrap says them, for the sidecars of each namespace.
func (s Shape) servers() (map[string][]*config.Cluster, error) {
	var issuer *authority
	if s.Authority != "" {
		var err error
		if issuer, err = openAuthority(s.Authority); err != nil {
			return nil, err
		}
	}
	all := map[string][]*config.Cluster{}
	for i := range max(s.Quarters, 1) {
		socket := ""
		if issuer != nil {
			certificate, key, root, err := issuer.issue(s.home(i), "client")
			if err != nil {
				return nil, err
			}
			socket = fmt.Sprintf(`
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: istiod.istio-system.svc
        common_tls_context:
          alpn_protocols: [h2]
          tls_certificates: [{certificate_chain: {inline_string: %q}, private_key: {inline_string: %q}}]
          validation_context: {trusted_ca: {inline_string: %q}}`, certificate, key, root)
		}
		for _, port := range s.Ports {
			boot, err := xds.ReadBootstrap(xds.Source{YAML: fmt.Sprintf(`
node: {id: crowd, cluster: crowd}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 60s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}%s
`, port, socket)}, builtin.All())
			if err != nil {
				return nil, err
			}
			if len(boot.Static.Clusters) != 1 {
				return nil, errors.New("the control plane is no cluster")
			}
			all[s.home(i)] = append(all[s.home(i)], boot.Static.Clusters[0])
		}
	}
	return all, nil
}

// node is what the sidecar of a number says that it is. Istio's agent is beside it, and serves its secrets.
func (s Shape) node(i int) (*corev3.Node, error) {
	agent := "envoy"
	if s.Weft {
		agent = "weft"
	}
	n := &corev3.Node{}
	text := fmt.Sprintf(`{"id": "sidecar~10.200.%d.%d~client-%d.%[4]s~%[4]s.svc.cluster.local", "cluster": "client.%[4]s", "user_agent_name": %[5]q, "metadata": {"NAMESPACE": %[4]q, "ISTIO_VERSION": "1.29.1", "SERVICE_ACCOUNT": "client", "LABELS": {"app": "client"}}}`,
		i/250, 1+i%250, i, s.home(i), agent)
	return n, protojson.Unmarshal([]byte(text), n)
}
