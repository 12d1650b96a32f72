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

// pages asks a proxy's admin address, weft's or Envoy's.
type pages struct {
	address string // as it was said
	base    string
	client  *http.Client
}

const (
	defaultAdmin = "127.0.0.1:15000" // of Istio's proxies
	adminEnv     = "WEFT_ADMIN"
	pageTimeout  = time.Minute
	pageBytes    = 256 << 20 // of an answer; large meshes have dumps of tens of megabytes
)

// openPages takes an address: host:port, a URL, or the path of a Unix socket.
func openPages(address string) (*pages, error) {
	if address == "" {
		address = os.Getenv(adminEnv)
	}
	if address == "" {
		address = defaultAdmin
	}
	p := &pages{address: address, base: "http://" + address, client: &http.Client{Timeout: pageTimeout, Transport: &http.Transport{Proxy: nil}}}
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
	default:
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("the admin address is %q: want HOST:PORT or the path of a Unix socket, such as --admin %s", address, defaultAdmin)
		}
	}
	return p, nil
}

// get reads a page. What is not answered with 200 is an error in the proxy's own words.
func (p *pages) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
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
		return nil, fmt.Errorf("the proxy at %s answers %s with %d: %s", p.address, page, response.StatusCode, firstLine(b))
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
		return fmt.Errorf("nobody answers at the admin address %s: is the proxy running? name its address with --admin or in %s; for a pod: kubectl port-forward POD 15000", p.address, adminEnv)
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("asking the admin address %s: %w", p.address, err)
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
	if err := json.Unmarshal(b, into); err != nil {
		page, _, _ := strings.Cut(path, "?")
		return fmt.Errorf("what %s answers to %s is no JSON that is known: %w; is it the admin address of a proxy?", p.address, page, err)
	}
	return nil
}
