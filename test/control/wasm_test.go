package control

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/vacant"
)

// teapot is a module of WebAssembly that answers each request with 418, by version 0.2.1 of the ABI of Proxy-Wasm.
func teapot() []byte {
	text := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	section := func(id byte, items ...[]byte) []byte {
		b := append([]byte{byte(len(items))}, join(items...)...)
		size := []byte{byte(len(b))&0x7f | 0x80, byte(len(b) >> 7)} // LEB128, of two bytes
		return join([]byte{id}, size, b)
	}
	body := func(code ...byte) []byte { return append([]byte{byte(len(code) + 2), 0}, append(code, 0x0b)...) }
	const i32 = 0x7f
	return join([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{0x60, 1, i32, 1, i32}, []byte{0x60, 0, 0}, []byte{0x60, 8, i32, i32, i32, i32, i32, i32, i32, i32, 1, i32}, []byte{0x60, 3, i32, i32, i32, 1, i32}),
		section(2, join(text("env"), text("proxy_send_local_response"), []byte{0, 2})),
		section(3, []byte{1}, []byte{0}, []byte{3}),
		section(5, []byte{0, 1}),
		section(7, join(text("memory"), []byte{2, 0}), join(text("proxy_abi_version_0_2_1"), []byte{0, 1}), join(text("proxy_on_memory_allocate"), []byte{0, 2}), join(text("proxy_on_request_headers"), []byte{0, 3})),
		section(10, body(), body(0x41, 0x80, 0x08), // memory is there from 1024 on, and nobody asks for it
			body(0x41, 0xa2, 0x03, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0x7f, 0x10, 0, 0x1a, 0x41, 1)), // send(418, 0, 0, 0, 0, 0, 0, -1); stop
	)
}

// A WasmPlugin has Envoy fetch a module and have requests see it; where there is no module, they are answered as Envoy answers when it has failed, unless the
// plugin says that they may pass.
func TestModulesSeeRequests(t *testing.T) {
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/teapot" {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write(teapot())
	}))
	t.Cleanup(from.Close)
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100), "modules.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: modules, namespace: a}
spec: {hosts: [modules.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: %d, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1, ports: {http: %d}}]}
`, vacant.Ports(t, 1)[0], from.Listener.Addr().(*net.TCPAddr).Port)})
			port := 0
			fmt.Sscanf(after(t, p, "modules.yaml", "number: "), "%d", &port)
			file := filepath.Join(t.TempDir(), "teapot.wasm")
			if err := os.WriteFile(file, teapot(), 0o600); err != nil {
				t.Fatal(err)
			}
			p.proxy(name)
			s.opens()
			status := func() int {
				r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", s.port), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host, r.Close = "shop.test", true
				got, err := s.client.Do(r)
				if err != nil {
					return 0
				}
				got.Body.Close()
				return got.StatusCode
			}
			plugin := func(path, strategy string) string {
				return fmt.Sprintf("{url: 'http://modules.test:%d%s', sha256: %x, failStrategy: %s, match: [{mode: CLIENT, ports: [{number: %d}]}]}", port, path, sha256.Sum256(teapot()), strategy, s.port)
			}
			for _, c := range []struct {
				what, spec    string
				byEnvoy, weft int // 0: the connection ends
			}{
				{"one that is not there", plugin("/nothing", "FAIL_CLOSE"), 503, 503},
				{"and need not be", plugin("/nothing", "FAIL_OPEN"), 200, 200},
				{"a module", plugin("/teapot", "FAIL_CLOSE"), 418, 503},
				{"from a file", fmt.Sprintf("{url: 'file://%s', priority: 1}", file), 418, 503},
				{"of other ports", strings.Replace(plugin("/teapot", "FAIL_CLOSE"), fmt.Sprintf("{number: %d}", s.port), "{number: 1}", 1), 200, 200},
				{"from a file, before the router", fmt.Sprintf("{url: 'file://%s', phase: ASM_ROUTER}", file), 418, 503},
				{"from a file, of what comes in", fmt.Sprintf("{url: 'file://%s', match: [{mode: SERVER}]}", file), 200, 200},
				{"before the router", strings.Replace(plugin("/teapot", "FAIL_CLOSE"), "{", "{phase: ASM_ROUTER, ", 1), 418, 503},
				{"of what comes in", strings.Replace(plugin("/teapot", "FAIL_CLOSE"), "CLIENT", "SERVER", 1), 200, 200},
				{"an image that only agents fetch", "{url: 'oci://modules.test/teapot:1'}", 503, 503},
				{"of bytes", "{url: 'oci://modules.test/bytes:1', type: NETWORK}", 0, 0},
				{"that lets them pass", fmt.Sprintf("{url: 'file://%s', type: NETWORK}", file), 200, 0},
				{"which need not be there", "{url: 'modules.test/teapot:1', failStrategy: FAIL_OPEN}", 200, 200},
			} {
				want := c.byEnvoy
				if name == "weft" {
					want = c.weft
				}
				p.write("plugin.yaml", "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: plugin, namespace: a}\nspec: "+c.spec+"\n")
				last := 0
				eventually(t, fmt.Sprint(c.what, ": ", want), func() bool {
					if got := status(); got != last {
						last = got
						t.Log(c.what, got)
					}
					return last == want
				})
			}
			if refused := p.status().Refused; len(refused) > 0 {
				t.Errorf("refused: %+v", refused)
			}
		})
	}
}

// after is what stands behind some text in a file of the plane's directory.
func after(t *testing.T, p *plane, file, text string) string {
	t.Helper()
	b, err := os.ReadFile(p.dir + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), text)
	return rest
}
