package status

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Addresses that probes come from. The rules by which a pod's traffic is captured let what comes from them pass, so that a probe meets the application and not the proxy.
var (
	passed4 = netip.MustParseAddr("127.0.0.6")
	passed6 = netip.MustParseAddr("::6")
)

// Bounds of probes, as kubelets and Istio's agent have them.
const (
	defaultProbe = time.Second
	maxProbe     = time.Hour
	maxHook      = 10 * time.Minute // for a hook, which has no time of its own: whoever runs it gives it up
	maxBody      = 10 << 10         // bytes of an application's answer that are handed on
	maxRedirects = 10
)

// prober is what is asked of an application, as injection writes it, and as a WorkloadGroup says it.
type prober struct {
	HTTPGet *struct {
		Path    string   `json:"path"`
		Port    int      `json:"port"`
		Scheme  string   `json:"scheme"`
		Host    string   `json:"host"`        // of a pod's probe: the pod, and that it is no other, injection has seen to
		Headers []header `json:"httpHeaders"` // of a pod's probe they come with the kubelet's request
	} `json:"httpGet"`
	TCPSocket *struct {
		Port int    `json:"port"`
		Host string `json:"host"`
	} `json:"tcpSocket"`
	GRPC *struct {
		Port    int    `json:"port"`
		Service string `json:"service"`
	} `json:"grpc"`
	TimeoutSeconds int `json:"timeoutSeconds"`

	hook   bool
	at     string // host and port
	client *http.Client
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// port is the one that is probed; 0: it is not one thing that is asked for, or no number of a port.
func (p *prober) port() (port int) {
	kinds := 0
	if p.HTTPGet != nil {
		kinds, port = kinds+1, p.HTTPGet.Port
	}
	if p.TCPSocket != nil {
		kinds, port = kinds+1, p.TCPSocket.Port
	}
	if p.GRPC != nil {
		kinds, port = kinds+1, p.GRPC.Port
	}
	if kinds != 1 || port < 1 || port > 65535 || p.TimeoutSeconds < 0 {
		return 0
	}
	return port
}

// reach makes ready for asking a host.
func (p *prober) reach(host string) {
	t := transport()
	if p.GRPC != nil {
		t.Protocols.SetHTTP1(false)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	p.at = net.JoinHostPort(host, strconv.Itoa(p.port()))
	p.client = &http.Client{CheckRedirect: sameHost, Transport: t}
}

// probePath is what a path has to look like (as in Istio): a container and the kind of its probe or hook.
var probePath = regexp.MustCompile(`^/(app-health/[^/]+/(livez|readyz|startupz)|app-lifecycle/[^/]+/(prestopz|poststartz))$`)

// parseProbers reads the probes that injection has written.
func parseProbers(text string, pod netip.Addr) (map[string]*prober, error) {
	probers := map[string]*prober{}
	if text == "" {
		return probers, nil
	}
	if err := json.Unmarshal([]byte(text), &probers); err != nil {
		return nil, fmt.Errorf("status: ISTIO_KUBE_APP_PROBERS: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(probers)) {
		p := probers[path]
		if p == nil || !probePath.MatchString(path) {
			return nil, fmt.Errorf("status: ISTIO_KUBE_APP_PROBERS: %q: want a probe at /app-health/CONTAINER/livez, readyz or startupz, or a hook at /app-lifecycle/CONTAINER/prestopz or poststartz", path)
		}
		if p.port() == 0 {
			return nil, fmt.Errorf("status: ISTIO_KUBE_APP_PROBERS: %q: want one of httpGet, tcpSocket and grpc, with the number of a port", path)
		}
		p.hook = strings.HasPrefix(path, "/app-lifecycle/")
		p.reach(destination(pod))
	}
	return probers, nil
}

// destination is the host that probes go to.
func destination(pod netip.Addr) string {
	if pod.IsValid() {
		return pod.String()
	}
	return "localhost"
}

// transport is how probes go out: as kubelets', over a connection each, without looking at certificates (which says nothing to anybody but of how the workload does), and from an address that is
// not captured.
func transport() *http.Transport {
	t := &http.Transport{
		DialContext:            dial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	return t
}

// dial dials from an address that capture lets pass. localhost is both addresses of loopback, whatever files say of it.
func dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if host == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	for _, host := range hosts {
		ip, perr := netip.ParseAddr(host)
		if perr != nil {
			return nil, fmt.Errorf("%q is not the pod", host)
		}
		var from *net.TCPAddr // nil: from any. ::1 is not captured
		switch ip = ip.Unmap(); {
		case ip.Is4():
			from = &net.TCPAddr{IP: passed4.AsSlice()}
		case !ip.IsLoopback():
			from = &net.TCPAddr{IP: passed6.AsSlice()}
		}
		conn, one := dialFrom(ctx, from, net.JoinHostPort(host, port))
		if errors.Is(one, syscall.EADDRNOTAVAIL) && ip.Is6() { // who captures IPv6 adds ::6: nobody does
			conn, one = dialFrom(ctx, nil, net.JoinHostPort(host, port))
		}
		if one == nil {
			return conn, nil
		}
		err = errors.Join(err, one)
	}
	return nil, err
}

func dialFrom(ctx context.Context, from *net.TCPAddr, to string) (net.Conn, error) {
	var d net.Dialer
	if from != nil { // an interface that has none is not none
		d.LocalAddr = from
	}
	return d.DialContext(ctx, "tcp", to)
}

// sameHost has redirects be followed as kubelets do: within the host, and ten at most. One that leads elsewhere says that the application is there.
func sameHost(r *http.Request, via []*http.Request) error {
	if r.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("%d redirects", maxRedirects)
	}
	return nil
}

func (s *Server) serveProbe(w http.ResponseWriter, r *http.Request) {
	p := s.probers[r.URL.Path]
	if p == nil {
		http.Error(w, fmt.Sprintf("there is no probe at %.200q: injection writes them (ISTIO_KUBE_APP_PROBERS)", r.URL.Path), http.StatusBadRequest)
		return
	}
	s.values.Inc(probesTotal)
	wait := time.Duration(p.TimeoutSeconds) * time.Second
	if wait == 0 {
		if wait = defaultProbe; p.hook {
			wait = maxHook
		}
	}
	wait = min(wait, maxProbe)
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + headTime))
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	status, body, err := p.ask(ctx, r, s.addrs[0].Port())
	if err != nil {
		s.values.Inc(probesFailed)
		s.o.Log.Debug("a probe has failed", "path", r.URL.Path, "error", err)
		http.Error(w, fmt.Sprintf("the application is not well: %v", err), http.StatusInternalServerError)
		return
	}
	if status >= 400 {
		s.values.Inc(probesFailed)
		s.o.Log.Debug("a probe has failed", "path", r.URL.Path, "status", status)
	}
	w.WriteHeader(status)
	w.Write(body)
}

// ask puts a probe to the application: what it answers, as a kubelet is to judge it. r is what the kubelet has asked, at a port of ours; nil: nobody has.
func (p *prober) ask(ctx context.Context, r *http.Request, own uint16) (status int, body []byte, err error) {
	switch {
	case p.HTTPGet != nil:
		return p.askHTTP(ctx, r, own)
	case p.TCPSocket != nil:
		conn, err := dial(ctx, "tcp", p.at)
		if err != nil {
			return 0, nil, err
		}
		conn.Close()
		return http.StatusOK, nil, nil
	default:
		agent := ""
		if r != nil {
			agent = r.UserAgent()
		}
		return http.StatusOK, nil, checkGRPC(ctx, p.client, p.at, p.GRPC.Service, agent)
	}
}

// ofConnection are fields that say something of the connection that they come over.
var ofConnection = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (p *prober) askHTTP(ctx context.Context, r *http.Request, own uint16) (status int, body []byte, err error) {
	scheme := "http"
	if strings.EqualFold(p.HTTPGet.Scheme, "HTTPS") {
		scheme = "https"
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+p.at+"/"+strings.TrimPrefix(p.HTTPGet.Path, "/"), nil)
	if err != nil {
		return 0, nil, err
	}
	for _, h := range p.HTTPGet.Headers {
		if ask.Header.Add(h.Name, h.Value); strings.EqualFold(h.Name, "Host") {
			ask.Host = h.Value
		}
	}
	if r != nil {
		ask.Header = r.Header.Clone() // which the probe says, and injection leaves there
		for _, name := range ofConnection {
			ask.Header.Del(name)
		}
		ask.Host = r.Host
		if host, port, err := net.SplitHostPort(r.Host); err == nil && port == strconv.Itoa(int(own)) {
			ask.Host = net.JoinHostPort(host, strconv.Itoa(p.HTTPGet.Port))
		}
	}
	response, err := p.client.Do(ask)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return http.StatusOK, nil, nil
	}
	body, _ = io.ReadAll(io.LimitReader(response.Body, maxBody)) // the status is what counts
	return response.StatusCode, body, nil
}
