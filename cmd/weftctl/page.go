package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// pages asks an admin address.
type pages struct {
	side
	address string // as it was said
	base    string
	token   string // that says who asks; empty: nobody has to say
	client  *http.Client
}

// side is whose admin address it is, and what people are to do if nobody answers there.
type side struct{ who, flag, env, normal, start string }

var (
	ofProxy = side{"the proxy", "--admin", adminEnv, defaultAdmin, "is the proxy running? name its address with --admin or in " + adminEnv + "; for a pod: kubectl port-forward POD 15000"}
	ofPlane = side{"weftd", "--server", planeEnv, defaultPlane, "is weftd running? weftd --config-dir DIR starts it; if it is elsewhere, name its address with --server or in " + planeEnv}
)

const (
	defaultAdmin = "127.0.0.1:15000" // of Istio's proxies
	adminEnv     = "WEFT_ADMIN"
	defaultPlane = "127.0.0.1:9876"   // of weftd
	planeEnv     = "WEFTD_ADMIN_ADDR" // as weftd itself is told it
	pageTimeout  = time.Minute
	pageBytes    = 256 << 20 // of an answer; large meshes have dumps of tens of megabytes
)

// openPages takes an address: host:port, a URL, or the path of a Unix socket.
func openPages(of side, address string) (*pages, error) {
	if address == "" {
		address = os.Getenv(of.env)
	}
	if address == "" {
		address = of.normal
	}
	p := &pages{side: of, address: address, base: "http://" + address, client: &http.Client{Timeout: pageTimeout, Transport: &http.Transport{Proxy: nil}}}
	path, unix := strings.CutPrefix(address, "unix:")
	if unix {
		path = "/" + strings.TrimLeft(path, "/")
	}
	switch {
	case unix, strings.HasPrefix(address, "/"), strings.HasPrefix(address, "./"), strings.HasPrefix(address, "@"):
		p.base = "http://admin"
		p.client.Transport = &http.Transport{Proxy: nil, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}
	case strings.HasPrefix(address, "http://"):
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("the admin address %q is no URL: %w", address, err)
		}
		p.base = "http://" + u.Host
	case of == ofPlane && strings.HasPrefix(address, "https://"):
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("the address %q is no URL such as https://weftd.test:15443", address)
		}
		p.base = "https://" + u.Host
	default:
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("the admin address is %q: want HOST:PORT or the path of a Unix socket, such as %s %s", address, of.flag, of.normal)
		}
	}
	return p, nil
}

// get reads a page. What is not answered with 200 is an error in the words of whoever answers.
func (p *pages) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
	}
	return p.ask(request, path)
}

// post has something done by a page, as get reads one.
func (p *pages) post(ctx context.Context, path string, form url.Values) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.ask(request, path)
}

func (p *pages) ask(request *http.Request, path string) ([]byte, error) {
	if p.token != "" {
		request.Header.Set("Authorization", "Bearer "+p.token)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, p.unreachable(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, pageBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading what %s answers to %s: %w", p.address, path, err)
	case len(b) > pageBytes:
		return nil, fmt.Errorf("%s answers %s with more than %d bytes", p.address, path, pageBytes)
	case response.StatusCode != http.StatusOK:
		page, _, _ := strings.Cut(path, "?")
		if response.StatusCode == http.StatusNotFound && page == "/explain" {
			return nil, fmt.Errorf("the proxy at %s has no page /explain: it is Envoy, or a weft that is older than this program; weftctl proxy routes and listeners work with it", p.address)
		}
		return nil, fmt.Errorf("%s at %s answers %s with %d: %s", p.who, p.address, page, response.StatusCode, saidBy(b))
	}
	return b, nil
}

// unreachable says what to do about an address where nobody answers.
func (p *pages) unreachable(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("nobody answers at the admin address %s: %s", p.address, p.start)
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("asking the admin address %s: %w", p.address, err)
}

// saidBy is what an answer says is wrong: weftd's API says it in JSON, its pages and proxies in a line.
func saidBy(b []byte) string {
	var f struct{ Error string }
	if json.Unmarshal(b, &f) == nil && f.Error != "" {
		return f.Error
	}
	return firstLine(b)
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if len(line) > 500 {
		line = line[:500] + "…"
	}
	return line
}

// getJSON reads a page of JSON.
func (p *pages) getJSON(ctx context.Context, path string, into any) error {
	b, err := p.get(ctx, path)
	if err != nil {
		return err
	}
	return p.understand(b, path, into)
}

func (p *pages) understand(b []byte, path string, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		page, _, _ := strings.Cut(path, "?")
		return fmt.Errorf("what %s answers to %s is no JSON that is known: %w; is it the admin address of %s?", p.address, page, err, p.who)
	}
	return nil
}
