package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/source"
)

const workloadText = `Print the bootstrap with which weft makes a machine outside of Kubernetes one of a WorkloadGroup: it comes to weftd, shows a token that is in it, is told its certificate, and is registered while it
is connected. The token is good once, so that nobody else may read what is printed. It is for weftd on this host, which makes the token.

Usage:
  weftctl workload GROUP -n NAMESPACE --address ADDRESS --plane HOST:PORT [flags]

Examples:
  weftctl workload vm -n shop --address 10.0.0.7 --plane weftd.test:15012 | ssh 10.0.0.7 'umask 077; cat > bootstrap.yaml'
  weft -c bootstrap.yaml                 on the machine, within a quarter of an hour`

// planeName is a name of DNS that weftd's certificate always has.
const planeName = "weftd.istio-system.svc"

func workloadCommand() *planeCommand {
	return &planeCommand{name: "workload", text: workloadText, most: 1,
		flags: func(f *flag.FlagSet, o *planeOptions) {
			f.StringVar(&o.namespace, "n", "default", "`namespace` of the group")
			f.StringVar(&o.address, "address", "", "`address` of the machine, an IP, at which others reach it")
			f.StringVar(&o.plane, "plane", "", "`address` of weftd's --secure-grpc-addr, HOST:PORT, as the machine reaches it")
			f.StringVar(&o.network, "network", "", "`name` of the network that the machine is in; empty: as the group says")
			f.StringVar(&o.mode, "mode", "NONE", "how traffic comes to weft: NONE, nobody redirects it; REDIRECT or TPROXY")
			f.DurationVar(&o.life, "life", ca.DefaultTokenLife, fmt.Sprintf("how `long` the token is good, at most %v", ca.MaxTokenLife))
			domainFlag(f, o)
		},
		check: checkWorkload,
		run:   printWorkload}
}

func runWorkload(args []string, s streams) int { return workloadCommand().do(args, s) }

func checkWorkload(o *planeOptions) error {
	if len(o.names) == 0 {
		return errors.New("of which group? say the name of a WorkloadGroup")
	}
	if _, is := source.ParsePath("workloadgroups/" + o.namespace + "/" + o.names[0]); !is {
		return fmt.Errorf("%s/%s is no name of an object", o.namespace, o.names[0])
	}
	if a, err := netip.ParseAddr(o.address); err != nil || a.IsUnspecified() {
		return fmt.Errorf("--address is %q: want the IP at which others reach the machine", o.address)
	}
	if _, _, err := o.planeAt(); err != nil {
		return err
	}
	if !slices.Contains([]string{"NONE", "REDIRECT", "TPROXY"}, o.mode) {
		return fmt.Errorf("--mode is %q: want NONE, REDIRECT or TPROXY", o.mode)
	}
	if o.network != "" && !source.IsName(o.network) {
		return fmt.Errorf("--network is %q: want small letters, digits and dashes", o.network)
	}
	if o.life <= 0 || o.life > ca.MaxTokenLife {
		return fmt.Errorf("--life is %v: want more than nothing and at most %v", o.life, ca.MaxTokenLife)
	}
	return nil
}

// planeAt is where the machine finds weftd.
func (o *planeOptions) planeAt() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(o.plane)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || host == "" || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("--plane is %q: want HOST:PORT of weftd's --secure-grpc-addr", o.plane)
	}
	return host, port, nil
}

func printWorkload(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	var group struct {
		Manifest struct {
			Spec struct {
				Template struct {
					ServiceAccount string `json:"serviceAccount"`
				} `json:"template"`
			} `json:"spec"`
		} `json:"manifest"`
	}
	if err := p.getJSON(ctx, "/api/objects/workloadgroups/"+o.namespace+"/"+o.names[0], &group); err != nil {
		return err
	}
	account := group.Manifest.Spec.Template.ServiceAccount
	if account == "" {
		account = "default"
	}
	identity, err := identityOf(o.namespace+"/"+account, o.domain)
	if err != nil {
		return err
	}
	roots, err := p.get(ctx, rootsPage)
	if err != nil {
		return err
	}
	token, err := p.post(ctx, tokenPage, url.Values{"identity": {identity}, "life": {o.life.Round(time.Millisecond).String()}})
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, o.bootstrap(account, string(roots), string(token[:len(token)-1])))
	return err
}

// bootstrap is that of weft on the machine. Its certificate comes over the stream that it shows the token on.
func (o *planeOptions) bootstrap(account, roots, token string) string {
	host, port, _ := o.planeAt() // which was checked
	kind := "STRICT_DNS"
	if _, err := netip.ParseAddr(host); err == nil {
		kind = "STATIC"
	}
	name := o.names[0] + "-" + strings.ReplaceAll(o.address, ":", "-")
	meta := map[string]any{"NAMESPACE": o.namespace, "SERVICE_ACCOUNT": account, "AUTO_REGISTER_GROUP": o.names[0], "INTERCEPTION_MODE": o.mode}
	if o.network != "" {
		meta["NETWORK"] = o.network
	}
	text := func(v any) string {
		out, _ := json.Marshal(v) // which YAML reads, too
		return string(out)
	}
	return fmt.Sprintf(`# %s, as a machine of the WorkloadGroup %s/%s. There is a token in it, which is good once: nobody else may read it.
node: {id: %s, cluster: %s, metadata: %s}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: weftd}, initial_metadata: [{key: authorization, value: %s}]}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: weftd
    type: %s
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: weftd, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %d}}}}]}]}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: %s
        common_tls_context:
          alpn_protocols: [h2]
          tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}, resource_api_version: V3}}]
          validation_context: {trusted_ca: {inline_string: %s}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: %[11]s}}]}
`, o.address, o.namespace, o.names[0], text("sidecar~"+o.address+"~"+name+"."+o.namespace+"~"+o.namespace+".svc.cluster.local"), text(o.names[0]+"."+o.namespace), text(meta), text("Bearer "+token),
		kind, text(host), port, planeName, text(roots))
}
